"""Every plan for so many devices, and which rules discard how many of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.legality import Mask, broken, divisors
from enterprise_lab.estimate.plan import RECOMPUTE
from enterprise_lab.shapes import ConvolutionalShape, Shape

BEYOND_NODE = "tensor group beyond a node"
GRID = 2**18
"""Plans looked at together, so that their masks stay in the cache."""
_LAYOUT = ("data", "tensor", "pipeline", "context", "sequence_parallel", "interleave")
_ZERO = np.arange(4)


@dataclass(frozen=True)
class PlanSpace:
    """All combinations of a search, for a shape and a global batch.

    Data, tensor, pipeline and, where `context_parallel`, context degrees whose product is the
    number of devices; sequence parallelism on and off; interleavings that divide the layers; ZeRO
    0 to 3; recomputation, but in convolutional networks, where its time is not estimated;
    micro-batches that divide the global batch. Tensor groups that would leave nodes of
    `node_devices` are discarded.
    """

    shape: Shape
    global_batch: int
    sequence_length: int
    flash_attention: bool
    context_parallel: bool
    node_devices: int

    def legal(self, devices: int) -> Iterator[tuple[PlanDimensions, dict[str, int]]]:
        """Yield the possible plans for so many devices, and how many were discarded and why.

        Plans come in flat arrays of one length; a plan is counted under one rule it breaks, one
        about all plans of its layout if there is any.
        """
        micro_batches = np.array(divisors(self.global_batch))
        recompute = np.arange(1 if isinstance(self.shape, ConvolutionalShape) else len(RECOMPUTE))
        each = len(_ZERO) * len(recompute) * len(micro_batches)
        layouts = np.array(self._layouts(devices)).T
        for start in range(0, layouts.shape[1], max(1, GRID // each)):
            some = layouts[:, start : start + max(1, GRID // each)]
            axes = {
                **{name: row[:, None, None, None] for name, row in zip(_LAYOUT, some, strict=True)},
                "zero": _ZERO[:, None, None],
                "recompute": recompute[:, None],
                "micro_batch": micro_batches,
                "flash_attention": int(self.flash_attention),
            }
            yield self._sift(devices, PlanDimensions(**axes))

    def _layouts(self, devices: int) -> list[tuple[int, ...]]:
        interleavings = (
            (1,) if isinstance(self.shape, ConvolutionalShape) else divisors(self.shape.layers)
        )
        return [
            (rest // context, tensor, pipeline, context, together, interleave)
            for tensor in divisors(devices)
            for pipeline in divisors(devices // tensor)
            for rest in (devices // tensor // pipeline,)
            for context in (divisors(rest) if self.context_parallel else (1,))
            for together in ((0, 1) if tensor > 1 else (0,))
            for interleave in (interleavings if pipeline > 1 else (1,))
        ]

    def _sift(self, devices: int, grid: PlanDimensions) -> tuple[PlanDimensions, dict[str, int]]:
        """Sift whole layouts first, then the plans of those that are left."""
        axes = vars(grid).items()
        count, *others = np.broadcast_shapes(*(np.shape(axis) for _, axis in axes))
        layouts, discarded, of_plans = np.ones((count, 1, 1, 1), bool), {}, {}
        for reason, mask in self._masks(devices, grid):
            if mask.shape[1:] == (1, 1, 1):
                discarded[reason] = int(np.count_nonzero(layouts & mask)) * math.prod(others)
                layouts = layouts & ~mask
            else:
                of_plans[reason] = np.broadcast_to(mask, (count, *mask.shape[1:]))
        rows = np.flatnonzero(layouts)
        left = np.ones((len(rows), *others), bool)
        for reason, mask in of_plans.items():
            discarded[reason] = int(np.count_nonzero(left & mask[rows]))
            left &= ~mask[rows]
        flat = {
            name: np.broadcast_to(axis[rows] if name in _LAYOUT else axis, left.shape)[left]
            if np.ndim(axis)
            else axis
            for name, axis in axes
        }
        return PlanDimensions(**flat), discarded

    def _masks(self, devices: int, grid: PlanDimensions) -> Iterator[tuple[str, Mask]]:
        """Yield each reason with a mask of four axes: layouts, ZeRO, recomputation, micro-batch."""
        beyond = np.not_equal(self.node_devices % grid.tensor, 0) & (devices > self.node_devices)
        rules = broken(
            self.shape, grid, global_batch=self.global_batch, sequence_length=self.sequence_length
        )
        for reason, mask in ((BEYOND_NODE, beyond), *rules):
            yield reason, mask.reshape((1,) * (4 - mask.ndim) + mask.shape)


def take(plans: PlanDimensions, which: Mask | slice) -> PlanDimensions:
    """Return some of many plans; what all have in common stays a number."""
    return PlanDimensions(
        **{
            name: field[which] if isinstance(field, np.ndarray) else field
            for name, field in vars(plans).items()
        }
    )


def join(many: list[PlanDimensions]) -> PlanDimensions:
    """Return flat arrays of plans as one; what is a number in the first is so in all."""
    return PlanDimensions(
        **{
            field.name: np.concatenate(each) if isinstance(each[0], np.ndarray) else each[0]
            for field in fields(PlanDimensions)
            for each in ([getattr(one, field.name) for one in many],)
        }
    )
