"""Which instances could do a training run, how long each would take and what it would cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from enterprise_lab import catalog, estimate
from enterprise_lab.catalog import Instance
from enterprise_lab.catalog.nodes import node_of_instance
from enterprise_lab.costing.on_demand import MOST_INSTANCES, on_demand
from enterprise_lab.errors import LabError, UnknownNameError, require_positive, require_whole
from enterprise_lab.estimate import Estimate, Plan, TrainingEstimate, TransformerShape
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE, Causal
from enterprise_lab.estimate.memory import usual_implementation
from enterprise_lab.estimate.plan import LARGEST_BATCH, Recompute
from enterprise_lab.estimate.plan_job import kept_in
from enterprise_lab.estimate.search import MEMORY_SHARE
from enterprise_lab.estimate.value import html_table
from enterprise_lab.units import GIB, format_figure, format_seconds, format_usd

_WAYS = "ZeRO 1, ZeRO 3, full recomputation besides"
_TRY_OTHERS = "Try instances with more memory a device, a smaller batch or shorter sequences."


@dataclass(frozen=True)
class Option:
    """Some instances of a kind with their estimate, or the reason why they can't do the run."""

    instance: Instance
    count: int
    training: TrainingEstimate | None
    cost: Estimate | None
    reason: str = ""

    @property
    def seconds(self) -> float:
        """Estimated seconds of the whole run; infinite where it can't be done."""
        return self.training.training_seconds.value if self.training else float("inf")

    @property
    def usd(self) -> float:
        """Estimated dollars; infinite where it can't be done."""
        return self.cost.value if self.cost else float("inf")


@dataclass(frozen=True)
class Options:
    """Options in the order they were asked for."""

    options: tuple[Option, ...]

    def __iter__(self) -> Iterator[Option]:
        return iter(self.options)

    def __len__(self) -> int:
        return len(self.options)

    def named(self, instance: str) -> Option:
        """Return the option of an instance; LabError when it isn't one or can't do the run."""
        name = catalog.instance(instance).name
        for option in self:
            if option.instance.name == name:
                if option.training is None:
                    raise LabError(f"{name} can't do this run: {option.reason}", _TRY_OTHERS)
                return option
        raise UnknownNameError("option", instance, [o.instance.name for o in self])

    def cheapest(
        self, *, deadline_seconds: float = float("inf"), budget_usd: float = float("inf")
    ) -> Option:
        """Return the cheapest option within a deadline and a budget.

        Raises LabError that says how far the nearest option is from them.
        """
        possible = [o for o in self if o.training]
        if not possible:
            reasons = "; ".join(f"{o.instance.name}: {o.reason}" for o in self)
            raise LabError(f"No instance can do this run ({reasons}).", _TRY_OTHERS)
        good = [o for o in possible if o.seconds <= deadline_seconds and o.usd <= budget_usd]
        if good:
            return min(good, key=lambda o: o.usd)
        fast, cheap = min(possible, key=lambda o: o.seconds), min(possible, key=lambda o: o.usd)
        raise LabError(
            f"No instance does this run within {format_seconds(deadline_seconds)} and"
            f" {format_usd(budget_usd)}.",
            f"The fastest, {fast.instance.name}, needs {format_seconds(fast.seconds)} and"
            f" {format_usd(fast.usd)}; the cheapest, {cheap.instance.name},"
            f" {format_seconds(cheap.seconds)} and {format_usd(cheap.usd)}.",
        )

    def _repr_html_(self) -> str:
        rows = [_row(option) for option in self]
        estimates = [o.training for o in self if o.training]
        dates = sorted({str(catalog.price(o.instance.name).date) for o in self if o.cost})
        caption = f"estimated; on-demand prices of {', '.join(dates)}"
        if any(_to_fit(e.plan) for e in estimates):
            caption += (
                f"; to fit in {MEMORY_SHARE:.0%} of the memory: the first that does of {_WAYS}"
            )
        if any(e.peak_is_unverified for e in estimates):
            caption += "; † from a peak rate that is unverified"
        header = ("instance", "devices", "micro-batch", "done to fit", "memory a device",
                  "share of peak", "time", "80 % interval", "cost", "80 % interval")  # fmt: skip
        return html_table(rows, header=header, caption=caption)


def _row(option: Option) -> tuple[str, ...]:
    name = option.instance.name if option.count == 1 else f"{option.count} x {option.instance.name}"
    if option.instance.status != "current":
        name += f" ({option.instance.status})"
    training, cost = option.training, option.cost
    if training is None or cost is None:
        return (name, option.reason, *[""] * 8)
    mark = " †" if training.peak_is_unverified else ""
    time, memory = training.training_seconds, option.instance.accelerator_memory_bytes or 0
    return (
        name,
        f"{training.plan.data} x {training.accelerator.name}{mark}",
        str(training.plan.micro_batch),
        _to_fit(training.plan) or "–",
        f"{training.memory_bytes_per_device.value / GIB:.1f} of {memory / GIB:.0f} GiB",
        f"{100 * training.mfu.value:.0f} %",
        format_figure(time.value, "s"),
        time.range,
        format_usd(cost.value),
        cost.range,
    )


def training_options(
    shape: TransformerShape,
    instances: Iterable[str],
    *,
    sequence_length: int,
    global_batch: int,
    tokens: float,
    count: int = 1,
    precision: str = "fp16",
    recompute: Recompute = "none",
    causal: Causal = "full",
    predicted_share: float | None = None,
) -> Options:
    """Estimate one training run on `count` of each named EC2 instance, data-parallel over devices.

    Each device takes the largest micro-batch that fits in `MEMORY_SHARE` of its memory and
    accumulates the rest. Where not even one sequence does, the optimizer states are sharded over
    the devices (ZeRO 1), then gradients and parameters too (ZeRO 3), then activations are
    recomputed besides: the first that fits. Attention is fused in all but encoders, as measured.
    An instance that can't do the run stays in the result with its reason; an unknown name raises
    LabError. `predicted_share` is as in `estimate.training`.
    """
    require_positive(tokens=tokens)
    require_whole("sequence_length", sequence_length, LONGEST_SEQUENCE)
    require_whole("global_batch", global_batch, LARGEST_BATCH)
    require_whole("count", count, MOST_INSTANCES)
    share = float(shape.kind != "encoder") if predicted_share is None else predicted_share

    def option(name: str) -> Option:
        instance = catalog.instance(name)
        try:
            chip, each, memory_bytes = whole_devices(instance)
            devices = count * each
            catalog.accelerator(chip).peak_flops(precision)
            training = estimate.training(
                shape,
                sequence_length=sequence_length,
                global_batch=global_batch,
                accelerator=chip,
                plan=_plainest_that_fits(
                    shape,
                    Plan(
                        data=devices, recompute=recompute, flash_attention=shape.kind != "encoder"
                    ),
                    memory_bytes=MEMORY_SHARE * memory_bytes,
                    sequence_length=sequence_length,
                    at_most=_share(global_batch, devices),
                    precision=kept_in(precision),
                    predicted_share=share,
                    implementation=usual_implementation(shape, split=False),
                ),
                precision=precision,
                causal=causal,
                tokens=tokens,
                predicted_share=share,
                node=node_of_instance(instance),
            )
            cost = on_demand(training.training_seconds, instance.name, instances=count)
            return Option(instance, count, training, cost)
        except LabError as error:
            return Option(instance, count, None, None, error.problem)

    return Options(tuple(option(name) for name in instances))


def _plainest_that_fits(shape: TransformerShape, plan: Plan, **job: Any) -> Plan:
    """Return the plan, or the first of `_WAYS` beside it, that has a micro-batch that fits."""
    for way in (plan, *_with_less_memory(plan)):
        try:
            size = estimate.largest_micro_batch(shape, plan=way, **job)
        except LabError as error:
            refusal = f"{error.problem.removesuffix('.')}, even with {_to_fit(way)}."
        else:
            return replace(way, micro_batch=size)
    raise LabError(refusal, _TRY_OTHERS)


def _with_less_memory(plan: Plan) -> list[Plan]:
    sharded = [replace(plan, zero=stage) for stage in (1, 3) if plan.data > 1]
    return [*sharded, replace((sharded or [plan])[-1], recompute="full")]


def _to_fit(plan: Plan) -> str:
    ways = ([f"ZeRO {plan.zero}"] if plan.zero else []) + (
        [f"{plan.recompute} recomputation"] if plan.recompute != "none" else []
    )
    return ", ".join(ways)


def whole_devices(instance: Instance) -> tuple[str, int, float]:
    """Give an instance's chip, the number of them and the memory of each in bytes.

    Raises LabError for an instance without a whole accelerator.
    """
    count, memory_bytes = instance.accelerator_count, instance.accelerator_memory_bytes
    if not instance.accelerator or not count or count < 1 or not memory_bytes:
        raise LabError(
            f"{instance.name} has no whole accelerator the catalogue knows.",
            "Choose an instance with at least one.",
        )
    return instance.accelerator, int(count), memory_bytes


def _share(global_batch: int, devices: int) -> int:
    if global_batch % devices:
        raise LabError(
            f"A batch of {global_batch} doesn't divide over {devices} devices.",
            f"Use a multiple of {devices}.",
        )
    return global_batch // devices
