"""Copies among texts: exact ones by their words, near ones by MinHash and checked.

Two texts are near duplicates where the sets of their shingles (three words in a row, without case
and punctuation) have a Jaccard similarity of at least a threshold. MinHash with banding
(A. Broder, 1997: On the resemblance and containment of documents; datasketch's MinHashLSH) finds
candidates without comparing all pairs; each is then compared truly, so none is false.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.errors import InvalidValueError

SHINGLE_WORDS = 3
_PERMUTATIONS = 128
_MISSED = 0.02
"""Probability that a pair of just the threshold's similarity isn't found; of others it is less."""

_Shingles: TypeAlias = frozenset[str]


@dataclass(frozen=True)
class Pair:
    """A text that is left out, the kept text that it copies, and how similar they are (0 to 1)."""

    kept: int
    copy: int
    similarity: float


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which of some texts to keep, and what each of the others copies.

    `kept` holds rows in order. Each cluster is a kept row and its copies.
    """

    kept: NDArray[np.int64]
    pairs: tuple[Pair, ...]

    @property
    def clusters(self) -> tuple[tuple[int, ...], ...]:
        """The rows of each kept text with copies, itself first; the largest cluster first."""
        copies: dict[int, list[int]] = {}
        for pair in self.pairs:
            copies.setdefault(pair.kept, [pair.kept]).append(pair.copy)
        return tuple(sorted(map(tuple, copies.values()), key=lambda rows: (-len(rows), rows)))


def exact_duplicates(texts: Sequence[str]) -> Duplicates:
    """Find the texts whose words are those of an earlier one, in the same order."""
    first: dict[tuple[str, ...], int] = {}
    nearest = [first.setdefault(_words(text), row) for row, text in enumerate(texts)]
    return _duplicates([(row, 1.0) for row in nearest])


def near_duplicates(texts: Sequence[str], threshold: float = 0.6) -> Duplicates:
    """Find the texts that are nearly an earlier one that is kept, whatever comes between them.

    Raises InvalidValueError unless the threshold is above 0 and at most 1.
    """
    index = _Index(threshold)
    nearest = []
    for row, (shingles, signature) in enumerate(_signed(texts)):
        found = index.nearest(shingles, signature)
        if found is None:
            index.add(row, shingles, signature)
        nearest.append(found or (row, 1.0))
    return _duplicates(nearest)


def with_copies(
    texts: Sequence[str], others: Sequence[str], threshold: float = 0.6
) -> NDArray[np.bool_]:
    """Tell of each text whether one of the others is nearly it; a mask of the shape (texts,)."""
    index = _Index(threshold)
    for row, (shingles, signature) in enumerate(_signed(others)):
        index.add(row, shingles, signature)
    return np.array([index.nearest(*one) is not None for one in _signed(texts)], dtype=bool)


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of the shingles of two texts, from 0 to 1."""
    return _jaccard(_shingles(one), _shingles(other))


class _Index:
    """Texts by their signatures, to look up those that may be similar."""

    def __init__(self, threshold: float) -> None:
        from datasketch import MinHashLSH

        if not 0 < threshold <= 1:
            raise InvalidValueError(
                f"The threshold must be above 0 and at most 1, not {threshold!r}.",
                "Give a similarity such as 0.6.",
            )
        self.threshold = threshold
        self.lsh = MinHashLSH(num_perm=_PERMUTATIONS, params=_bands(threshold))
        self.known: dict[int, _Shingles] = {}

    def add(self, row: int, shingles: _Shingles, signature: object) -> None:
        self.lsh.insert(row, signature)
        self.known[row] = shingles

    def nearest(self, shingles: _Shingles, signature: object) -> tuple[int, float] | None:
        """Return the most similar text and its similarity; None where none reaches the threshold.

        Of equally similar ones, the first.
        """
        scored = [(-_jaccard(shingles, self.known[row]), row) for row in self.lsh.query(signature)]
        best, row = min(scored, default=(0.0, 0))
        return (row, -best) if -best >= self.threshold else None


def _bands(threshold: float) -> tuple[int, int]:
    """Return how many bands of how many rows to cut a signature into.

    The most rows, so the fewest comparisons, with which a pair at the threshold t is missed with
    a probability (1 - t^rows)^bands of at most a limit (J. Leskovec, A. Rajaraman, J. Ullman:
    Mining of Massive Datasets, section 3.4).
    """
    rows = 1
    for more in range(2, _PERMUTATIONS // 2 + 1):
        if (1 - threshold**more) ** (_PERMUTATIONS // more) <= _MISSED:
            rows = more
    return _PERMUTATIONS // rows, rows


def _signed(texts: Sequence[str]) -> list[tuple[_Shingles, object]]:
    from datasketch import MinHash

    shingles = [_shingles(text) for text in texts]
    signatures = MinHash.bulk(
        [[shingle.encode() for shingle in one] for one in shingles],
        num_perm=_PERMUTATIONS,
        hashfunc=zlib.crc32,
    )
    return list(zip(shingles, signatures, strict=True))


def _duplicates(nearest: Sequence[tuple[int, float]]) -> Duplicates:
    kept = [row for row, (found, _) in enumerate(nearest) if found == row]
    pairs = tuple(
        Pair(found, row, score) for row, (found, score) in enumerate(nearest) if found != row
    )
    return Duplicates(np.array(kept, dtype=np.int64), pairs)


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))


def _shingles(text: str) -> _Shingles:
    words = _words(text)
    last = max(1, len(words) - SHINGLE_WORDS + 1)
    return frozenset(" ".join(words[start : start + SHINGLE_WORDS]) for start in range(last))


def _jaccard(one: _Shingles, other: _Shingles) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common)
