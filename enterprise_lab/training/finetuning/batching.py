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
    _sizes: list[tuple[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._sizes = _step_sizes(len(self.lengths), self.recipe.batch, self.recipe.accumulation)

    @property
    def steps(self) -> int:
        """Optimizer steps in an epoch."""
        return len(self._sizes)

    def __len__(self) -> int:
        return sum(parts for _, parts in self._sizes)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.of_epoch(self.epoch):
            for rows in step:
                yield rows.tolist()

    def of_epoch(self, epoch: int) -> list[list[Rows]]:
        """Return the steps of an epoch, each a list of micro-batches of rows."""
        rng = np.random.default_rng((self.recipe.seed, epoch))
        drawn = _drawn(self.labels, self.recipe.balanced_sampling, rng)
        if not self.recipe.bucketing:
            ends = np.cumsum([texts for texts, _ in self._sizes])[:-1]
            steps = np.split(drawn, ends)
            return [
                np.array_split(rows, parts)
                for rows, (_, parts) in zip(steps, self._sizes, strict=True)
            ]
        return self._by_length(drawn, rng)

    def _by_length(self, drawn: Rows, rng: np.random.Generator) -> list[list[Rows]]:
        order = [int(i) for i in rng.permutation(self.steps)]
        sizes = [self._sizes[i] for i in order]
        found: dict[int, list[Rows]] = {}
        start = 0
        for first in range(0, self.steps, WINDOW):
            window = sizes[first : first + WINDOW]
            rows = drawn[start : start + sum(texts for texts, _ in window)]
            start += len(rows)
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            ends = np.cumsum([texts for texts, _ in window])[:-1]
            for position, (step, (_, parts)) in enumerate(
                zip(np.split(rows, ends), window, strict=True), start=first
            ):
                found[order[position]] = _cut(step, self.lengths[step], parts)
        return [found[i] for i in range(self.steps)]


def _step_sizes(texts: int, batch: int, accumulation: int) -> list[tuple[int, int]]:
    """Return the texts and micro-batches of each step; only the last may have fewer of these."""
    parts = -(-texts // batch)
    ends = [min(first + accumulation, parts) for first in range(0, parts, accumulation)]
    sizes, before, taken = [], 0, 0
    for end in ends:
        upto = texts * end // parts
        sizes.append((upto - taken, end - before))
        before, taken = end, upto
    return sizes


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
