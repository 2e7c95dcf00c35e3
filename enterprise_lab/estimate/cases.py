"""What of a prediction has to have been measured for rows to speak for it."""

from __future__ import annotations

from enterprise_lab.catalog import Accelerator
from enterprise_lab.estimate.calibration import PRECISION_CLASS
from enterprise_lab.estimate.intervals import Case
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.trainable import LowRank, Trainable
from enterprise_lab.shapes import Shape, TransformerShape


def training_case(
    shape: Shape,
    plan: Plan,
    chip: Accelerator,
    precision: str,
    length: int,
    trainable: Trainable = "all",
) -> Case:
    """Return the case of a training step."""
    decoder = isinstance(shape, TransformerShape) and shape.kind != "encoder"
    ways = {
        "tensor parallelism": plan.tensor > 1,
        "a pipeline": plan.pipeline > 1,
        "context parallelism": plan.context > 1,
        "sharded parameters": plan.zero == 3 and plan.devices > 1,
        "several devices without sharded parameters": plan.data > 1 and plan.zero < 3,
        "selective recomputation": plan.recompute == "selective",
        "full recomputation": plan.recompute == "full",
        "offloading": plan.offload != "none",
        "unfused attention in a decoder": decoder and not plan.flash_attention,
        "low-rank adapters": isinstance(trainable, LowRank),
        "a frozen trunk": trainable == "head",
        **_ways_of(shape),
    }
    return Case(
        parameters=shape.parameters,
        length=length,
        devices=plan.devices,
        accelerator=chip.name,
        precision=PRECISION_CLASS[precision],
        ways=frozenset(way for way, used in ways.items() if used),
    )


def serving_case(shape: Shape, tensor: int, chip: Accelerator, precision: str, length: int) -> Case:
    """Return the case of a forward pass, or of generating; `length` is of a whole request."""
    ways = {"tensor parallelism": tensor > 1, **_ways_of(shape)}
    return Case(
        parameters=shape.parameters,
        length=length,
        devices=tensor,
        accelerator=chip.name,
        precision=PRECISION_CLASS[precision],
        ways=frozenset(way for way, used in ways.items() if used),
    )


def _ways_of(shape: Shape) -> dict[str, bool]:
    if not isinstance(shape, TransformerShape):
        return {}
    return {
        "experts": shape.experts > 0,
        "an encoder and a decoder": shape.kind == "encoder-decoder",
    }
