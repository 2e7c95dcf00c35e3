"""What can be compared between the runs of a batch: parameters that vary, figures they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enterprise_lab.batch.check import Run
from enterprise_lab.batch.results import RUN_SECONDS, Result
from enterprise_lab.batch.store import State
from enterprise_lab.measure.records import Origin
from enterprise_lab.units import format_figure

NOTEBOOK = "notebook"
"""What stands beside the parameters when a plan has several notebooks."""
_UNIT_ORDER = ("USD", "s", "B")
"""Units of what decides: money first, then time, then memory."""


@dataclass(frozen=True)
class Series:
    """One metric from one origin, over runs."""

    metric: str
    unit: str
    origin: Origin

    @property
    def label(self) -> str:
        """The metric's name for people."""
        return metric_label(self.metric)

    def text(self, result: Result) -> str:
        """Write a run's figure with its unit, or nothing."""
        record = result.figure(self.metric, self.origin)
        return format_figure(record.value, record.unit) if record else ""


def value(run: Run, name: str) -> str:
    """Write a run's parameter, or the name of its notebook, for people; empty where it has none."""
    if name == NOTEBOOK:
        return Path(run.notebook).stem
    return str(run.parameters.get(name, ""))


def description(run: Run, names: Sequence[str]) -> str:
    """Say what tells a run from the others; a number needs its parameter's name."""
    said = (
        value(run, n) if n == NOTEBOOK or isinstance(run.parameters.get(n), str)
        else f"{n} {value(run, n)}".rstrip()
        for n in names
    )  # fmt: skip
    return " · ".join(said) or value(run, NOTEBOOK)


def varying_parameters(runs: Sequence[Run]) -> list[str]:
    """List what differs between runs: the notebook, then parameters in the order of the plan."""
    names = dict.fromkeys((NOTEBOOK, *(n for r in runs for n in (*r.given, *r.parameters))))
    return [n for n in names if len({value(run, n) for run in runs}) > 1]


def independent_parameters(runs: Sequence[Run]) -> list[str]:
    """Varying parameters, less those that follow from the others.

    A sequence length that goes with the model says nothing the model does not.
    """
    names = varying_parameters(runs)
    by_values = sorted(names, key=lambda n: -len({value(r, n) for r in runs}))
    kept: list[str] = []
    for name in by_values:
        groups: dict[tuple[str, ...], set[str]] = {}
        for run in runs:
            groups.setdefault(tuple(value(run, k) for k in kept), set()).add(value(run, name))
        if any(len(held) > 1 for held in groups.values()):
            kept.append(name)
    return [n for n in names if n in kept]


def all_series(results: Sequence[Result]) -> list[Series]:
    """Every metric and origin that any run recorded: the lab's first, the runner's own last."""
    found = dict.fromkeys(Series(r.metric, r.unit, r.origin) for x in results for r in x.records)
    return sorted(found, key=_rank)


def shared_series(results: Sequence[Result]) -> list[Series]:
    """List what can be compared: what all succeeded runs recorded, and not all alike."""
    succeeded = [r for r in results if r.state == State.SUCCEEDED]
    return [s for s in all_series(succeeded) if _is_shared(s, succeeded)]


def metric_label(metric: str) -> str:
    """Write a metric's name for people: `training_seconds` is `training time`."""
    words = metric.split("_")
    spoken = {"seconds": "time", "bytes": "memory", "usd": "cost", "flops": "FLOPs"}
    labels = [w if w not in spoken or spoken[w] not in words else "" for w in words]
    return " ".join(spoken.get(w, w) for w in labels if w)


def _rank(series: Series) -> tuple[bool, int]:
    order = _UNIT_ORDER.index(series.unit) if series.unit in _UNIT_ORDER else len(_UNIT_ORDER)
    return series.metric == RUN_SECONDS, order


def _is_shared(series: Series, results: Sequence[Result]) -> bool:
    figures = [r.figure(series.metric, series.origin) for r in results]
    return None not in figures and len({f.value for f in figures if f}) > 1
