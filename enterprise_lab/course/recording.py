"""Keep a lab's figures next to its notebook."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enterprise_lab.estimate import Estimate
from enterprise_lab.estimate.value import html_table
from enterprise_lab.measure import records
from enterprise_lab.measure.energy import Energy
from enterprise_lab.measure.provenance import kit_commit, software
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.measure.timing import Measurement
from enterprise_lab.units import format_figure, format_range

FILE = Path("records.jsonl")

Figure = Estimate | Measurement | Energy


@dataclass(frozen=True)
class Recorded:
    """What was kept, as a table in Jupyter."""

    records: tuple[Record, ...]

    def _repr_html_(self) -> str:
        rows = [
            (
                r.metric,
                format_figure(r.value, r.unit),
                format_range(r.value, r.low, r.high, r.unit) if r.low != r.high else "",
                r.origin.value,
            )
            for r in self.records
        ]
        return html_table(
            rows, header=("metric", "figure", "range", "origin"), caption=f"kept in {FILE}"
        )


def record(lab: str, *, device: str, **figures: Figure | list[Figure]) -> Recorded:
    """Append figures to records.jsonl in the current folder and show them.

    Each keyword is a metric; a list gives the same metric from several origins.
    """
    kept = []
    for metric, given in figures.items():
        for figure in given if isinstance(given, list) else [given]:
            kept.append(_as_record(lab, device, metric, figure))
    records.append(FILE, kept)
    return Recorded(tuple(kept))


def _as_record(lab: str, device: str, metric: str, figure: Figure) -> Record:
    if isinstance(figure, Measurement):
        return records.measured(lab, metric, figure, device=device, source="the lab's notebook")
    if isinstance(figure, Energy):
        known: dict[str, Any] = {"value": figure.joules, "unit": "J", "origin": figure.origin}
    else:
        known = {
            "value": figure.value, "unit": figure.unit, "origin": Origin.ESTIMATED,
            "low": figure.low, "high": figure.high,
        }  # fmt: skip
    return Record(
        lab=lab,
        metric=metric,
        device=device,
        source=figure.source,
        versions=software(),
        git_commit=kit_commit(),
        **known,
    )
