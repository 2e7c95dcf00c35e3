"""Bytes that training keeps on the fullest device."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypedDict

import numpy as np

from enterprise_lab.catalog import Accelerator
from enterprise_lab.errors import (
    LabError,
    require_flag,
    require_kind,
    require_not_negative,
    require_positive,
    require_share,
    require_whole,
)
from enterprise_lab.estimate.activations import (
    FUSED,
    Implementation,
    activation_bytes,
    trains_with_dropout,
)
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE
from enterprise_lab.estimate.image_activations import image_memory
from enterprise_lab.estimate.plan import LARGEST_BATCH, Plan, Recompute, require_plan
from enterprise_lab.estimate.stage_memory import stage_memory
from enterprise_lab.estimate.states import Optimizer, StateBytes, chosen_states, compute_bytes
from enterprise_lab.estimate.trainable import Trainable, require_trainable
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape, require_shape
from enterprise_lab.units import format_bytes

__all__ = [
    "LARGEST_BATCH",
    "StateBytes",
    "activation_bytes",
    "compute_bytes",
    "device_memory",
    "largest_micro_batch",
    "training_memory",
]
Terms = dict[str, Any]
FRAGMENTATION = 0.05
"""Share of activations and buffers that an allocator loses between blocks; an allowance."""
FRAMEWORK_BYTES = 0.5e9
"""The driver's context and loaded kernels of one process on a GPU; an allowance."""


class Allowances(TypedDict):
    """What `training_memory` and `inference_memory` add to tensors."""

    fragmentation: float
    framework_bytes: float


def allowances(chip: Accelerator) -> Allowances:
    """Return what is added to tensors on a chip: nothing where they lie in a host's memory."""
    if chip.is_processor:
        return {"fragmentation": 0.0, "framework_bytes": 0.0}
    return {"fragmentation": FRAGMENTATION, "framework_bytes": FRAMEWORK_BYTES}


def usual_implementation(shape: Shape, *, split: bool) -> Implementation:
    """Return what is likely to run: fused kernels where layers are split, else Hugging Face's.

    Tensor and pipeline parallelism come with frameworks made for large models (Megatron-LM and
    its kin), whose kernels are fused.
    """
    if split or not isinstance(shape, TransformerShape):
        return FUSED
    return Implementation.of_transformers(shape)


def training_memory(
    shape: Shape,
    *,
    sequence_length: int = 0,
    plan: Plan | None = None,
    micro_batch: int = 1,
    recompute: Recompute = "none",
    global_batch: int | None = None,
    precision: str = "fp16",
    optimizer: Optimizer = "adam",
    states: StateBytes | None = None,
    trainable: Trainable = "all",
    predicted_share: float | None = None,
    image_size: int = 224,
    dropout: bool | None = None,
    implementation: Implementation | None = None,
    capacity_factor: float = 1.0,
    fragmentation: float = FRAGMENTATION,
    framework_bytes: float = FRAMEWORK_BYTES,
) -> dict[str, float]:
    """Bytes by term on the device that needs most, at its fullest moment; they sum to the need.

    The terms are weights, gradients, optimizer states, activations, temporary buffers, framework,
    fragmentation. `global_batch` tells how many micro-batches a step has; None: many. Where one
    device does one micro-batch a step, gradients appear as activations go, and the terms are
    those of the moment when their sum is largest; otherwise gradients are kept throughout.
    Without a `plan` it is one device with `micro_batch` and `recompute`.

    `states` overrides the bytes a parameter that `precision` and `optimizer` imply, which are those
    of fp32 where an `implementation` casts what it multiplies (`own_casts`). `dropout` is
    by default whether models of this kind are trained with it. `predicted_share` is the share of
    positions that reach the output head, 1 by default, 0 for no such head. `implementation` says
    what is kept besides the closed forms, by default as `usual_implementation`.
    `fragmentation` is a share of activations and buffers. A sequence is `sequence_length` tokens;
    images of convolutional networks are `image_size` squares.

    Raises LabError for a precision not trained in and for sizes that can't be; whether the plan is
    possible for the shape is for `legality.check`.
    """
    require_plan(plan)
    plan = plan or Plan(micro_batch=micro_batch, recompute=recompute)
    if implementation is None:
        implementation = usual_implementation(shape, split=plan.tensor * plan.pipeline > 1)
    require_kind("implementation", implementation, Implementation, "Implementation()")
    weights = "fp32" if implementation.own_casts else precision
    terms = device_memory(
        shape,
        PlanDimensions.of(plan),
        sequence_length=sequence_length,
        global_batch=global_batch,
        precision=precision,
        states=chosen_states(weights, optimizer, states),
        trainable=trainable,
        predicted_share=1.0 if predicted_share is None else predicted_share,
        image_size=image_size,
        dropout=dropout,
        implementation=implementation,
        capacity_factor=capacity_factor,
        fragmentation=fragmentation,
        framework_bytes=framework_bytes,
    )
    return {name: float(size) for name, size in terms.items()}


def device_memory(
    shape: Shape,
    plan: PlanDimensions,
    *,
    sequence_length: int = 0,
    global_batch: int | None = None,
    precision: str,
    states: StateBytes,
    trainable: Trainable = "all",
    predicted_share: float = 1.0,
    image_size: int = 224,
    dropout: bool | None = None,
    implementation: Implementation = FUSED,
    capacity_factor: float = 1.0,
    fragmentation: float = FRAGMENTATION,
    framework_bytes: float = FRAMEWORK_BYTES,
) -> Terms:
    """`training_memory` of many plans at once: each term an array of the plans' common shape."""
    require_shape(shape)
    require_trainable(trainable, shape)
    require_kind("implementation", implementation, Implementation, "Implementation()")
    require_share(predicted_share=predicted_share, fragmentation=fragmentation)
    require_positive(capacity_factor=capacity_factor)
    require_not_negative(framework_bytes=framework_bytes)
    if dropout is None:
        dropout = isinstance(shape, TransformerShape) and trains_with_dropout(shape)
    require_flag(dropout=dropout)
    micro_batches: Any = np.inf
    if global_batch is not None:
        global_batch = require_whole("global_batch", global_batch, LARGEST_BATCH)
        micro_batches = np.maximum(1, global_batch // (plan.data * plan.micro_batch))
    if isinstance(shape, ConvolutionalShape):
        terms = image_memory(
            shape, plan, micro_batches, image_size=image_size, precision=precision,
            states=states, head_only=trainable == "head",
        )  # fmt: skip
    else:
        sequence_length = require_whole("sequence_length", sequence_length, LONGEST_SEQUENCE)
        terms = stage_memory(
            shape, plan, micro_batches, sequence_length=sequence_length, precision=precision,
            states=states, trainable=trainable, predicted_share=predicted_share,
            dropout=dropout, implementation=implementation, capacity_factor=capacity_factor,
        )  # fmt: skip
    dynamic = terms["activations"] + terms["temporary buffers"]
    return terms | {
        "framework": np.broadcast_to(framework_bytes, np.shape(dynamic)),
        "fragmentation": fragmentation * dynamic,
    }


def largest_micro_batch(
    shape: Shape,
    *,
    memory_bytes: float,
    sequence_length: int = 0,
    at_most: int,
    plan: Plan | None = None,
    precision: str = "fp16",
    recompute: Recompute = "none",
    predicted_share: float = 1.0,
    **options: Any,
) -> int:
    """Return the largest divisor of `at_most` whose step fits in `memory_bytes`.

    `at_most` is a data-parallel group's share of the global batch; what doesn't fit at once is
    accumulated. `plan` says all but the micro-batch; without one it is a device alone with
    `recompute`. `options` are those of `training_memory`.
    Raises LabError when not even one sequence fits.
    """
    require_positive(memory_bytes=memory_bytes)
    require_plan(plan)
    at_most = require_whole("at_most", at_most, LARGEST_BATCH)
    small = [n for n in range(1, math.isqrt(at_most) + 1) if at_most % n == 0]
    sizes = np.array(sorted({*small, *(at_most // n for n in small)}))
    chosen = plan or Plan(recompute=recompute)
    optimizer, states = options.pop("optimizer", "adam"), options.pop("states", None)
    usual = usual_implementation(shape, split=chosen.tensor * chosen.pipeline > 1)
    terms = device_memory(
        shape,
        replace(PlanDimensions.of(chosen), micro_batch=sizes),
        sequence_length=sequence_length,
        global_batch=at_most * chosen.data,
        precision=precision,
        states=chosen_states(precision, optimizer, states),
        predicted_share=predicted_share,
        **{"implementation": usual} | options,
    )
    needs = np.asarray(sum(terms.values()))
    fitting = sizes[needs <= memory_bytes]
    if not fitting.size:
        raise LabError(
            f"One sequence needs {format_bytes(float(needs[0]))} and the device has"
            f" {format_bytes(memory_bytes)}.",
            "Use a device with more memory, a shorter sequence or recompute='full'.",
        )
    return int(fitting.max())
