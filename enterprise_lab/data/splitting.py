"""Splits into training, validation and test that keep a group together, and what leaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.data.duplicates import with_copies
from enterprise_lab.data.pictures import stratified
from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import InvalidValueError, require_whole

_TRAIN = 0


@dataclass(frozen=True, eq=False)
class Split:
    """The rows to train on, to choose by and to judge on, each in order."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split(
    texts: Texts,
    *,
    test_share: float = 0.2,
    validation_share: float = 0.1,
    seed: int = 0,
    grouped: bool = True,
) -> Split:
    """Split texts so that no group is in two parts and each class is spread as the shares say.

    Groups are placed one by one, from the larger to the smaller and by chance among alike, each
    where the classes then come nearest to their shares. A class that training would lack is moved
    there with its smallest group. Not `grouped`: each text for itself, as a careless split does.
    Raises InvalidValueError where the shares leave nothing to train on.
    """
    _require_shares(test_share, validation_share)
    names = texts.groups if grouped else tuple(str(row) for row in range(len(texts)))
    _, member = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    counts = np.zeros((member.max(initial=-1) + 1, len(texts.classes)), dtype=np.int64)
    np.add.at(counts, (member, texts.labels), 1)
    shares = np.array([1 - test_share - validation_share, validation_share, test_share])
    part = _with_every_class(_placed(counts, shares, seed), counts)[member]
    train, validation, test = (np.flatnonzero(part == one) for one in range(3))
    return Split(train, validation, test)


def sample_rows(texts: Texts, rows: int, seed: int = 0) -> NDArray[np.int64]:
    """Return some rows in order, each class in proportion; a smaller sample is in a larger one."""
    return stratified(texts.labels, require_whole("rows", rows, len(texts)), seed)[1]


def leaked(texts: Texts, parts: Split, threshold: float = 0.6) -> NDArray[np.int64]:
    """Return the rows of the test part that have a near duplicate in the training part."""
    test, train = texts.take(parts.test).texts, texts.take(parts.train).texts
    return parts.test[with_copies(test, train, threshold)]


def _require_shares(test_share: float, validation_share: float) -> None:
    shares = (test_share, validation_share)
    if min(shares) < 0 or not sum(shares) < 1:
        raise InvalidValueError(
            f"A test share of {test_share!r} and a validation share of {validation_share!r} are "
            "not from 0 to below 1 together.",
            "Give shares such as 0.2 and 0.1, so that something is left to train on.",
        )


def _placed(counts: NDArray[np.int64], shares: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """Return the part of each group, of whose texts of each class there are `counts`."""
    sizes = counts.sum(axis=1)
    chance = np.random.PCG64(seed).random_raw(len(sizes))
    order = np.lexsort((chance, -np.floor(np.log2(sizes))))
    weights = 1 / np.maximum(counts.sum(axis=0), 1)
    wanted = shares[:, None] * counts.sum(axis=0)
    there = np.zeros_like(wanted)
    part = np.empty(len(sizes), dtype=np.int64)
    for group in order:
        change = counts[group] * (counts[group] + 2 * (there - wanted)) * weights
        cost = np.where(shares > 0, change.sum(axis=1), np.inf)
        part[group] = np.argmin(cost)
        there[part[group]] += counts[group]
    return part


def _with_every_class(part: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    for one in np.flatnonzero(counts.sum(axis=0)):
        holders = np.flatnonzero(counts[:, one])
        if not (part[holders] == _TRAIN).any():
            part[holders[np.argmin(counts[holders].sum(axis=1))]] = _TRAIN
    return part
