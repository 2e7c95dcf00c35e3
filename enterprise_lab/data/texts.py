"""Texts with labels: what a classifier of text is trained and judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from enterprise_lab.errors import InvalidValueError


@dataclass(frozen=True, eq=False)
class Texts:
    """Labelled texts; `labels` has the shape (n,) and holds indices into `classes`.

    `groups` names for each text what must not be split between training and test: a licence's
    family, a contract. Where nothing is known, each text is a group of its own.
    Raises InvalidValueError where the parts don't fit together.
    """

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.texts)
        if self.labels.shape != (count,) or len(self.groups) != count:
            raise InvalidValueError(
                f"{count:,} texts have labels of the shape {self.labels.shape} and "
                f"{len(self.groups):,} groups.",
                "Give each text one label and one group.",
            )
        if count and (self.labels.min() < 0 or self.labels.max() >= len(self.classes)):
            raise InvalidValueError(
                f"The labels go from {self.labels.min()} to {self.labels.max()} where there are "
                f"{len(self.classes)} classes.",
                "Give labels from 0 to the number of classes less one.",
            )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return (
            f"{len(self):,} texts of {len(set(self.groups)):,} groups, {len(self.classes)} classes"
        )

    def take(self, rows: ArrayLike) -> Texts:
        """Return the texts of some rows, given as indices or as a mask of the shape (n,)."""
        chosen = np.asarray(rows)
        if chosen.dtype == bool and chosen.shape != (len(self),):
            raise InvalidValueError(
                f"A mask of the shape {chosen.shape} can't choose among {len(self):,} texts.",
                "Give a mask with one entry a text.",
            )
        positions = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return Texts(
            tuple(self.texts[row] for row in positions),
            self.labels[positions],
            self.classes,
            tuple(self.groups[row] for row in positions),
        )


def labelled(
    texts: Sequence[str], names: Sequence[str], groups: Sequence[str] | None = None
) -> Texts:
    """Return texts labelled by the names of their classes, which are sorted."""
    classes = tuple(sorted(set(names)))
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[name] for name in names], dtype=np.int64)
    own = groups if groups is not None else [str(row) for row in range(len(texts))]
    return Texts(tuple(texts), labels, classes, tuple(own))
