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
    """Every metric and origin that any run recorded.

    What differs in its device comes first, what is of this machine after it, by unit: money,
    time, memory, the rest; the runner's own metric is last.
    """
    found = dict.fromkeys(Series(r.metric, r.unit, r.origin) for x in results for r in x.records)
    return sorted(
        found,
        key=lambda s: (
            s.metric == RUN_SECONDS,
            common_device(s.metric, results) != "",
            _UNIT_ORDER.index(s.unit) if s.unit in _UNIT_ORDER else len(_UNIT_ORDER),
        ),
    )


def shared_series(results: Sequence[Result]) -> list[Series]:
    """List what can be compared: what all succeeded runs recorded, and not all alike.

    A metric that varies in one origin is there with all of them, predicted beside measured.
    """
    succeeded = [r for r in results if r.state == State.SUCCEEDED]
    shared = [
        s for s in all_series(succeeded) if all(r.figure(s.metric, s.origin) for r in succeeded)
    ]
    varying = {s.metric for s in shared if len({s.text(r) for r in succeeded}) > 1}
    return [s for s in shared if s.metric in varying]


def common_device(metric: str, results: Sequence[Result]) -> str:
    """Name the one device a metric's latest figures of all runs are from; empty if there are more.

    Figures of one device say nothing about the hardware that a plan compares.
    """
    names = [
        {figure.device for r in results if (figure := r.figure(metric, origin))}
        for origin in Origin
    ]
    if any(len(held) > 1 for held in names):
        return ""
    # The lab and the runner may name one machine in more or fewer words.
    return max((device for held in names for device in held), key=len, default="")


def metric_label(metric: str) -> str:
    """Write a metric's name for people: `training_seconds` is `training time`."""
    words = metric.split("_")
    spoken = {"seconds": "time", "bytes": "memory", "usd": "cost", "flops": "FLOPs"}
    labels = [w if w not in spoken or spoken[w] not in words else "" for w in words]
    return " ".join(spoken.get(w, w) for w in labels if w)
