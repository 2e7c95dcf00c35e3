"""Steps by batch size, as pictures draw them: measured here, recorded elsewhere, estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enterprise_lab.course.hardware_pictures import Run, Step, Steps
from enterprise_lab.estimate import Estimate
from enterprise_lab.measure.records import RECORDED_RUNS, Origin, Record, recorded
from enterprise_lab.training import run as training
from enterprise_lab.training.figures import STEP_SECONDS
from enterprise_lab.training.small_cnn import SmallCNN

_FILES = "hardware_"


def series_of(records: Sequence[Record], device: str = "") -> dict[str, Steps]:
    """Group the steps of a sweep by framework and format; `device` is put before their names."""
    before = f"{device}, " if device else ""
    lines: dict[str, list[Record]] = {}
    for one in records:
        if one.metric == STEP_SECONDS:
            its = one.parameters
            lines.setdefault(f"{before}{its['framework']}, {its['precision']}", []).append(one)
    return {
        name: Steps(sorted(_step(one) for one in line), line[0].origin)
        for name, line in lines.items()
    }


def estimated(steps: Mapping[int, Estimate]) -> Steps:
    """Return estimated steps by their batch sizes."""
    found = [
        Step(batch, one.value, one.low or one.value, one.high or one.value)
        for batch, one in sorted(steps.items())
    ]
    return Steps(found, Origin.ESTIMATED)


def recorded_series(network: SmallCNN, besides: str) -> dict[str, Steps]:
    """Return the steps of this network that were recorded on accelerators other than `besides`.

    There are none where nobody has recorded any: `make record` does, on a machine that has one.
    """
    found: dict[str, Steps] = {}
    names = sorted(file.name.removesuffix(".jsonl") for file in RECORDED_RUNS.iterdir())
    for name in (name for name in names if name.startswith(_FILES)):
        own = [one for one in recorded(name) if _is_of(one, network) and one.device != besides]
        for device in dict.fromkeys(one.device for one in own):
            found |= series_of([one for one in own if one.device == device], device)
    return found


def _is_of(record: Record, network: SmallCNN) -> bool:
    its = record.parameters
    return (
        record.metric == STEP_SECONDS
        and its["kind"] != "cpu"
        and its["framework"] == "PyTorch"
        and all(its[name] == size for name, size in vars(network).items())
    )


def _step(record: Record) -> Step:
    value = record.value
    low, high = (value if end is None else end for end in (record.low, record.high))
    return Step(int(record.parameters["batch"]), value, low, high)


def curve_of(run: training.Run) -> Run:
    """Return a training that was measured, as its accuracy is drawn."""
    accuracy = [(epoch.seconds, epoch.accuracy) for epoch in run.curve]
    return Run(accuracy, run.first_step_seconds, Origin.MEASURED)
