"""All that the estimator is fitted to and judged by: published rows and steps recorded by us."""

from __future__ import annotations

from dataclasses import fields

from enterprise_lab import catalog
from enterprise_lab.estimate.measured_steps import MeasuredStep, Phase, measured_observations
from enterprise_lab.estimate.memory_observations import MemoryPeak, MemoryPeaks
from enterprise_lab.estimate.observations import Observations
from enterprise_lab.estimate.peaks import recorded_trainable
from enterprise_lab.estimate.published_observations import all_observations
from enterprise_lab.measure.records import Record, recorded
from enterprise_lab.measure.this_machine import accelerator_of
from enterprise_lab.shapes import Shape, TransformerShape, networks

_FILES = ("cpu_steps", "cpu_decoding", "cpu_small_networks", "cpu_fine_tuning")
_PHASES: dict[str, Phase] = {
    "training step": "training",
    "forward": "inference",
    "decoding": "decoding",
}


def observed() -> tuple[Observations, ...]:
    """Return every row by family."""
    processor = accelerator_of(recorded("cpu_rates"))
    rows = [r for name in _FILES for r in recorded(name)]
    steps = [
        MeasuredStep(
            id=f"cpu{number:02}",
            model=str(record.parameters["model"]),
            shape=_shape(record),
            chip=processor,
            phase=_PHASES[str(record.parameters["phase"])],
            precision=str(record.parameters["precision"]),
            batch=int(record.parameters["global_batch"]),
            length=int(record.parameters.get("sequence_length") or record.parameters["image_size"]),
            predicted_share=float(record.parameters.get("predicted_share", 0.0)),
            flash_attention=bool(record.parameters.get("flash_attention", False)),
            dropout=float(record.parameters.get("dropout", 0.0)) > 0,
            fused_optimizer=record.parameters.get("optimizer") == "fused AdamW",
            recompute="full" if record.parameters.get("recompute") == "full" else "none",
            trainable=recorded_trainable(str(record.parameters.get("trainable", "all")), bits=32),
            seconds=record.value,
            framework=f"PyTorch {record.versions['torch']}, {record.device}",
            source=f"{record.source}, {record.run}",
        )
        for number, record in enumerate(rows, start=1)
    ]
    return all_observations() + measured_observations(steps)


def memory_peaks() -> MemoryPeaks:
    """Return the recorded memory peaks."""
    processor = accelerator_of(recorded("cpu_rates"))
    rows = [
        MemoryPeak(
            id=f"peak{number:03}",
            chip=processor,
            parameters=record.parameters,
            size_bytes=record.value,
            framework=f"PyTorch {record.versions['torch']}, {record.device}",
            source=f"{record.source}, {record.run}",
        )
        for number, record in enumerate(recorded("cpu_memory_peaks"), start=1)
    ]
    return MemoryPeaks(rows)


def _shape(record: Record) -> Shape:
    its = record.parameters
    if "widths" in its:
        return networks.plain(tuple(int(width) for width in str(its["widths"]).split("-")))
    if "image_size" in its:
        return catalog.model(str(its["model"])).shape
    known = [field.name for field in fields(TransformerShape) if field.name in its]
    return TransformerShape(**{name: its[name] for name in known})  # type: ignore[arg-type]
