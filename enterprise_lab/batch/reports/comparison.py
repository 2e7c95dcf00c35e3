"""What can be compared between runs: parameters that vary, figures they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.reports.results import (
    OWN_METRICS,
    RUN_COST,
    RUN_MEMORY,
    RUN_SECONDS,
    Result,
)
from enterprise_lab.measure.records import Origin
from enterprise_lab.units import format_figure

NOTEBOOK = "notebook"
HARDWARE = "hardware"
"""What stands beside the parameters where runs differ in their notebook or kind of device."""
OF_THE_NOTEBOOK = (*OWN_METRICS, "lab_seconds", "lab_memory_bytes")
"""What executing the notebook took, not what it is about: it comes last."""
_UNIT_ORDER = ("USD", "s", "B")
"""Units of what decides: money first, then time, then memory."""
_SPOKEN = {
    "seconds": "time", "bytes": "memory", "usd": "cost", "flops": "FLOPs", "flop": "FLOP",
    "mfu": "MFU", "hfu": "HFU", "f1": "F1", "auc": "AUC", "roc": "ROC", "gpu": "GPU",
    "gpus": "GPUs", "cpu": "CPU", "tpu": "TPU", "rmse": "RMSE", "mse": "MSE", "mae": "MAE",
    "ndcg": "NDCG", "bleu": "BLEU", "rouge": "ROUGE", "kwh": "kWh", "ttft": "TTFT", "tpot": "TPOT",
}  # fmt: skip
_OWN_LABELS = {
    RUN_SECONDS: "run time",
    RUN_MEMORY: "peak memory of the run",
    RUN_COST: "cost of the run",
}


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


def value(result: Result, name: str) -> str:
    """Write a run's parameter, notebook or hardware for people; empty where it has none."""
    if name in result.parameters:
        return str(result.parameters[name])
    if name == NOTEBOOK:
        return Path(result.notebook).stem
    return result.identity.device if name == HARDWARE else ""


def words(result: Result, name: str) -> str:
    """Write the same for where it stands alone: a number needs its parameter's name."""
    held = value(result, name)
    bare = name not in result.parameters or isinstance(result.parameters[name], str)
    return held if bare else f"{name.replace('_', ' ')} {held}"


def description(result: Result, names: Sequence[str]) -> str:
    """Say what tells a run from the others."""
    said = filter(None, (words(result, n) for n in names))
    return " · ".join(said) or value(result, NOTEBOOK)


def varying_parameters(results: Sequence[Result]) -> list[str]:
    """List what differs between runs: notebook, hardware, then parameters in the plan's order."""
    names = dict.fromkeys((NOTEBOOK, HARDWARE, *(n for r in results for n in r.parameters)))
    return [n for n in names if len({value(r, n) for r in results}) > 1]


def independent_parameters(results: Sequence[Result]) -> list[str]:
    """Varying parameters, less those that follow from the others.

    A sequence length that goes with the model says nothing the model does not.
    """
    names = varying_parameters(results)
    by_values = sorted(names, key=lambda n: -len({value(r, n) for r in results}))
    kept: list[str] = []
    for name in by_values:
        groups: dict[tuple[str, ...], set[str]] = {}
        for result in results:
            key = tuple(value(result, k) for k in kept)
            groups.setdefault(key, set()).add(value(result, name))
        if any(len(held) > 1 for held in groups.values()):
            kept.append(name)
    return [n for n in names if n in kept]


def is_seed(name: str) -> bool:
    """Whether a parameter only repeats the same work with other chance."""
    return name == "seed" or name.endswith("_seed")


def all_series(results: Sequence[Result]) -> list[Series]:
    """Every metric and origin that any run recorded.

    What differs in its device comes first, what is of this machine after it, by unit: money,
    time, memory, the rest; on one machine what has no unit, such as accuracy, comes before these.
    What executing the notebook took is last.
    """
    found = dict.fromkeys(Series(r.metric, r.unit, r.origin) for x in results for r in x.records)
    common = {metric: common_device(metric, results) for metric in {s.metric for s in found}}
    return sorted(
        found,
        key=lambda s: (
            s.metric in OF_THE_NOTEBOOK,
            common[s.metric] != "",
            # Where no hardware is compared, what was learned matters more than what it took.
            s.unit != "1" and common[s.metric] != "",
            _UNIT_ORDER.index(s.unit) if s.unit in _UNIT_ORDER else len(_UNIT_ORDER),
        ),
    )


def shared_series(results: Sequence[Result]) -> list[Series]:
    """List what can be compared: what a notebook's succeeded runs all recorded, and not all alike.

    A metric that varies in one origin is there with all of them, predicted beside measured.
    """
    succeeded = [r for r in results if r.state == State.SUCCEEDED]
    shared = [s for s in all_series(succeeded) if _is_shared(s, succeeded)]
    varying = {s.metric for s in shared if len({s.text(r) for r in having(s, succeeded)}) > 1}
    return [s for s in shared if s.metric in varying]


def having(series: Series, results: Sequence[Result]) -> list[Result]:
    """List the runs that recorded it."""
    return [r for r in results if r.figure(series.metric, series.origin)]


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
    if metric in _OWN_LABELS:
        return _OWN_LABELS[metric]
    if metric.endswith("_per_second"):
        *rest, counted = metric.removesuffix("_per_second").split("_")
        counted = {"flops": "FLOP", "bytes": "bytes"}.get(counted, _SPOKEN.get(counted, counted))
        return " ".join([*(_SPOKEN.get(w, w) for w in rest), f"{counted}/s"])
    parts = metric.split("_")
    labels = [w if w not in _SPOKEN or _SPOKEN[w] not in parts else "" for w in parts]
    return " ".join(_SPOKEN.get(w, w) for w in labels if w)


def capitalised(label: str) -> str:
    """Begin with a capital, leaving abbreviations as they are."""
    return label[:1].upper() + label[1:]


def _is_shared(series: Series, succeeded: Sequence[Result]) -> bool:
    holders = having(series, succeeded)
    notebooks = {r.notebook for r in holders}
    return len(holders) == sum(r.notebook in notebooks for r in succeeded)
