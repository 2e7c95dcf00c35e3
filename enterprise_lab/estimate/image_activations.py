"""Bytes that training a convolutional network keeps, for many plans at once."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.states import StateBytes, compute_bytes, state_bytes
from enterprise_lab.shapes import ConvolutionalShape, Operation

Array = Any
"""A number or an array of them, one for each plan."""
Profile = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def image_memory(
    shape: ConvolutionalShape,
    plan: PlanDimensions,
    micro_batches: Array,
    *,
    image_size: int,
    precision: str,
    states: StateBytes,
    head_only: bool = False,
) -> dict[str, Array]:
    """Bytes of weights, gradients, optimizer states, activations and temporary buffers.

    Backward goes from the last operation to the first. Each moment keeps what the operations up
    to it have kept, the gradients of its own input and output and, where one device does one
    micro-batch a step, the weights' gradients of the operations after it only. Full recomputation
    keeps the inputs of residual blocks.
    """
    operations = shape.operations(image_size)
    trained = float(operations[-1].weight_elements if head_only else shape.parameters)
    weights, gradients, optimizer = state_bytes(trained, states, plan)
    frozen, _, _ = state_bytes(shape.parameters - trained, StateBytes(states.weight, 0, 0), plan)

    images = np.asarray(plan.micro_batch)[..., None] * float(compute_bytes(precision))
    once = np.equal(plan.data, 1) & np.equal(micro_batches, 1)
    full = np.equal(plan.recompute, 2)[..., None]
    activations, temporary, ready = (
        np.where(full, blockwise, plain)
        for blockwise, plain in zip(
            _profile(operations, head_only, blockwise=True),
            _profile(operations, head_only, blockwise=False),
            strict=True,
        )
    )
    present = np.where(once[..., None], ready, 1.0) * np.asarray(gradients)[..., None]
    moments = np.broadcast_arrays(present, images * activations, images * temporary)
    fullest = np.argmax(sum(moments), axis=-1)[..., None]
    present, kept, alive = (np.take_along_axis(m, fullest, axis=-1)[..., 0] for m in moments)
    return {
        "weights": weights + frozen,
        "gradients": present,
        "optimizer states": optimizer,
        "activations": kept,
        "temporary buffers": alive,
    }


@lru_cache(maxsize=256)
def _profile(operations: tuple[Operation, ...], head_only: bool, *, blockwise: bool) -> Profile:
    """Elements kept for one image, elements alive besides, share of weight gradients made.

    One figure for each moment: before the backward pass of each operation, and at its end.
    """
    alive = np.array([o.input_elements + o.output_elements for o in operations], dtype=float)
    if head_only:
        head = float(operations[-1].input_elements)
        return np.array([head, 0.0]), np.array([0.0, alive.max()]), np.ones(2)
    each = np.array([*map(_kept, operations, (*operations[1:], None))], dtype=float)
    each[0] += operations[0].input_elements
    kept = np.cumsum(each)
    if blockwise:
        block = np.cumsum([0] + [o.kind == "add" for o in operations[:-1]])
        inside = np.bincount(block, weights=each)
        inputs = np.array([o.output_elements * (o.kind == "add") for o in operations], dtype=float)
        kept = operations[0].input_elements + np.cumsum(inputs) - inputs
        alive = alive + inside[block]
    weights = np.array([o.weight_elements for o in operations], dtype=float)
    ready = 1 - np.cumsum(weights) / weights.sum()
    return np.append(kept, 0.0), np.append(alive, 0.0), np.append(ready, 1.0)


def _kept(operation: Operation, after: Operation | None) -> float:
    """Elements of an operation's output that backward needs, each tensor once.

    Convolutions, products, norms and pooling need their inputs; an activation works in place on
    its input and needs its output, as ReLU does. What comes next in another branch reads
    something else, of another size.
    """
    out = operation.output_elements
    if operation.kind in ("activation", "pool"):
        return out
    reads = after is not None and after.kind != "activation" and after.kind != "add"
    return out if reads and after is not None and after.input_elements == out else 0
