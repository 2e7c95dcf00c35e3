"""How a workload is spread over devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enterprise_lab.errors import (
    InvalidValueError,
    keep_whole,
    require_flag,
    require_kind,
    require_one_of,
)

Recompute = Literal["none", "selective", "full"]
Offload = Literal["none", "optimizer", "parameters"]
LARGEST_BATCH = 100_000_000
MOST_DEVICES = 10_000_000
RECOMPUTE: tuple[Recompute, ...] = ("none", "selective", "full")
OFFLOAD: tuple[Offload, ...] = ("none", "optimizer", "parameters")


@dataclass(frozen=True)
class Plan:
    """Degrees of parallelism, and what is traded for memory.

    `data`, `tensor`, `pipeline` and `context` multiply to the number of devices. `micro_batch` is
    the sequences (or images) a data-parallel group works on at once; what a step needs beyond
    that is accumulated. `zero` is the ZeRO stage over the data-parallel devices, 3 being what
    PyTorch calls fully sharded. `sequence_parallel` shares between the tensor-parallel devices
    what tensor parallelism leaves whole (Korthikanti et al. 2022). `interleave` is the number of
    virtual stages on each pipeline stage (Narayanan et al. 2021). `offload` moves the optimizer
    states, or these and the parameters, to the host's memory.

    Raises InvalidValueError for degrees below one and for combinations that exclude each other.
    """

    data: int = 1
    tensor: int = 1
    pipeline: int = 1
    zero: int = 0
    sequence_parallel: bool = False
    recompute: Recompute = "none"
    micro_batch: int = 1
    flash_attention: bool = False
    context: int = 1
    interleave: int = 1
    offload: Offload = "none"

    def __post_init__(self) -> None:
        for name in ("data", "tensor", "pipeline", "context"):
            keep_whole(self, name, MOST_DEVICES)
        keep_whole(self, "micro_batch", LARGEST_BATCH)
        keep_whole(self, "interleave", MOST_DEVICES)
        keep_whole(self, "zero", 3, smallest=0)
        require_one_of("recompute", self.recompute, RECOMPUTE)
        require_one_of("offload", self.offload, OFFLOAD)
        require_flag(sequence_parallel=self.sequence_parallel, flash_attention=self.flash_attention)
        if self.interleave > 1 and self.pipeline == 1:
            raise InvalidValueError(
                f"{self.interleave} virtual stages need a pipeline; there is only one stage.",
                "Use interleave=1, or a pipeline of two stages or more.",
            )
        if self.sequence_parallel and self.tensor == 1:
            raise InvalidValueError(
                "Sequence parallelism shares work between tensor-parallel devices; there is one.",
                "Use sequence_parallel=False, or tensor=2 or more.",
            )
        if self.offload == "parameters" and self.zero != 3:
            raise InvalidValueError(
                f"Parameters are offloaded by ZeRO stage 3 only, not by stage {self.zero}.",
                "Use zero=3, or offload='optimizer'.",
            )

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.data * self.tensor * self.pipeline * self.context


def require_plan(plan: object) -> None:
    """Raise InvalidValueError for what is neither a plan nor None."""
    require_kind("plan", plan, Plan | None, "Plan(data=8)")
