"""Predictions of recorded memory peaks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from enterprise_lab.estimate.activations import Implementation
from enterprise_lab.estimate.inference_memory import inference_memory
from enterprise_lab.estimate.memory import training_memory, usual_implementation
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.states import StateBytes
from enterprise_lab.estimate.trainable import LowRank, Trainable
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape, shape_from_hf_config
from enterprise_lab.shapes.networks import resnet

_BITS = {"fp32": 32, "bf16": 16}
_ACTIVATIONS = {"gpt_neox": "gelu", "bloom": "gelu", "opt": "relu"}
"""Of Hugging Face's configs, where not the usual one of models of their shape."""


def peak_shape(parameters: Mapping[str, Any]) -> Shape:
    """Return the shape of a recorded peak's model."""
    config = json.loads(parameters["config"])
    if config["model_type"] == "resnet":
        layers = resnet(tuple(config["depths"]), bottleneck=config["layer_type"] == "bottleneck")
        return ConvolutionalShape(parameters["model"], layers)
    return shape_from_hf_config(config)


def recorded_trainable(name: str, *, bits: int) -> Trainable:
    """Return what a record calls "all", "head" or, by its rank, "lora 8" on weights of `bits`."""
    if name.startswith("lora"):
        return LowRank(rank=int(name.split()[1]), base_bits=bits)
    return "head" if name == "head" else "all"


def predicted_peak(parameters: Mapping[str, Any], *, as_written: bool = True) -> dict[str, float]:
    """Bytes by term of the work that a recorded peak's `parameters` describe.

    The work is that of Hugging Face modules on one device, without framework and fragmentation,
    which the allocator of a CPU doesn't have. In 16 bits, optimizer states have them too. With
    `as_written` false it is predicted as for any user, by the kind of model alone.
    """
    shape, it = peak_shape(parameters), parameters
    bits = _BITS[it["precision"]]
    written = usual_implementation(shape, split=False)
    if as_written and isinstance(shape, TransformerShape):
        activation = _ACTIVATIONS.get(json.loads(it["config"])["model_type"])
        written = replace(
            Implementation.of_transformers(shape, activation=activation), mask_bytes=bits // 8
        )
    if it["work"] == "inference":
        return inference_memory(
            shape, batch=it["batch"], input_length=it["length"], output_length=it["output"],
            weight_bits=bits, cache_bits=bits, image_size=it["length"], implementation=written,
            fragmentation=0, framework_bytes=0,
        )  # fmt: skip
    return training_memory(
        shape,
        sequence_length=it["length"],
        plan=Plan(
            micro_batch=it["batch"],
            recompute=it["recompute"],
            flash_attention=it["attention"] == "sdpa",
        ),
        global_batch=it["batch"],
        precision=it["precision"],
        states=StateBytes.of(it["precision"], it["optimizer"], masters="bf16"),
        trainable=recorded_trainable(it["trainable"], bits=bits),
        image_size=it["length"],
        dropout=it["dropout"] > 0,
        implementation=written,
        fragmentation=0,
        framework_bytes=0,
    )
