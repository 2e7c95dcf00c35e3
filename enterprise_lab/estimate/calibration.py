"""The few figures that measurements, not datasheets, decide."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from enterprise_lab.catalog import Accelerator
from enterprise_lab.catalog.rows import DATA
from enterprise_lab.estimate.model_dimensions import Figures
from enterprise_lab.shapes import ConvolutionalShape, TransformerShape

STACKS = ("LLM training", "encoder training", "CNN training", "encoder inference",
          "CNN inference", "generation", "Neuron", "CPU training", "CPU inference",
          "CPU image training", "CPU image inference", "CPU decoding")  # fmt: skip
"""Software that launches, fuses and overlaps differently, and was therefore fitted apart."""
PRECISION_CLASS = {"fp32": "fp32", "tf32": "tf32", "fp16": "16 bit", "bf16": "16 bit",
                   "fp8": "8 bit", "int8": "8 bit"}  # fmt: skip


@dataclass(frozen=True)
class Coefficients:
    """Terms of the time model fitted to published and measured speeds.

    Every field is a number, or an array with one figure for each case.
    """

    matmul_share: Figures
    """Rate of a very large matrix product over the best anyone measured on such a chip."""
    attention_share: Figures
    """The same for the products of attention, which run in 16 bits where weights have fewer."""
    half_size: Figures
    """Size at which a matrix product falls to half its rate, its other sizes being large."""
    memory_share: Figures
    """Rate of streaming through memory over the datasheet's bandwidth."""
    flash_share: Figures
    """Rate of fused attention over the best measured matrix rate."""
    score_traffic: Figures
    """Memory traffic of unfused attention scores over that of a fused softmax and dropout."""
    cache_share: Figures
    """Rate of reading the KV cache over the datasheet's bandwidth."""
    vector_share: Figures
    """Rate of attention of single queries over the fp32 rate outside the matrix units."""
    link_share: Figures
    """Rate of a collective inside a node over the link's."""
    network_share: Figures
    """Rate of a collective between nodes over the network's."""
    gather_share: Figures
    """The same for gathering fully sharded parameters layer by layer."""
    overlap_loss: Figures
    """Share of hidden communication that still slows the computation it hides behind."""
    link_hop_seconds: Figures
    """Latency of a collective from one device to the next inside a node."""
    network_hop_seconds: Figures
    """The same from one node to the next."""
    elementwise_traffic: Figures
    """Memory traffic of norms, activations and additions over that of well fused ones."""
    mask_seconds: Figures
    """To draw one element of a dropout mask; nothing on a GPU, which draws while it waits."""
    layer_overhead_seconds: Figures
    """What a layer's forward pass takes beside its arithmetic: launches, ramps and tails."""
    step_overhead_seconds: Figures
    """What a step takes beside its layers: the optimizer's launches, the input, the loop. In
    training that of a Transformer of 24 layers, more or less with their number; that of a
    convolutional network of 174 operations likewise."""


SHARED = ("half_size", "memory_share", "flash_share", "score_traffic", "cache_share",
          "vector_share", "link_share", "network_share", "gather_share", "overlap_loss",
          "link_hop_seconds", "network_hop_seconds")  # fmt: skip
BY_STACK = ("elementwise_traffic", "layer_overhead_seconds", "step_overhead_seconds")


@dataclass(frozen=True)
class Calibration:
    """Fitted figures by name: shared ones, matmul shares by precision, and those of each stack."""

    figures: Mapping[str, float]

    def coefficients(
        self, stack: str | Sequence[str], precision: str | Sequence[str]
    ) -> Coefficients:
        """Return the coefficients of one case, or arrays for as many as are named."""

        def share(one: str) -> float:
            processor = f"matmul_share, {stack}"
            return (
                self.figures.get(processor) or self.figures[f"matmul_share, {PRECISION_CLASS[one]}"]
            )

        def at_least_16_bits(one: str) -> str:
            return "bf16" if PRECISION_CLASS[one] == "8 bit" else one

        if isinstance(stack, str) and isinstance(precision, str):
            own = {
                name: self.figures.get(f"{name}, {stack}") or self.figures[name]
                for name in (*SHARED, *BY_STACK)
            }
            return Coefficients(
                matmul_share=share(precision),
                attention_share=share(at_least_16_bits(precision)),
                mask_seconds=self.figures.get(f"mask_seconds, {stack}", 0.0),
                **own,
            )
        each = [self.coefficients(one, at) for one, at in zip(stack, precision, strict=True)]
        names = Coefficients.__dataclass_fields__
        return Coefficients(**{name: np.array([getattr(c, name) for c in each]) for name in names})


def training_stack(
    shape: TransformerShape | ConvolutionalShape, flash_attention: bool, chip: Accelerator
) -> str:
    """Return the software that a training step is assumed to run on.

    Encoders without fused attention were measured in the frameworks of their time, everything
    else of Transformers in today's; processors have their own.
    """
    if isinstance(shape, ConvolutionalShape):
        return "CPU image training" if chip.is_processor else "CNN training"
    if chip.is_processor:
        return "CPU training"
    if shape.kind == "encoder" and not flash_attention:
        return "encoder training"
    return "LLM training"


def serving_stack(shape: TransformerShape | ConvolutionalShape, chip: Accelerator) -> str:
    """Return the software that a forward pass or generation is assumed to run on.

    AWS's own chips, whose compiler keeps activations on the chip, have theirs; what writes text
    streams its weights there too, as nothing measured says otherwise.
    """
    writes = isinstance(shape, TransformerShape) and shape.kind != "encoder"
    if chip.vendor == "AWS" and not writes:
        return "Neuron"
    if isinstance(shape, ConvolutionalShape):
        return "CPU image inference" if chip.is_processor else "CNN inference"
    if chip.is_processor:
        return "CPU inference"
    return "encoder inference" if shape.kind == "encoder" else "generation"


def decoding_stack(shape: TransformerShape | ConvolutionalShape, chip: Accelerator) -> str:
    """Return the software that further tokens are assumed to be generated by."""
    return "CPU decoding" if chip.is_processor else serving_stack(shape, chip)


@cache
def calibration() -> Calibration:
    """Return the calibration that ships, fitted to every usable row of the catalogue."""
    text = (DATA / "calibration.json").read_text(encoding="utf-8")
    return Calibration(json.loads(text)["figures"])
