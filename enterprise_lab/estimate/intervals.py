"""How sure an estimate is: an 80 % interval from predictions of rows that were left out."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from enterprise_lab.catalog.rows import DATA

COVERAGE = 0.8
DOUBLING = 0.1
"""How much wider an interval is for each doubling beyond the sizes of the rows it leans on."""
NOVELTY = 0.1
"""Logarithmic error to expect of each thing that none of the rows has: a chip, a precision, a
way of sharing work. Leaving whole chips or frameworks out of the fit shows about that much."""


@dataclass(frozen=True)
class Case:
    """What decides how far rows speak for a prediction."""

    parameters: float
    length: float
    """Tokens of a sequence, or pixels along an image's edge."""
    devices: float
    accelerator: str
    precision: str
    ways: frozenset[str] = frozenset()
    """Parallelism and techniques in use that cost time of their own."""


@dataclass(frozen=True)
class Family:
    """Rows of one kind: how many, where from, what they cover and how far off predictions were.

    `low` and `high` bound the logarithm of observed over predicted in `COVERAGE` of the rows,
    each predicted by a fit that hadn't seen it nor those like it.
    """

    name: str
    rows: int
    sources: tuple[str, ...]
    low: float
    high: float
    parameters: tuple[float, float]
    length: tuple[float, float]
    devices: tuple[float, float]
    accelerators: tuple[str, ...]
    precisions: tuple[str, ...]
    ways: tuple[str, ...]

    @classmethod
    def of(
        cls,
        name: str,
        cases: Sequence[Case],
        residuals: Collection[float],
        sources: Collection[str],
    ) -> Family:
        """Sum up rows: their cases and the logarithms of observed over predicted."""
        tail = (1 - COVERAGE) / 2
        low, high = np.quantile(np.array(residuals), [tail, 1 - tail])

        def span(field: str) -> tuple[float, float]:
            sizes = [getattr(case, field) for case in cases]
            return min(sizes), max(sizes)

        return cls(
            name=name,
            rows=len(cases),
            sources=_distinct(sources),
            low=min(0.0, float(low)),
            high=max(0.0, float(high)),
            parameters=span("parameters"),
            length=span("length"),
            devices=span("devices"),
            accelerators=_distinct(case.accelerator for case in cases),
            precisions=_distinct(case.precision for case in cases),
            ways=_distinct(way for case in cases for way in case.ways),
        )

    def bounds(self, case: Case) -> tuple[float, float]:
        """Return the factors from a prediction to the ends of its interval."""
        wider = 1 + DOUBLING * sum(
            _doublings_outside(getattr(case, field), getattr(self, field))
            for field in ("parameters", "length", "devices")
        )
        unseen = NOVELTY**2 * len(self.unseen(case))
        low, high = (math.hypot(wider * end, math.sqrt(unseen)) for end in (self.low, self.high))
        return math.exp(-low), math.exp(high)

    def unseen(self, case: Case) -> list[str]:
        """List what the case has and no row does."""
        new = [
            what
            for what, seen in (
                (case.accelerator, self.accelerators),
                (case.precision, self.precisions),
            )
            if what not in seen
        ]
        return new + sorted(case.ways.difference(self.ways))

    def leans_on(self, case: Case) -> str:
        """Say in words which rows an interval leans on, and what it had to widen for."""
        text = f"{self.rows} rows of {self.name}: {'; '.join(self.sources)}"
        outside = [
            f"{what} {getattr(case, what):,.4g} beyond {min(seen):,.4g} to {max(seen):,.4g}"
            for what in ("parameters", "length", "devices")
            if _doublings_outside(getattr(case, what), seen := getattr(self, what)) > 0
        ]
        beyond = [f"no row with {what}" for what in self.unseen(case)] + outside
        return f"{text}. Wider, as it extrapolates: {', '.join(beyond)}" if beyond else text


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _doublings_outside(size: float, seen: tuple[float, float]) -> float:
    low, high = seen
    size, low, high = (max(1.0, x) for x in (size, low, high))
    return max(0.0, math.log2(low / size), math.log2(size / high))


@cache
def families() -> Mapping[str, Family]:
    """Return the families of rows that the shipped calibration was checked on, by name."""
    stored = json.loads((DATA / "calibration.json").read_text(encoding="utf-8"))["families"]
    return TypeAdapter(dict[str, Family]).validate_python(stored)
