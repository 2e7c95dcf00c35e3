"""What a run will take, said before it starts: seconds, and bytes on its device."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from enterprise_lab import catalog, estimate
from enterprise_lab.batch.attempt import Identity, Predicted, Scalar, State, Status
from enterprise_lab.batch.plans.identity import run_id
from enterprise_lab.batch.plans.schema import Workload
from enterprise_lab.catalog import Accelerator
from enterprise_lab.errors import LabError, require_kind, require_whole
from enterprise_lab.estimate import Estimate
from enterprise_lab.labs import Lab
from enterprise_lab.units import GB, format_bytes, format_si

RUNS_DIFFER = 1.3
"""By at most this factor have runs of labs 01 and 02 differed from what was predicted of them. It
is taken, too, for what ran only once before."""
START_SECONDS = 4.0
"""What a run takes beside its notebook's own code: to start its process, its kernel and PyTorch,
and to write what it leaves. Measured on two cores."""

LARGEST = 10**9
"""Beyond any batch, and any number of steps, that was meant."""

_PROCESS_BYTES = 0.12 * GB
"""What the process holds that drives a notebook's kernel."""
_LIBRARIES_BYTES = 0.4 * GB
"""What the kernel holds with PyTorch and transformers imported, before there is a model."""
_BATCH = ("batch_size", "global_batch", "batch")


@dataclass(frozen=True)
class Place:
    """Where a run is to be made: its kind of device, None where that is not known, how many."""

    chip: Accelerator | None
    devices: int = 1


def predict_lab(lab: Lab, parameters: Mapping[str, Scalar], processor: Accelerator) -> Predicted:
    """Predict a run of one of the kit's labs; LabError for a profile the lab doesn't have."""
    needs = lab.needs_with(parameters)
    rate = processor.peak_flops("fp32")
    seconds = START_SECONDS + needs.seconds(rate)
    return Predicted(
        seconds=seconds,
        low_seconds=seconds / RUNS_DIFFER,
        high_seconds=seconds * RUNS_DIFFER,
        memory_bytes=_PROCESS_BYTES + needs.memory_bytes,
        source=f"lab {lab.folder} as measured, for a processor of {format_si(rate, 'FLOP/s')}",
    )


def predict_workload(
    workload: Workload, parameters: Mapping[str, Scalar], place: Place
) -> Predicted:
    """Predict what a run's parameters describe, by the estimator.

    `model`, `batch_size` (or `global_batch`, or `batch`), `sequence_length` and `precision` give
    the bytes on each device, `steps` the seconds. Raises LabError where the first two are missing,
    where the estimator refuses the rest, and where it doesn't fit the device.
    """
    model, size = parameters.get("model"), _first(parameters, _BATCH)
    if not isinstance(model, str) or size is None:
        raise LabError(
            f"its notebook has no parameters that say what its {workload} is",
            "Give it the parameters model and batch_size, or leave `workload` out.",
        )
    batch = require_whole("a batch", size, LARGEST)
    if (steps := parameters.get("steps")) is not None:
        require_whole("steps", steps, LARGEST)
    if (precision := parameters.get("precision")) is not None:
        require_kind("precision", precision, str, "'bf16'")
    if place.chip is None:
        return Predicted()
    settings = tuple(
        (name, parameters[name])
        for name in ("sequence_length", "output_length", "precision", "steps")
        if parameters.get(name) is not None
    )
    return _estimated(workload, model, batch, settings, place)


@cache
def _estimated(
    workload: Workload,
    model: str,
    batch: int,
    settings: tuple[tuple[str, Any], ...],
    place: Place,
) -> Predicted:
    assert place.chip is not None
    given: dict[str, Any] = dict(settings)
    shape, chip = catalog.model(model).shape, place.chip
    length, precision = given.get("sequence_length", 0), given.get("precision", "fp32")
    found: estimate.TrainingEstimate | estimate.InferenceEstimate
    if workload == "training":
        plan = estimate.Plan(data=place.devices, micro_batch=max(1, batch // place.devices))
        found = estimate.training(
            shape, sequence_length=length, global_batch=batch, accelerator=chip, plan=plan,
            precision=precision,
        )  # fmt: skip
        step = found.step_seconds
    else:
        found = estimate.inference(
            shape, accelerator=chip, precision=precision, batch=batch, input_length=length,
            output_length=given.get("output_length", 0),
        )  # fmt: skip
        step = found.batch_seconds
    memory = found.memory_bytes_per_device.value
    if not found.fits:
        raise LabError(
            f"{workload} {model} with a batch of {batch} takes {format_bytes(memory)} of each"
            f" {chip.name}, which has {format_bytes(chip.memory_bytes)}",
            _smaller(found),
        )
    if chip.is_processor:
        memory += _PROCESS_BYTES + _LIBRARIES_BYTES
    source = f"the estimator, of the steps alone, for {place.devices} x {chip.name}"
    if "steps" not in given:
        return Predicted(memory_bytes=memory, source=source)
    return _whole(step.scaled(given["steps"], "s", "steps"), memory, source)


def _whole(steps: Estimate, memory_bytes: float, source: str) -> Predicted:
    return Predicted(
        seconds=START_SECONDS + steps.value,
        low_seconds=START_SECONDS + (steps.value if steps.low is None else steps.low),
        high_seconds=START_SECONDS + (steps.value if steps.high is None else steps.high),
        memory_bytes=memory_bytes,
        source=source,
    )


def _smaller(found: estimate.TrainingEstimate | estimate.InferenceEstimate) -> str:
    """Say which batch fits, of training the largest that divides the one that doesn't."""
    chip = found.accelerator
    if isinstance(found, estimate.TrainingEstimate):
        try:
            fitting = estimate.largest_micro_batch(
                found.shape,
                memory_bytes=chip.memory_bytes,
                sequence_length=found.sequence_length,
                at_most=found.plan.micro_batch,
                precision=found.precision,
                predicted_share=float(found.shape.kind != "encoder"),
            )
        except LabError:
            return "Not even a batch of 1 fits: use a device with more memory, or a smaller model."
        return f"Use a batch of {fitting * found.plan.data}, which fits, or a larger device."
    return "Use a smaller batch or a device with more memory."


class History:
    """Attempts that were made before, to tell of runs what nothing else tells."""

    def __init__(self, earlier: Iterable[Status]) -> None:
        self._alike: defaultdict[Hashable, list[Status]] = defaultdict(list)
        self._devices: dict[str, str] = {}
        for one in earlier:
            self._devices[_anywhere(one.identity)] = one.identity.device
            if one.state == State.SUCCEEDED:
                self._alike[_kind(one.identity)].append(one)
                self._alike[_kind(one.identity), _values(one.identity)].append(one)

    def device(self, run: Identity) -> str | None:
        """Return the kind of device that the very same run was last made on, if it ever was."""
        return self._devices.get(_anywhere(run))

    def predict(self, run: Identity) -> Predicted:
        """Predict from runs of the same notebook on the same kind of device.

        Of these, from those with the same parameters, if there are any. Others say about how long
        it takes, and no more: a batch twice as large may take any memory, and any time.
        """
        others = self._alike.get(_kind(run), [])
        alike = self._alike.get((_kind(run), _values(run)))
        seconds = [one.ended.run_seconds for one in alike or others]
        if not seconds:
            return Predicted()
        earlier = f"{len(seconds)} earlier run{'s' * (len(seconds) > 1)}"
        if not alike:
            return Predicted(
                seconds=statistics.median(seconds),
                source=f"{earlier} of the notebook with other parameters",
            )
        differ = RUNS_DIFFER if len(seconds) == 1 else 1.0
        memory = [one.ended.peak_memory_bytes for one in alike if one.ended.peak_memory_bytes]
        return Predicted(
            seconds=statistics.median(seconds),
            low_seconds=min(seconds) / differ,
            high_seconds=max(seconds) * differ,
            memory_bytes=max(memory, default=None),
            source=f"{earlier} of the same parameters",
        )


def _anywhere(run: Identity) -> str:
    return run_id(run.model_copy(update={"device": ""}))


def _kind(run: Identity) -> Hashable:
    return run.notebook, run.device


def _values(run: Identity) -> Hashable:
    return frozenset((name, type(value), value) for name, value in run.parameters.items())


def _first(parameters: Mapping[str, Scalar], names: Sequence[str]) -> Scalar:
    return next((parameters[n] for n in names if parameters.get(n) is not None), None)
