"""The search for the fastest plan, the cheapest, and the best between them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator
from enterprise_lab.catalog.nodes import Node
from enterprise_lab.errors import (
    InvalidValueError,
    LabError,
    require_flag,
    require_kind,
    require_positive,
    require_share,
    require_whole,
)
from enterprise_lab.estimate.device_price import DevicePrice, device_price
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE, Causal
from enterprise_lab.estimate.plan import LARGEST_BATCH, MOST_DEVICES, Plan
from enterprise_lab.estimate.plan_job import PlanJob, kept_in
from enterprise_lab.estimate.plan_space import join, take
from enterprise_lab.estimate.plan_table import Plans, too_large
from enterprise_lab.estimate.states import Optimizer, StateBytes, chosen_states, training_precision
from enterprise_lab.estimate.training import with_positions
from enterprise_lab.shapes import LARGEST_IMAGE, Shape, TransformerShape, require_shape
from enterprise_lab.units import format_bytes

MEMORY_SHARE = 0.9
"""Share of a device's memory that plans may fill: estimates err."""
CHUNK = 2**13
"""Plans evaluated together, so that intermediate results stay in the cache."""
DOUBLINGS = 12
"""How many times more devices are tried where nothing fits."""
NEIGHBOURS = 64
"""How far other numbers of devices are tried where no plan is possible."""


def plans(
    shape: Shape,
    *,
    devices: int | Sequence[int],
    accelerator: str | Accelerator,
    global_batch: int,
    sequence_length: int = 0,
    precision: str = "fp16",
    causal: Causal = "full",
    tokens: float | None = None,
    predicted_share: float | None = None,
    image_size: int = 224,
    optimizer: Optimizer = "adam",
    states: StateBytes | None = None,
    flash_attention: bool = True,
    context_parallel: bool = False,
    node: Node | None = None,
    memory_share: float = MEMORY_SHARE,
    usd_per_device_hour: float | None = None,
) -> Plans:
    """Search all plans for the fastest, the cheapest, and the best between them.

    `devices` is a number, or several to choose from. All combinations of data, tensor and
    pipeline parallel degrees, sequence parallelism, interleaving, ZeRO stage, recomputation and
    micro-batch are considered, with `context_parallel` those of context parallelism too; tensor
    groups stay within a node. What `legality` rules out is discarded, and what is estimated to
    need more than `memory_share` of a device's memory.

    A device costs `usd_per_device_hour`, by default its share of the cheapest EC2 instance of
    the catalogue with such chips, on demand; where there is none, costs are device-hours. Other
    arguments are as in `training`.

    Raises LabError for sizes that can't be, and where no plan is possible or none fits in memory,
    with what is nearest.
    """
    numbers = _numbers(devices)
    require_shape(shape)
    global_batch = require_whole("global_batch", global_batch, LARGEST_BATCH)
    sequence_length = require_whole(
        "sequence_length", sequence_length, LONGEST_SEQUENCE, smallest=0
    )
    image_size = require_whole("image_size", image_size, LARGEST_IMAGE)
    require_share(memory_share=memory_share)
    require_positive(memory_share=memory_share)
    require_flag(flash_attention=flash_attention, context_parallel=context_parallel)
    require_kind("node", node, Node | None, "catalog.nodes.node_of(chip)")
    chip = accelerator if isinstance(accelerator, Accelerator) else catalog.accelerator(accelerator)
    precision = training_precision(chip, precision)
    shape = with_positions(shape, sequence_length)
    transformer = isinstance(shape, TransformerShape)
    predicts = 0.0 if transformer and shape.kind == "encoder" else 1.0
    job = PlanJob(
        shape=shape,
        chip=chip,
        node=node,
        precision=precision,
        global_batch=global_batch,
        sequence_length=sequence_length,
        image_size=image_size,
        causal=causal,
        tokens=tokens,
        predicted_share=predicts if predicted_share is None else predicted_share,
        states=chosen_states(kept_in(precision), optimizer, states),
        flash_attention=flash_attention and transformer,
        context_parallel=context_parallel and transformer,
    )
    job.check()
    if usd_per_device_hour is None:
        price = device_price(chip, min(numbers[-1], int(job.system.node_devices)))
    else:
        require_positive(usd_per_device_hour=usd_per_device_hour)
        price = DevicePrice(usd_per_device_hour, f"${usd_per_device_hour:,.4g} an hour, as given")
    return _search(job, numbers, memory_share, price)


def _numbers(devices: int | Sequence[int]) -> list[int]:
    numbers = list(devices) if isinstance(devices, Sequence) else [devices]
    if not numbers:
        raise InvalidValueError("No number of devices is given.", "Give one, or several.")
    return sorted({require_whole("devices", number, MOST_DEVICES) for number in numbers})


def _search(
    job: PlanJob, numbers: Sequence[int], memory_share: float, price: DevicePrice | None
) -> Plans:
    limit = memory_share * job.chip.memory_bytes
    reasons: Counter[str] = Counter()
    found: list[PlanDimensions] = []
    seconds, needs = [np.zeros(0)], [np.zeros(0)]
    over: list[tuple[float, Plan]] = []
    for number in numbers:
        for legal, discarded in job.space.legal(number):
            reasons.update(discarded)
            for start in range(0, np.size(legal.data), CHUNK):
                some = take(legal, slice(start, start + CHUNK))
                need = job.need_bytes(some)
                fits = need <= limit
                if not fits.all():
                    least = int(np.argmin(np.where(fits, np.inf, need)))
                    over.append((float(need[least]), some.plan(least)))
                    reasons[too_large(limit)] += int(np.count_nonzero(~fits))
                if fits.any():
                    found.append(take(some, fits))
                    needs.append(need[fits])
                    seconds.append(job.step_seconds(found[-1]))
    least_over = min(over, key=lambda one: one[0], default=None)
    if not found and least_over:
        raise _nothing_fits(job, numbers, limit, least_over)
    if not found:
        raise _nothing_possible(job, numbers, reasons)
    return Plans(
        considered=reasons.total() + sum(map(len, seconds)),
        reasons={reason: count for reason, count in reasons.items() if count},
        limit_bytes=limit,
        least_too_large=least_over,
        price=price,
        dimensions=join(found),
        seconds=np.concatenate(seconds),
        needed_bytes=np.concatenate(needs),
        estimate=job.estimate,
    )


def _nothing_possible(job: PlanJob, numbers: Sequence[int], reasons: Counter[str]) -> LabError:
    distances = [sign * by for by in range(1, NEIGHBOURS + 1) for sign in (1, -1)]
    others = (n + by for by in distances for n in numbers if n + by >= 1)
    devices = next((number for number in others if _is_possible(job, number)), None)
    most = numbers[-1]
    batch = max(1, round(job.global_batch / most)) * most
    ways = [] if devices is None else [_listed([devices])]
    if _is_possible(replace(job, global_batch=batch), most):
        ways.append(f"a global batch of {batch:,} on {_listed([most])}")
    why = "; ".join(f"{reason}: {count:,}" for reason, count in reasons.most_common(3) if count)
    return LabError(
        f"No plan is possible for {_listed(numbers)} and a global batch of"
        f" {job.global_batch:,} ({why}).",
        f"The nearest that works: {', or '.join(ways)}." if ways else "Use fewer devices.",
    )


def _is_possible(job: PlanJob, number: int) -> bool:
    return any(np.size(legal.data) for legal, _ in job.space.legal(number))


def _nothing_fits(
    job: PlanJob, numbers: Sequence[int], limit: float, least: tuple[float, Plan]
) -> LabError:
    need, plan = least
    share = limit / job.chip.memory_bytes
    larger = [
        chip
        for chip in catalog.accelerators(precision=job.precision)
        if share * chip.memory_bytes >= need
    ]
    ways = []
    doubled = (numbers[-1] * 2**power for power in range(1, DOUBLINGS + 1))
    more = (n for n in doubled if n <= MOST_DEVICES and _least_need(job, n) <= limit)
    if (enough := next(more, None)) is not None:
        ways.append(_listed([enough]))
    if larger:
        chip = min(larger, key=lambda chip: chip.memory_bytes)
        ways.append(f"chips with more memory, such as the {chip.name}")
    return LabError(
        f"No plan for {_listed(numbers)} fits in {format_bytes(limit)} of the"
        f" {job.chip.name}: the least that any needs is {format_bytes(need)} ({_described(plan)}).",
        f"Use {' or '.join(ways)}." if ways else "Use a smaller model, batch or length.",
    )


def _least_need(job: PlanJob, number: int) -> float:
    needs = (job.need_bytes(legal) for legal, _ in job.space.legal(number) if np.size(legal.data))
    return min((float(need.min()) for need in needs), default=np.inf)


def _described(plan: Plan) -> str:
    usual = Plan()
    fields = [f"{name}={value}" for name, value in vars(plan).items() if value != vars(usual)[name]]
    return ", ".join(fields) or "one device, nothing shared"


def _listed(numbers: Sequence[int]) -> str:
    text = " or ".join(f"{number:,}" for number in numbers)
    return f"{text} device{'s' if numbers[-1] > 1 else ''}"
