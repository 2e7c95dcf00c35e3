"""How sure an estimate is: an 80 % interval from predictions of rows that were left out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from enterprise_lab.catalog.rows import DATA
from enterprise_lab.estimate.value import Estimate
from enterprise_lab.units import format_si

COVERAGE = 0.8
NEARLY_INSIDE = 0.1
"""Doublings beyond the rows that are not yet called extrapolation."""
NOVELTY = 0.1
"""Logarithmic error to expect of each thing that none of the rows has (a chip, a precision, a
way of sharing work) and of each doubling beyond their sizes, independent of each other. Leaving
whole chips or frameworks out of the fit shows about that much, and so did training steps of
networks of 2 k to 400 k parameters, predicted by a fit that had seen 12 M and more."""

ANY = "any"
ONE_FOLD = 2.4
"""Scale of an interval where all rows share a model, framework or chip: Student's t with one
degree of freedom over the normal distribution, at `COVERAGE`."""


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
    """Parallelism and techniques in use that cost time or memory of their own."""

    @property
    def of_memory(self) -> Case:
        """The same where bytes are asked for, which are counted alike in all precisions."""
        return replace(self, precision=ANY)


@dataclass(frozen=True)
class Family:
    """Rows of one kind: how many, where from, what they cover and how far off predictions were.

    Predictions came from fits that had seen neither the row nor its fold: the rows that share its
    model, framework or chip.
    """

    name: str
    rows: int
    sources: tuple[str, ...]
    spread: float
    """Absolute logarithm of observed over predicted that `COVERAGE` of the rows keep to."""
    scale: float
    """How much wider an interval from other folds must be to hold `COVERAGE` of a fold's rows."""
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
        residuals: Sequence[float],
        folds: Sequence[str],
        sources: Sequence[str],
    ) -> Family:
        """Sum up rows: their cases and the logarithms of observed over predicted.

        The scale is that of split conformal prediction with folds in place of halves (Angelopoulos
        and Bates 2021, section 1).
        """
        whole = cls._unscaled(name, cases, residuals, sources)
        needed: list[float] = []
        for fold in _distinct(folds):
            others = [i for i, its in enumerate(folds) if its != fold]
            if not others:
                return replace(whole, scale=ONE_FOLD)
            rest = cls._unscaled(
                name,
                [cases[i] for i in others],
                [residuals[i] for i in others],
                [sources[i] for i in others],
            )
            needed += [
                abs(residuals[i]) / rest.half_width(cases[i])
                for i, its in enumerate(folds)
                if its == fold
            ]
        level = min(1.0, COVERAGE * (1 + 1 / len(needed)))
        return replace(whole, scale=float(np.quantile(needed, level)))

    @classmethod
    def _unscaled(
        cls,
        name: str,
        cases: Sequence[Case],
        residuals: Sequence[float],
        sources: Sequence[str],
    ) -> Family:
        def span(field: str) -> tuple[float, float]:
            sizes = [getattr(case, field) for case in cases]
            return min(sizes), max(sizes)

        return cls(
            name=name,
            rows=len(cases),
            sources=_distinct(sources),
            spread=float(np.quantile(np.abs(residuals), COVERAGE)),
            scale=1.0,
            parameters=span("parameters"),
            length=span("length"),
            devices=span("devices"),
            accelerators=_distinct(case.accelerator for case in cases),
            precisions=_distinct(case.precision for case in cases),
            ways=_distinct(way for case in cases for way in case.ways),
        )

    def half_width(self, case: Case) -> float:
        """Return half the width of the interval of a case's logarithm."""
        doublings = sum(
            _doublings_outside(getattr(case, field), getattr(self, field))
            for field in ("parameters", "length", "devices")
        )
        unseen = NOVELTY * math.sqrt(len(self.unseen(case)) + doublings)
        return self.scale * math.hypot(self.spread, unseen)

    def bounds(self, case: Case) -> tuple[float, float]:
        """Return the factors from a prediction to the ends of its interval."""
        factor = math.exp(self.half_width(case))
        return 1 / factor, factor

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
        beyond = self.beyond(case)
        return f"{text}. Wider, as it extrapolates: {'; '.join(beyond)}" if beyond else text

    def beyond(self, case: Case) -> list[str]:
        """Say in words what an interval had to widen for, such as `1 device (rows: 8 to 128)`."""
        sizes = {
            "parameters": ("{} parameters", format_si),
            "length": ("a length of {}", "{:,.0f}".format),
            "devices": ("devices: {}", "{:,.0f}".format),
        }
        found = [f"no row with {what}" for what in self.unseen(case)]
        for field, (what, write) in sizes.items():
            size, seen = getattr(case, field), getattr(self, field)
            if _doublings_outside(size, seen) > 0:
                ends = " to ".join(dict.fromkeys(write(end) for end in seen))
                found.append(f"{what.format(write(size))}, rows have {ends}")
        return found


def seconds_estimate(
    terms: Mapping[str, float], family: Family, case: Case, at_least: float = 0.0
) -> Estimate:
    """Return the sum of terms with its interval, which doesn't reach below `at_least` seconds."""
    seconds = sum(terms.values())
    low, high = family.bounds(case)
    return Estimate(
        value=seconds,
        unit="s",
        source=f"rooflines by operation; {family.leans_on(case)}",
        low=max(seconds * low, min(seconds, at_least)),
        high=seconds * high,
        terms={name: term for name, term in terms.items() if term},
    )


def memory_estimate(terms: Mapping[str, float], family: Family, case: Case) -> Estimate:
    """Return the sum of terms with its interval, which doesn't reach below what is exact."""
    need = sum(terms.values())
    exact = sum(terms.get(term, 0.0) for term in ("weights", "optimizer states", "KV cache"))
    low, high = family.bounds(case.of_memory)
    return Estimate(
        value=need,
        unit="B",
        source=f"tensor by tensor; {family.leans_on(case.of_memory)}",
        low=max(need * low, exact),
        high=need * high,
        terms=terms,
    )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _doublings_outside(size: float, seen: tuple[float, float]) -> float:
    low, high = seen
    size, low, high = (max(1.0, x) for x in (size, low, high))
    doublings = max(math.log2(low / size), math.log2(size / high))
    return doublings if doublings > NEARLY_INSIDE else 0.0


@cache
def families() -> Mapping[str, Family]:
    """Return the families of rows that the shipped calibration was checked on, by name."""
    stored = json.loads((DATA / "calibration.json").read_text(encoding="utf-8"))["families"]
    return TypeAdapter(dict[str, Family]).validate_python(stored)
