"""Every published speed that is usable, by family."""

from __future__ import annotations

from enterprise_lab import catalog
from enterprise_lab.catalog import InferenceSpeed
from enterprise_lab.estimate.image_observations import Images
from enterprise_lab.estimate.observations import Observations
from enterprise_lab.estimate.serving_observations import EncoderInference, Generation
from enterprise_lab.estimate.training_observations import TransformerTraining


def all_observations() -> tuple[Observations, ...]:
    """Return every usable row of the catalogue, by family."""
    training = [row for row in catalog.training_speeds() if not row.excluded]
    serving = [row for row in catalog.inference_speeds() if not row.excluded]

    def kind(name: str) -> list[InferenceSpeed]:
        return [row for row in serving if row.kind == name]

    large = [row for row in training if row.zero == 3]
    encoders = [row for row in training if row.zero != 3 and not row.image_size]
    images = [row for row in training if row.image_size]
    neuron = {chip.name for chip in catalog.accelerators(vendor="AWS")}
    gpus = {chip.name for chip in catalog.accelerators()} - neuron
    return (
        TransformerTraining(large, "LLM training", "LLM training"),
        TransformerTraining(encoders, "encoder training", "encoder training"),
        Images(images, "CNN training", "CNN training", training=True),
        EncoderInference(_on(gpus, kind("encoder")), "encoder inference", "encoder inference"),
        EncoderInference(_on(neuron, kind("encoder")), "Neuron", "Neuron inference"),
        Images(_on(gpus, kind("image")), "CNN inference", "CNN inference", training=False),
        Images(_on(neuron, kind("image")), "Neuron", "Neuron image inference", training=False),
        Generation(kind("prefill"), "generation", "prefill"),
        Generation(kind("generation"), "generation", "batched generation"),
    )


def _on(chips: set[str], rows: list[InferenceSpeed]) -> list[InferenceSpeed]:
    return [row for row in rows if row.accelerator in chips]
