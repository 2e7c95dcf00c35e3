"""Seconds of convolutional networks on one device, operation by operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.collectives import all_reduce_seconds, exposed, ring
from enterprise_lab.estimate.kernels import matmul_seconds, streaming_seconds
from enterprise_lab.estimate.model_dimensions import Figures
from enterprise_lab.estimate.step_time import EVERYTHING, GRADIENT_BYTES, OPTIMIZER_BYTES, Trained
from enterprise_lab.estimate.system import System
from enterprise_lab.shapes import ConvolutionalShape

PASSES_FORWARD = {"norm": 3.0, "activation": 2.0, "add": 3.0, "pool": 1.25}
"""Times an operation's output is read or written forward: a norm reads its input twice."""
PASSES_BACKWARD = {"norm": 5.0, "activation": 3.0, "add": 2.0, "pool": 2.25}
OVERHEAD_OPERATIONS = 174
"""Of the network, ResNet-50, whose step's overhead the figure of that name is."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ImageDimensions:
    """What the time of an image depends on, for one network and image size or for many.

    Products of all networks lie one after another; `network` says whose each is. What isn't a
    product has one figure a network.
    """

    network: npt.NDArray[np.int64]
    positions: Floats
    """Rows of the product that im2col makes of a convolution, an image."""
    depth: Floats
    channels: Floats
    inputs: Floats
    """Elements read, each once, an image."""
    streamed_forward: Floats
    """Elements that norms, activations, additions and pooling move, an image."""
    streamed_backward: Floats
    operations: Floats
    parameters: Floats

    @classmethod
    def of(cls, shape: ConvolutionalShape, image_size: int) -> ImageDimensions:
        """Return one network's."""
        operations = shape.operations(image_size)
        products = [op for op in operations if op.kind in ("conv", "linear")]
        out, weights, inputs, flops = (
            np.array([getattr(op, name) for op in products], dtype=float)
            for name in ("output_elements", "weight_elements", "input_elements", "flops")
        )
        depth = flops / (2 * out)

        def streamed(passes: dict[str, float]) -> Floats:
            moved = (op.output_elements * passes.get(op.kind, 0.0) for op in operations)
            return np.array([sum(moved)])

        return cls(
            network=np.zeros(len(products), dtype=np.int64),
            positions=out * depth / weights,
            depth=depth,
            channels=weights / depth,
            inputs=inputs,
            streamed_forward=streamed(PASSES_FORWARD),
            streamed_backward=streamed(PASSES_BACKWARD),
            operations=np.array([float(len(operations))]),
            parameters=np.array([float(shape.parameters)]),
        )

    @classmethod
    def stack(cls, each: Sequence[ImageDimensions]) -> ImageDimensions:
        """Return many networks', in their order."""
        joined = {
            field.name: np.concatenate([getattr(one, field.name) for one in each])
            for field in fields(cls)
        }
        products = [len(one.network) for one in each]
        return cls(**{**joined, "network": np.repeat(np.arange(len(each)), products)})


def image_seconds(
    images: ImageDimensions,
    system: System,
    fitted: Coefficients,
    *,
    batch: Figures,
    passes: Figures = 1,
    data: Figures = 1,
    training: bool,
    trained: Trained = EVERYTHING,
) -> dict[str, Figures]:
    """Seconds of a forward pass, or of a training step, over `batch` images on a device.

    A convolution is the matrix product that im2col makes of it (Chellapilla et al. 2006), without
    ever writing its matrix; the other operations stream their tensors. Launching the operations
    goes on beside them, so a small batch waits for the launches; mixed precision also casts each
    product's weights. The step's overhead grows with the number of operations, as the loop, the
    optimizer and the framework handle one after another. A step does `passes` such
    batches; then `data` devices reduce their gradients behind the last backward pass. Arrays have
    one figure a network.
    """
    each = np.zeros(len(images.parameters)) + batch
    back = trained.backward if training else 0
    backward = 2 * back
    at = images.network
    product_seconds = matmul_seconds(
        each[at] * images.positions,
        images.depth,
        images.channels,
        _taken(system, at),
        _taken(fitted, at),
        input_elements=each[at] * images.inputs,
    )
    matmul = (1 + backward) * np.bincount(at, product_seconds, minlength=len(each))
    products = np.bincount(at, minlength=len(each))
    elements = images.streamed_forward + back * images.streamed_backward
    moved = fitted.elementwise_traffic * each * elements * system.streamed_element_bytes
    streamed = streaming_seconds(moved, system, fitted)
    casts = np.where(np.equal(system.element_bytes, 2), products, 0)
    launches = (images.operations + casts) * fitted.layer_overhead_seconds * (1 + backward)
    terms = {
        "convolutions": passes * matmul,
        "norms and activations": passes * streamed,
        "launches": passes * np.maximum(0.0, launches - matmul - streamed),
        "overhead": fitted.step_overhead_seconds * images.operations / OVERHEAD_OPERATIONS,
    }
    if not training:
        return terms
    together = ring(data, 1, system, fitted, fitted.network_share)
    trained_bytes = trained.parameters * images.parameters * GRADIENT_BYTES
    reduced = all_reduce_seconds(trained_bytes, together)
    hiding = backward / (1 + backward) * (matmul + streamed)
    reduced = np.where(np.asarray(data) > 1, reduced, 0.0)
    return terms | {
        "gradient reduction": exposed(reduced, hiding, fitted),
        "optimizer": streaming_seconds(
            trained.parameters * images.parameters * OPTIMIZER_BYTES, system, fitted
        ),
    }


def _taken(figures: Any, at: npt.NDArray[np.int64]) -> Any:
    """Return a record of figures with one for each index, where it has more than one."""
    arrays = {
        name: value[at] for name, value in vars(figures).items() if np.ndim(value) and len(value)
    }
    return replace(figures, **arrays)
