"""Which plans are possible for a model, a batch and a number of devices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.errors import InvalidValueError, require_kind, require_whole
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE
from enterprise_lab.estimate.plan import LARGEST_BATCH, MOST_DEVICES, Plan
from enterprise_lab.shapes import ConvolutionalShape, Shape, require_shape

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Case:
    """A plan, or arrays of plans, for a shape; what rules look at."""

    shape: Any
    plan: Any
    batch: int
    length: int

    @property
    def micro_batches(self) -> Any:
        """Of each data-parallel group, in whole numbers."""
        return self.batch // (self.plan.data * self.plan.micro_batch)

    @property
    def parts(self) -> int:
        """Parts of a sequence on a context-parallel device: under a causal mask one of each end."""
        return 2 if self.shape.kind == "decoder" else 1


@dataclass(frozen=True)
class Rule:
    """A reason why plans are impossible, stated once for one plan and for arrays of them."""

    reason: str
    varies: str
    """The field of a plan to change."""
    breaks: Callable[[_Case], Any]
    problem: str
    """A sentence about one case `c`."""


_TRANSFORMER = (
    Rule("tensor degree doesn't divide the heads", "tensor",
         lambda c: c.shape.heads % c.plan.tensor != 0,
         "{c.shape.heads} heads can't be split over {c.plan.tensor} tensor-parallel devices."),
    Rule("tensor degree doesn't fit the key and value heads", "tensor",
         lambda c: (c.shape.kv_heads % c.plan.tensor != 0)
         & (c.plan.tensor % c.shape.kv_heads != 0),
         "{c.shape.kv_heads} key and value heads can be neither split nor repeated over"
         " {c.plan.tensor} tensor-parallel devices."),
    Rule("tensor degree doesn't divide the feed-forward width", "tensor",
         lambda c: c.shape.ffn % c.plan.tensor != 0,
         "A feed-forward width of {c.shape.ffn:,} can't be split over {c.plan.tensor}"
         " tensor-parallel devices."),
    Rule("pipeline through encoder and decoder", "pipeline",
         lambda c: (c.shape.decoder_layers > 0) & (c.plan.pipeline > 1),
         "Pipelines through an encoder and a decoder are not estimated."),
    Rule("stages don't divide the layers", "pipeline",
         lambda c: c.shape.layers % (c.plan.pipeline * c.plan.interleave) != 0,
         "{c.shape.layers} layers can't be split over {c.plan.pipeline} pipeline stages times"
         " {c.plan.interleave} virtual ones."),
    Rule("ZeRO 2 or 3 with a pipeline", "zero",
         lambda c: (c.plan.zero > 1) & (c.plan.pipeline > 1),
         "ZeRO stage {c.plan.zero} gives gradients away after each micro-batch, and a pipeline"
         " collects them."),
    Rule("context parallel without flash attention", "flash_attention",
         lambda c: (c.plan.context > 1) & (c.plan.flash_attention == 0),
         "Context parallelism hands blocks of keys round, which only flash attention can use."),
    Rule("context degree doesn't divide the sequence", "context",
         lambda c: (c.plan.context > 1) & (c.length % (c.parts * c.plan.context) != 0),
         "A sequence of {c.length:,} can't be split over {c.plan.context} context-parallel devices,"
         " parts on each: {c.parts}."),
    Rule("sequence parallel doesn't divide the sequence", "sequence_parallel",
         lambda c: (c.plan.sequence_parallel != 0)
         & (c.length % (c.plan.tensor * c.plan.context) != 0),
         "A sequence of {c.length:,} can't be shared by {c.plan.tensor} sequence-parallel devices"
         " times {c.plan.context} context-parallel ones."),
)  # fmt: skip
_BY_DATA_ONLY = "Convolutional networks are split by data only; other plans are not estimated."
_CONVOLUTIONAL = (
    Rule("convolutional network, tensor parallel", "tensor",
         lambda c: c.plan.tensor != 1, _BY_DATA_ONLY),
    Rule("convolutional network, pipeline", "pipeline",
         lambda c: c.plan.pipeline != 1, _BY_DATA_ONLY),
    Rule("convolutional network, context parallel", "context",
         lambda c: c.plan.context != 1, _BY_DATA_ONLY),
    Rule("convolutional network, recomputation", "recompute",
         lambda c: c.plan.recompute != 0,
         "Recomputation in convolutional networks is not estimated."),
    Rule("convolutional network, offloading", "offload",
         lambda c: c.plan.offload != 0,
         "Offloading in convolutional networks is not estimated."),
    Rule("flash attention without attention", "flash_attention",
         lambda c: c.plan.flash_attention != 0,
         "A convolutional network has no attention to fuse."),
)  # fmt: skip
_BATCH = (
    Rule("batch not divisible", "micro_batch",
         lambda c: c.batch % (c.plan.data * c.plan.micro_batch) != 0,
         "A global batch of {c.batch:,} can't be split over {c.plan.data} data-parallel groups with"
         " {c.plan.micro_batch} at once on each."),
    Rule("micro-batches don't fill the interleaved pipeline", "micro_batch",
         lambda c: (c.plan.interleave > 1) & (c.micro_batches % c.plan.pipeline != 0),
         "Interleaved stages take as many micro-batches at a time as there are stages:"
         " {c.micro_batches} are not divisible by {c.plan.pipeline}."),
)  # fmt: skip


def rules(shape: Shape) -> tuple[Rule, ...]:
    """List what can make a plan impossible for such a shape, in the order it is looked at.

    Tensor parallelism splits heads and feed-forward (Shoeybi et al. 2019, section 3) and repeats
    key and value heads where they are fewer. The interleaved schedule takes micro-batches in
    groups of the pipeline's size (Narayanan et al. 2021, section 2.2). ZeRO 2 and 3 don't go with
    pipelines, as in DeepSpeed.
    """
    own = _CONVOLUTIONAL if isinstance(shape, ConvolutionalShape) else _TRANSFORMER
    return own + _BATCH


def broken(
    shape: Shape, plan: PlanDimensions, *, global_batch: int, sequence_length: int = 0
) -> Iterator[tuple[str, Mask]]:
    """Yield each reason and the mask of the plans that it makes impossible.

    Masks broadcast to the plans' common shape; a plan can be in several. What `Plan` itself
    refuses is not looked at.
    """
    case = _Case(shape, plan, global_batch, sequence_length)
    for rule in rules(shape):
        yield rule.reason, np.asarray(rule.breaks(case))


def check(
    shape: Shape,
    plan: Plan,
    *,
    global_batch: int,
    sequence_length: int = 0,
    devices: int | None = None,
) -> None:
    """Raise InvalidValueError for an impossible plan, with the reason and the nearest possible one.

    `global_batch` counts sequences, or images. Where `devices` is given the plan must use them
    all.
    """
    require_shape(shape)
    require_kind("plan", plan, Plan, "Plan(data=8)")
    global_batch = require_whole("global_batch", global_batch, LARGEST_BATCH)
    sequence_length = require_whole(
        "sequence_length", sequence_length, LONGEST_SEQUENCE, smallest=0
    )
    if devices is not None:
        _require_devices(plan, devices)
    case = _Case(shape, PlanDimensions.of(plan), global_batch, sequence_length)
    for rule in rules(shape):
        if rule.breaks(case):
            raise InvalidValueError(rule.problem.format(c=case), _mend(rule, case, plan))


def divisors(number: int) -> list[int]:
    """Return all divisors of a positive whole number, smallest first."""
    small = np.arange(1, int(number**0.5) + 1)
    small = small[number % small == 0]
    return [int(n) for n in np.unique(np.concatenate((small, number // small)))]


def _require_devices(plan: Plan, devices: int) -> None:
    require_whole("devices", devices, MOST_DEVICES)
    if plan.devices != devices:
        group = plan.devices // plan.data
        data = max(1, round(devices / group))
        raise InvalidValueError(
            f"The plan is for {plan.devices:,} devices, and there are {devices:,}.",
            f"The nearest that works: data={data}, for {data * group:,} devices.",
        )


def _mend(rule: Rule, case: _Case, plan: Plan) -> str:
    """Say what is nearest to the plan and breaks no rule, or else none about the same field."""
    everything = rules(case.shape)
    same_field = [other for other in everything if other.varies == rule.varies]
    now = getattr(case.plan, rule.varies)
    values = _values(rule.varies, case)
    if not isinstance(values[0], str):
        values = sorted(values, key=lambda value: abs(value - now))
    for looked_at in (everything, same_field):
        for value in values:
            changes = _with_dependents(plan, rule.varies, value)
            changed = replace(case, plan=PlanDimensions.of(replace(plan, **changes)))
            if not any(other.breaks(changed) for other in looked_at):
                told = ", ".join(f"{name}={what!r}" for name, what in changes.items())
                return f"The nearest that works: {told}."
    at_once = plan.data * plan.micro_batch * (plan.pipeline if plan.interleave > 1 else 1)
    near = max(1, round(case.batch / at_once)) * at_once
    return f"The nearest global batch that works: {near:,}."


def _values(field: str, case: _Case) -> Sequence[Any]:
    """List what a field of a plan can be changed to."""
    convolutional = isinstance(case.shape, ConvolutionalShape)
    match field:
        case "tensor":
            return [1] if convolutional else divisors(case.shape.heads)
        case "pipeline":
            return [1] if convolutional else divisors(case.shape.layers)
        case "context":
            return [1] if convolutional else divisors(case.length)
        case "micro_batch":
            return divisors(max(1, case.batch // case.plan.data))
        case "zero":
            return [0, 1]
        case "recompute":
            return ["none", "full"]
        case "offload":
            return ["none"]
        case "flash_attention":
            return [not convolutional]
        case _:
            return [False]


def _with_dependents(plan: Plan, field: str, value: Any) -> dict[str, Any]:
    """Return the change of a field, and of those that can't stay as they are with it."""
    changes = {field: value}
    if field == "tensor" and value == 1 and plan.sequence_parallel:
        changes["sequence_parallel"] = False
    if field == "pipeline" and value == 1 and plan.interleave > 1:
        changes["interleave"] = 1
    if field == "zero" and plan.offload == "parameters":
        changes["offload"] = "optimizer"
    return changes
