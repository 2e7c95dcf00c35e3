"""The figures of trainings as records, the same for a sweep and for whole runs."""

from __future__ import annotations

from enterprise_lab.measure.records import Record, Scalar, measured
from enterprise_lab.measure.timing import Measurement
from enterprise_lab.training.run import Run
from enterprise_lab.training.trainer import Trainer

LAB = "02_hardware_comparison"
STEP_SECONDS = "step_seconds"
FIRST_STEP_SECONDS = "first_step_seconds"
SECONDS_TO_TARGET = "seconds_to_target"
SAMPLES_PER_SECOND = "samples_per_second"
ACCURACY = "accuracy"
ENERGY = "energy_joules"
PEAK_MEMORY = "peak_memory_bytes"


def record(
    trainer: Trainer, metric: str, taken: Measurement, *, source: str, **more: Scalar
) -> Record:
    """Record a figure of a trainer; `more` adds to the parameters that say what was trained."""
    network, recipe = trainer.network, trainer.recipe
    return measured(
        LAB,
        metric,
        taken,
        device=trainer.device,
        source=source,
        parameters={
            "framework": trainer.framework,
            "kind": trainer.kind,
            "precision": recipe.precision,
            "batch": recipe.batch,
            "width": network.width,
            "image_size": network.image_size,
            "channels": network.channels,
            "classes": network.classes,
            **more,
        },
        versions=trainer.versions,
    )


def of_run(trainer: Trainer, run: Run, *, source: str) -> list[Record]:
    """Record what a training took; seconds to the target only where it was reached."""
    figures = {
        SECONDS_TO_TARGET: (run.seconds_to_target, "s"),
        FIRST_STEP_SECONDS: (run.first_step_seconds, "s"),
        SAMPLES_PER_SECOND: (run.samples_per_second, "images/s"),
        ACCURACY: (run.curve[-1].accuracy, ""),
    }
    return [
        record(
            trainer,
            metric,
            single(value, unit, run.doubt),
            source=source,
            target_accuracy=run.target_accuracy,
            epochs=len(run.curve),
            seed=trainer.recipe.seed,
        )
        for metric, (value, unit) in figures.items()
        if value is not None
    ]


def single(value: float, unit: str, doubt: str = "") -> Measurement:
    """Make the measurement of what happened once."""
    return Measurement(value, unit, value, value, 1, doubt=doubt)
