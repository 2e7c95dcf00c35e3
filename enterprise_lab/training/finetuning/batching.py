"""Which texts go into a step together, and how they are padded to one length."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.training.finetuning.recipe import FineTuning

MULTIPLE = 8
"""Tokens that padded lengths are a multiple of: what tensor cores, and vector units, take whole."""
WINDOW = 16
"""Steps whose texts are sorted by length together: more pad less, and mix less."""

Rows = NDArray[np.int64]


@dataclass
class Batches:
    """The micro-batches of an epoch: which texts are in each, drawn by the seed and the epoch.

    A step takes a fixed number of texts, `batch` x `accumulation` (all steps of an epoch are as
    full as can be, to within one micro-batch), whatever their lengths are, so that the
    optimisation is the same job with and without bucketing: a batch filled up to a number of
    tokens would have more short texts in a step than long ones, and a rate that suits one doesn't
    suit the other. What tokens do decide is where the texts of one step are cut into its
    `accumulation` micro-batches: short ones are packed into larger micro-batches, long ones into
    smaller, so that each has about as many tokens, and the largest, which needs the memory, fewer.
    The gradient of the step is the same, since it is divided by the texts of the whole step.

    With `bucketing` the texts of some steps, drawn at random, are sorted by length and then cut
    into those steps, which come in a random order. The epochs' order follows from (seed, epoch)
    alone, so a training that goes on in the middle of an epoch sees what it would have seen.
    """

    lengths: Rows
    labels: Rows
    recipe: FineTuning
    epoch: int = 0
    _texts: Rows = field(init=False)
    _parts: Rows = field(init=False)
    """Of each step: its texts, and the micro-batches they are cut into."""

    def __post_init__(self) -> None:
        texts, accumulation = len(self.lengths), self.recipe.accumulation
        parts = -(-texts // self.recipe.batch)
        ends = np.minimum(np.arange(accumulation, parts + accumulation, accumulation), parts)
        self._parts = np.diff(ends, prepend=0)
        self._texts = np.diff(texts * ends // parts, prepend=0)

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self._parts)

    def __len__(self) -> int:
        return int(self._parts.sum())

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.of_epoch(self.epoch):
            for rows in step:
                yield rows.tolist()

    def of_epoch(self, epoch: int) -> list[list[Rows]]:
        """Return the steps of an epoch, each a list of micro-batches of rows."""
        rng = np.random.default_rng((self.recipe.seed, epoch))
        drawn = _drawn(self.labels, self.recipe.balanced_sampling, rng)
        if not self.recipe.bucketing:
            steps = np.split(drawn, np.cumsum(self._texts)[:-1])
            return [np.array_split(*step) for step in zip(steps, self._parts, strict=True)]
        order = rng.permutation(self.steps)
        ends = np.cumsum(self._texts[order])
        windows = np.split(drawn, ends[WINDOW - 1 : -1 : WINDOW])
        by_length = np.concatenate([self._sorted(rows) for rows in windows])
        cut = [
            _cut(rows, self.lengths[rows], int(parts))
            for rows, parts in zip(np.split(by_length, ends[:-1]), self._parts[order], strict=True)
        ]
        return [cut[i] for i in np.argsort(order)]

    def _sorted(self, rows: Rows) -> Rows:
        return rows[np.argsort(self.lengths[rows], kind="stable")]


def _drawn(labels: Rows, balanced: bool, rng: np.random.Generator) -> Rows:
    """Return rows in a random order; `balanced`, drawn with replacement, all classes alike."""
    if not balanced:
        return rng.permutation(len(labels))
    counts = np.bincount(labels)
    share = 1 / counts[labels]
    return rng.choice(len(labels), size=len(labels), p=share / share.sum())


def _cut(rows: Rows, lengths: Rows, parts: int) -> list[Rows]:
    """Cut rows, sorted by length, into parts of which the one with most padded tokens has fewest.

    Each part has a row at least, so there must be as many.
    """
    padded = padded_length(lengths)
    longest = int(padded.max())
    fewest = bisect_left(
        range(longest * len(rows)),
        True,
        lo=longest,
        key=lambda tokens: len(_cuts(padded, tokens)) < parts,
    )
    cuts = _cuts(padded, fewest)
    others = [i for i in range(1, len(rows)) if i not in cuts]
    return np.split(rows, sorted([*cuts, *others[: parts - 1 - len(cuts)]]))


def _cuts(padded: Rows, tokens: int) -> list[int]:
    """Return where to cut so that no part has more tokens, filling parts from the longest on."""
    cuts, end = [], len(padded)
    for i in reversed(range(len(padded))):
        if (end - i) * padded[end - 1] > tokens:
            end = i + 1
            cuts.append(end)
    return cuts


def padded_length(lengths: Rows) -> Rows:
    """Round lengths up to the multiple that texts are padded to."""
    return -(-lengths // MULTIPLE) * MULTIPLE


def width(lengths: Rows, positions: int, at_least: int = 1) -> int:
    """Return what texts are padded to together, never above the model's positions."""
    longest = np.array(max(int(lengths.max()), at_least))
    return min(int(padded_length(longest)), positions)
