"""Published figures of memory, to hold estimates against."""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, read
from enterprise_lab.catalog.speeds import (
    EXCLUDED,
    ID,
    MODEL,
    Published,
    Recompute,
    Stage,
    number,
)

_BYTES = {
    "bytes": 1, "MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40
}  # fmt: skip


class MemoryFigure(Published):
    """A published figure of memory or of a file: derived, printed by a tool, measured or stated.

    `model` is a catalogue name; where it is only what the source calls the model, `parameters`
    says how large that is. `scope` tells a figure of each device from one of the whole model.
    """

    parameters: PositiveInt | None = None
    quantity: Literal["model states", "weights", "activations", "peak", "checkpoint"]
    value: PositiveFloat
    unit: Literal["bytes", "MB", "GB", "MiB", "GiB", "TiB"]
    scope: Literal["device", "model"]
    kind: Literal["formula", "tool output", "measured", "stated", "estimate", "rule of thumb"]
    devices: PositiveInt | None = None
    zero: Stage | None = None
    offload: Literal["none", "optimizer", "parameters"] | None = None
    micro_batch: PositiveInt | None = None
    sequence_length: PositiveInt | None = None
    recompute: Recompute | None = None
    precision: Literal["mixed fp16", "fp32", "fp16", "int8", "int4"] | None = None
    method: str = ""

    figures: ClassVar[tuple[Figure, ...]] = (
        ID,
        MODEL,
        Figure("Parameters", "parameters", lambda count: f"{count:,}"),
        Figure("Quantity", "quantity"),
        Figure("Figure", "value", number),
        Figure("Unit", "unit"),
        Figure("Of each", "scope"),
        Figure("Kind", "kind"),
        Figure("Devices", "devices"),
        Figure("ZeRO stage", "zero"),
        Figure("Offloaded", "offload"),
        Figure("Micro-batch", "micro_batch", brief=False),
        Figure("Sequence length", "sequence_length", brief=False),
        Figure("Recomputation", "recompute", brief=False),
        Figure("Precision", "precision"),
        Figure("Method", "method", brief=False),
        EXCLUDED,
    )

    @property
    def bytes(self) -> float:
        """The figure in bytes."""
        return self.value * _BYTES[self.unit]


@cache
def _memory_figures() -> tuple[MemoryFigure, ...]:
    return read(DATA / "memory_figures.csv", MemoryFigure)


def memory_figures() -> Listing[MemoryFigure]:
    """List published memory figures, those that are not usable too."""
    return Listing(_memory_figures())
