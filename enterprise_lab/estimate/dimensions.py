"""Many plans at once, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.estimate.plan import OFFLOAD, RECOMPUTE, Plan

Integers = int | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class PlanDimensions:
    """The fields of a `Plan`, each one number or an array of them; arrays broadcast together.

    `recompute` and `offload` are positions in `plan.RECOMPUTE` and `plan.OFFLOAD`,
    `sequence_parallel` and `flash_attention` are 0 or 1. Nothing is checked here: see `legality`.
    """

    data: Integers = 1
    tensor: Integers = 1
    pipeline: Integers = 1
    context: Integers = 1
    micro_batch: Integers = 1
    zero: Integers = 0
    sequence_parallel: Integers = 0
    recompute: Integers = 0
    flash_attention: Integers = 0
    interleave: Integers = 1
    offload: Integers = 0

    @classmethod
    def of(cls, plan: Plan) -> PlanDimensions:
        """Return one plan as scalars."""
        return cls(
            data=plan.data,
            tensor=plan.tensor,
            pipeline=plan.pipeline,
            context=plan.context,
            micro_batch=plan.micro_batch,
            zero=plan.zero,
            sequence_parallel=int(plan.sequence_parallel),
            recompute=RECOMPUTE.index(plan.recompute),
            flash_attention=int(plan.flash_attention),
            interleave=plan.interleave,
            offload=OFFLOAD.index(plan.offload),
        )

    @property
    def devices(self) -> Integers:
        """Number of devices of each plan."""
        return self.data * self.tensor * self.pipeline * self.context

    def plan(self, index: int) -> Plan:
        """Return the plan at a flat index of the broadcast arrays."""
        names = [f.name for f in fields(self)]
        arrays = np.broadcast_arrays(*(getattr(self, name) for name in names))
        at = {name: int(array.flat[index]) for name, array in zip(names, arrays, strict=True)}
        return Plan(
            data=at["data"],
            tensor=at["tensor"],
            pipeline=at["pipeline"],
            zero=at["zero"],
            sequence_parallel=bool(at["sequence_parallel"]),
            recompute=RECOMPUTE[at["recompute"]],
            micro_batch=at["micro_batch"],
            flash_attention=bool(at["flash_attention"]),
            context=at["context"],
            interleave=at["interleave"],
            offload=OFFLOAD[at["offload"]],
        )
