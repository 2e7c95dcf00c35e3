"""What a run needs of a machine, whether the machines have it, and what it costs there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

from enterprise_lab import catalog
from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans.schema import Entry, Plan, Price, Resources, bytes_of
from enterprise_lab.batch.run import Need
from enterprise_lab.catalog.driver_names import by_driver_name
from enterprise_lab.errors import LabError
from enterprise_lab.units import format_bytes


def need_of(plan: Plan, entry: Entry) -> Need:
    """Return what the runs of an entry need; what it doesn't say is the plan's.

    Raises LabError for an accelerator the catalogue doesn't have, and for one without GPUs.
    """
    own = entry.resources.model_dump(exclude_unset=True)
    asked: Resources = plan.resources.model_copy(update=own)
    memory_bytes = None if asked.memory is None else bytes_of(asked.memory)
    on_processor = own.get("gpus") == 0 and "accelerator" not in own
    if asked.accelerator is None or on_processor:
        return Need(asked.gpus, memory_bytes)
    if not asked.gpus:
        raise LabError(
            f"the accelerator {asked.accelerator} is asked for, and no GPU",
            "Give the number of GPUs: `resources: {gpus: 1, accelerator: ...}`.",
        )
    return Need(asked.gpus, memory_bytes, catalog.accelerator(asked.accelerator).name)


@cache
def kind_of(gpu: str) -> str:
    """Return the catalogue's name of a GPU, or its driver's where the catalogue has none."""
    chip = by_driver_name(gpu)
    return chip.name if chip else gpu


def usable_gpus(need: Need, node: Node) -> list[int]:
    """Return the numbers of a machine's GPUs that are of the kind a run needs."""
    return [
        number for number, gpu in enumerate(node.gpus) if need.accelerator in (None, kind_of(gpu))
    ]


def has_room(need: Need, node: Node) -> bool:
    """Whether a machine with nothing to do could make a run that needs this."""
    return len(usable_gpus(need, node)) >= need.gpus and (
        need.memory_bytes is None or need.memory_bytes <= node.memory_bytes
    )


def gpu_kind(need: Need, nodes: Sequence[Node] | None) -> str | None:
    """Return the kind of GPU a run will have; None where it has none, or could be of several."""
    if not need.gpus or need.accelerator:
        return need.accelerator
    kinds = {
        kind_of(node.gpus[number])
        for node in nodes or ()
        if has_room(need, node)
        for number in usable_gpus(need, node)
    }
    return kinds.pop() if len(kinds) == 1 else None


def device_of(need: Need, nodes: Sequence[Node] | None) -> str:
    """Name the kind of device a run has: `cpu`, `L4`, `4 x L4`; `GPU` where kinds differ."""
    if not need.gpus:
        return "cpu"
    kind = gpu_kind(need, nodes) or "GPU"
    return kind if need.gpus == 1 else f"{need.gpus} x {kind}"


def shortage(need: Need, nodes: Sequence[Node]) -> LabError | None:
    """Return why no machine can make a run that needs this, if none can."""
    if any(has_room(need, node) for node in nodes):
        return None
    most = max((len(usable_gpus(need, node)) for node in nodes), default=0)
    if most < need.gpus:
        kind = f"{need.accelerator} " if need.accelerator else ""
        there = sorted({gpu for node in nodes for gpu in node.gpus})
        return LabError(
            f"a run takes {need.gpus} {kind}GPU{'s' * (need.gpus > 1)} of one machine, and"
            f" {f'no machine has more than {most}' if most else 'there is none'}",
            f"GPUs there: {', '.join(there) or 'none'}. Run the plan elsewhere, or change its"
            " resources.",
        )
    largest = max((node.memory_bytes for node in nodes), default=0.0)
    return LabError(
        f"a run takes up to {format_bytes(need.memory_bytes or 0)} of memory, and no machine with"
        f" its GPUs has more than {format_bytes(largest)}",
        "Lower `memory`, or run the plan on a larger machine.",
    )


def price_problems(price: Price, needs: Sequence[Need]) -> Iterator[LabError]:
    """Yield what is wrong with a price, and with runs that its machine cannot make."""
    try:
        _usd_per_hour(price)
    except LabError as error:
        yield LabError(error.problem.rstrip("."), error.remedy)
        return
    if (machine_gpus := _gpus(price)) is not None:
        most = max((need.gpus for need in needs), default=0)
        if most > machine_gpus:
            yield LabError(
                f"a machine of this price has {machine_gpus} GPU{'s' * (machine_gpus != 1)}, and a"
                f" run asks for {most}",
                "Give the price of a machine that has as many.",
            )
    if price.instance is not None:
        has = catalog.instance(price.instance).accelerator
        for asked in sorted({need.accelerator for need in needs if need.accelerator} - {has}):
            yield LabError(
                f"{price.instance} has {has or 'no accelerator'}, and a run asks for {asked}",
                "Give the price of a machine that has it.",
            )


def usd_per_hour(price: Price | None, need: Need, slots: int) -> float | None:
    """Return what a run pays: its share of a machine's GPUs, or without GPUs one of its slots."""
    if price is None:
        return None
    share = need.gpus / (_gpus(price) or need.gpus) if need.gpus else 1 / slots
    return _usd_per_hour(price) * min(1.0, share)


@cache
def _usd_per_hour(price: Price) -> float:
    if price.usd_per_hour is not None:
        return price.usd_per_hour
    assert price.instance is not None
    return catalog.price(price.instance).usd_per_hour


@cache
def _gpus(price: Price) -> int | None:
    """Return the GPUs of a machine, a slice of one counting as one; None where nobody said."""
    if price.instance is None:
        return price.gpus
    return math.ceil(catalog.instance(price.instance).accelerator_count or 0)
