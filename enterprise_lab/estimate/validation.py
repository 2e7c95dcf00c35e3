"""How far off estimates are, on rows that their calibration had not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import PositiveFloat

from enterprise_lab import catalog
from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, Row, read
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.fitting import fit
from enterprise_lab.estimate.intervals import Family
from enterprise_lab.estimate.observations import Floats, Observations

Names = npt.NDArray[np.str_]


def _plain(figure: float) -> str:
    return f"{figure:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %"


class HeldOut(Row):
    """One row beside the prediction of a fit that had seen neither it nor its fold.

    `low` and `high` are the ends of the prediction's interval, from the other folds' residuals.
    """

    id: str
    family: str
    fold: str
    """What the rows left out together have in common: a model, a framework, a chip."""
    what: str
    observed: PositiveFloat
    predicted: PositiveFloat
    low: PositiveFloat
    high: PositiveFloat
    unit: Literal["s", "B"]

    identity: ClassVar[tuple[str, ...]] = ("id", "family")
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Row", "id"),
        Figure("Family", "family"),
        Figure("What", "what"),
        Figure("Left out with", "fold", brief=False),
        Figure("Observed", "observed", _plain),
        Figure("Predicted", "predicted", _plain),
        Figure("Unit", "unit"),
        Figure("Off by", "error", _percent),
    )

    @property
    def error(self) -> float:
        """Share by which the prediction is too long, or too short where negative."""
        return self.predicted / self.observed - 1

    @property
    def residual(self) -> float:
        """Logarithm of observed over predicted."""
        return math.log(self.observed / self.predicted)

    @property
    def reason(self) -> str:
        """Why it is likely off by so much, where somebody has looked."""
        return _reasons().get(self.id, "")

    @property
    def covered(self) -> bool:
        """Whether the interval holds what was observed."""
        return self.low <= self.observed <= self.high


@dataclass(frozen=True)
class Score:
    """How predictions of a family did: shares of the observed, and of rows in their interval."""

    family: str
    rows: int
    median: float
    p90: float
    bias: float
    coverage: float


def scores(rows: Sequence[HeldOut]) -> list[Score]:
    """Sum up each family's errors."""
    found = []
    for family in dict.fromkeys(row.family for row in rows):
        own = [row for row in rows if row.family == family]
        errors = np.array([row.error for row in own])
        found.append(
            Score(
                family=family,
                rows=len(own),
                median=float(np.median(np.abs(errors))),
                p90=float(np.quantile(np.abs(errors), 0.9)),
                bias=float(np.median(errors)),
                coverage=float(np.mean([row.covered for row in own])),
            )
        )
    return found


def worst_rows(rows: Sequence[HeldOut], number: int) -> list[HeldOut]:
    """Return the rows whose predictions are off by the largest factors."""
    return sorted(rows, key=lambda row: -abs(row.residual))[:number]


class LikelyReason(Row):
    """Why the prediction of a row is likely off."""

    id: str
    reason: str

    identity: ClassVar[tuple[str, ...]] = ("id",)
    figures: ClassVar[tuple[Figure, ...]] = (Figure("Row", "id"), Figure("Likely why", "reason"))


@cache
def _reasons() -> dict[str, str]:
    return {row.id: row.reason for row in read(DATA / "likely_reasons.csv", LikelyReason)}


@cache
def held_out() -> Listing[HeldOut]:
    """Return the predictions of left-out rows as they were when the calibration was made."""
    return Listing(read(DATA / "held_out.csv", HeldOut))


def impossible() -> list[catalog.TrainingSpeed | catalog.InferenceSpeed]:
    """Return the published rows that no chip can have reached."""
    rows: list[catalog.TrainingSpeed | catalog.InferenceSpeed] = [
        *catalog.training_speeds(), *catalog.inference_speeds()
    ]  # fmt: skip
    return [row for row in rows if row.excluded.startswith("Above the chip's peak")]


def fold_count(observations: Sequence[Observations]) -> int:
    """Count the fits that `cross_validate` makes."""
    return sum(len(set(rows.folds)) for rows in observations)


def cross_validate(
    observations: Sequence[Observations],
    start: Calibration,
    progress: Callable[[], object] = lambda: None,
) -> list[HeldOut]:
    """Predict each row from fits to all rows but its fold, with an interval from other folds'.

    `start` only shortens the search. `progress` is called after each of `fold_count` fits.
    """
    found = []
    for index, rows in enumerate(observations):
        folds = np.array(rows.folds)
        predicted = np.zeros(len(rows))
        for _, here in _each(folds):
            usable = [~here if i == index else None for i in range(len(observations))]
            predicted[here] = rows.predict(fit(observations, usable, start))[here]
            progress()
        found += with_intervals(rows, predicted)
    return found


def family_of(rows: Observations, held: Sequence[HeldOut]) -> Family:
    """Sum up a family for intervals, from its rows' held-out predictions."""
    return Family.of(
        rows.family, rows.cases, [row.residual for row in held], rows.folds, rows.sources
    )


def with_intervals(rows: Observations, predicted: Floats) -> list[HeldOut]:
    """Give each row's prediction its interval, from the residuals of other folds."""
    residuals, folds = np.log(rows.observed / predicted), np.array(rows.folds)
    found: dict[int, HeldOut] = {}
    for fold, here in _each(folds):
        others = np.flatnonzero(~here).tolist()
        family = Family.of(
            rows.family,
            [rows.cases[i] for i in others],
            [float(residuals[i]) for i in others],
            [rows.folds[i] for i in others],
            [rows.sources[i] for i in others],
        )
        for i in np.flatnonzero(here).tolist():
            low, high = family.bounds(rows.cases[i])
            found[i] = HeldOut(
                id=rows.rows[i].id,
                family=rows.family,
                fold=str(fold),
                what=rows.describe(i),
                observed=rows.observed[i],
                predicted=predicted[i],
                low=predicted[i] * low,
                high=predicted[i] * high,
                unit=rows.unit,
                source=rows.rows[i].source,
            )
    return [found[i] for i in range(len(rows))]


def _each(folds: Names) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    for fold in sorted(set(folds)):
        yield fold, folds == fold
