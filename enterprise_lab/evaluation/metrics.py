"""How many guesses are right, over all texts and class by class.

The metrics take weights of the texts, in as many sets as wanted: a bootstrap is then a metric with
thousands of sets of weights, each saying how often a text was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, overload

import numpy as np
import numpy.typing as npt

from enterprise_lab.errors import InvalidValueError, require_whole

if TYPE_CHECKING:
    from pandas import DataFrame

Labels = Sequence[int] | npt.NDArray[np.integer]
"""The class of each of n texts, from 0."""
Weights = npt.NDArray[np.floating]
"""Of n texts, zero or above: shaped (n,), or (sets, n)."""
_MOST_CLASSES = 100_000


class Metric(Protocol):
    """A figure of how good guesses are; with sets of weights, one of each set."""

    @overload
    def __call__(self, labels: Labels, guesses: Labels) -> float: ...
    @overload
    def __call__(
        self, labels: Labels, guesses: Labels, weights: Weights
    ) -> npt.NDArray[np.float64]: ...


@overload
def accuracy(labels: Labels, guesses: Labels) -> float: ...
@overload
def accuracy(labels: Labels, guesses: Labels, weights: Weights) -> npt.NDArray[np.float64]: ...
def accuracy(
    labels: Labels, guesses: Labels, weights: Weights | None = None
) -> float | npt.NDArray[np.float64]:
    """Return the share of texts that are guessed right, from 0 to 1.

    Raises InvalidValueError for labels and guesses that don't go together.
    """
    true, guessed = aligned(labels, guesses)
    right = true == guessed
    if weights is None:
        return float(right.mean())
    return np.asarray(weights @ right / weights.sum(axis=-1))


@overload
def macro_f1(labels: Labels, guesses: Labels) -> float: ...
@overload
def macro_f1(labels: Labels, guesses: Labels, weights: Weights) -> npt.NDArray[np.float64]: ...
def macro_f1(
    labels: Labels, guesses: Labels, weights: Weights | None = None
) -> float | npt.NDArray[np.float64]:
    """Return the mean of the classes' F1, from 0 to 1: a rare class counts like a frequent one.

    The mean is over the classes that occur among the labels or the guesses, as scikit-learn's
    `f1_score(..., average="macro")` has it; a class that is never guessed right has an F1 of 0.
    Raises InvalidValueError for labels and guesses that don't go together.
    """
    true, guessed = aligned(labels, guesses)
    if weights is None:
        return float(macro_f1(true, guessed, np.ones(len(true))))
    known, places = np.unique(np.concatenate([true, guessed]), return_inverse=True)
    is_true, is_guessed = np.eye(len(known))[places.reshape(2, -1)]
    occurs = weights @ (is_true + is_guessed)
    hits = weights @ (is_true * is_guessed)
    f1 = np.divide(2 * hits, occurs, out=np.zeros_like(hits), where=occurs > 0)
    return np.asarray(f1.sum(axis=-1) / (occurs > 0).sum(axis=-1))


def confusion(labels: Labels, guesses: Labels, classes: int) -> npt.NDArray[np.int64]:
    """Count the texts of each class by what they were guessed to be.

    Shaped (classes, classes): a row a true class, a column a guess. Raises InvalidValueError for
    labels and guesses that don't go together, and beyond `classes`.
    """
    true, guessed = aligned(labels, guesses)
    require_whole("classes", classes, _MOST_CLASSES, 1 + int(max(true.max(), guessed.max())))
    counts = np.bincount(true * classes + guessed, minlength=classes**2)
    return counts.reshape(classes, classes)


def per_class(labels: Labels, guesses: Labels, classes: Sequence[str]) -> DataFrame:
    """Return a row a class: precision, recall, F1 and its support, the texts that are of it.

    A precision of nothing guessed, or a recall of nothing there, is 0, as in scikit-learn. A class
    that occurs in neither has NaN, so that the column's mean is the macro-F1. Raises
    InvalidValueError as `confusion` does.
    """
    from pandas import DataFrame

    counts = confusion(labels, guesses, len(classes))
    hits, support, guessed = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    there = support + guessed > 0

    def share(parts: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> object:
        return np.where(there, parts / np.maximum(whole, 1), np.nan)

    return DataFrame(
        {
            "precision": share(hits, guessed),
            "recall": share(hits, support),
            "f1": share(2 * hits, support + guessed),
            "support": support,
        },
        index=list(classes),
    )


def aligned(labels: Labels, guesses: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return labels and guesses as arrays of one length.

    Raises InvalidValueError where they differ in length, are empty, or aren't whole numbers from 0.
    """
    true, guessed = (
        whole_from_zero(name, its) for name, its in (("labels", labels), ("guesses", guesses))
    )
    if len(true) != len(guessed):
        raise InvalidValueError(
            f"There are {len(true):,} labels and {len(guessed):,} guesses.",
            "Give a label and a guess for each text, in the same order.",
        )
    return true, guessed


def whole_from_zero(name: str, values: Labels) -> npt.NDArray[np.int64]:
    """Return classes as an array; InvalidValueError unless they are whole numbers from 0."""
    array = np.asarray(values)
    whole = array.ndim == 1 and array.dtype.kind in "iu"
    if not whole or not array.size or array.min() < 0:
        raise InvalidValueError(
            f"The {name} must be one list of whole numbers from 0, and not empty.",
            "Give each text's class by its place among the classes, such as [0, 2, 1].",
        )
    return array.astype(np.int64)
