"""Seconds of convolutional networks on one device, operation by operation."""

from __future__ import annotations

import numpy as np

from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.collectives import all_gather_seconds, behind, ring_rate
from enterprise_lab.estimate.kernels import matmul_seconds, streaming_seconds
from enterprise_lab.estimate.model_dimensions import Figures
from enterprise_lab.estimate.step_time import GRADIENT_BYTES, OPTIMIZER_BYTES
from enterprise_lab.estimate.system import System
from enterprise_lab.shapes import ConvolutionalShape

PASSES_FORWARD = {"norm": 3.0, "activation": 2.0, "add": 3.0, "pool": 1.25}
"""Times an operation's output is read or written forward: a norm reads its input twice."""
PASSES_BACKWARD = {"norm": 5.0, "activation": 3.0, "add": 2.0, "pool": 2.25}


def image_seconds(
    shape: ConvolutionalShape,
    system: System,
    fitted: Coefficients,
    *,
    image_size: int,
    batch: int,
    data: int = 1,
    training: bool,
) -> dict[str, Figures]:
    """Seconds of one forward pass, or of one training step, over `batch` images on a device.

    A convolution is the matrix product that im2col makes of it (Chellapilla et al. 2006); the
    other operations stream their tensors. Launching the operations goes on beside them, so a
    small batch waits for the launches. `data` devices then reduce their gradients behind the
    backward pass.
    """
    operations = shape.operations(image_size)
    products = [op for op in operations if op.kind in ("conv", "linear")]
    out = np.array([op.output_elements for op in products], dtype=float)
    weights = np.array([op.weight_elements for op in products], dtype=float)
    depth = np.array([op.flops for op in products], dtype=float) / (2 * out)
    channels = weights / depth
    each = matmul_seconds(batch * out / channels, depth, channels, system, fitted)
    matmul = float(np.sum(each)) * (3 if training else 1)

    passes = sum(
        op.output_elements * (PASSES_FORWARD[op.kind] + training * PASSES_BACKWARD[op.kind])
        for op in operations
        if op.kind in PASSES_FORWARD
    )
    moved = fitted.elementwise_traffic * batch * passes * system.element_bytes
    streamed = streaming_seconds(moved, system, fitted)
    launches = len(operations) * fitted.layer_overhead_seconds * (3 if training else 1)
    waiting = np.maximum(0.0, launches - matmul - streamed)
    terms = {
        "convolutions": matmul,
        "norms and activations": streamed,
        "launches": waiting,
        "overhead": fitted.step_overhead_seconds,
    }
    if not training:
        return terms
    rate = ring_rate(data, 1, system, fitted, fitted.network_share)
    reduced = 2 * all_gather_seconds(shape.parameters * GRADIENT_BYTES, data, rate, fitted)
    hiding = 2 / 3 * (matmul + streamed)
    return terms | {
        "gradient reduction": behind(hiding, reduced, fitted) - hiding if data > 1 else 0.0,
        "optimizer": streaming_seconds(shape.parameters * OPTIMIZER_BYTES, system, fitted),
    }
