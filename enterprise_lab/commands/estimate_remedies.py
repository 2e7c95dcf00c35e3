"""What to try where a model doesn't fit: only what would, by the same estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from enterprise_lab import catalog
from enterprise_lab.catalog.nodes import node_of
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import InferenceEstimate, LowRank, Plan, TrainingEstimate
from enterprise_lab.estimate.legality import divisors
from enterprise_lab.estimate.trainable import Trainable
from enterprise_lab.shapes import ConvolutionalShape
from enterprise_lab.units import format_bytes

DOUBLINGS = 8
Found = TrainingEstimate | InferenceEstimate


def for_training(
    found: TrainingEstimate, again: Callable[..., TrainingEstimate], trainable: Trainable
) -> list[str]:
    """List the options with which a training would fit; `again` takes training's arguments."""
    plan = found.plan
    ways: list[tuple[str, dict[str, Any]]] = []

    def way(options: str, **changes: Any) -> None:
        ways.append((options, {"plan": changed} if (changed := _changed(plan, changes)) else {}))

    fewer = (
        (f"--micro-batch {size}", {"plan": _changed(plan, {"micro_batch": size})})
        for size in reversed(divisors(max(1, found.global_batch // plan.data)))
        if size < plan.micro_batch
    )
    working = _working(fewer, again, most=1)
    if isinstance(trainable, LowRank):
        ways += [
            (f"--base-bits {bits}", {"plan": plan, "trainable": replace(trainable, base_bits=bits)})
            for bits in (8, 4) if bits < trainable.base_bits
        ]  # fmt: skip
    if plan.recompute != "full":
        way("--recompute full", recompute="full")
    if plan.data > 1 and plan.pipeline == 1:
        for stage in range(plan.zero + 1, 4):
            way(f"--zero {stage}", zero=stage)
    if plan.offload == "none":
        way("--offload optimizer", offload="optimizer")
    working += _working(ways, again)
    more = {"zero": 3, "pipeline": 1, "interleave": 1, "recompute": "full", "micro_batch": 1}
    least, small = found.global_batch, " --micro-batch 1" if plan.micro_batch > 1 else ""
    growing = (
        (
            f"--data {data} --zero 3 --recompute full{small}"
            + (f" -b {data}" if data > least else ""),
            {"plan": _changed(plan, more | {"data": data}), "global_batch": max(data, least)},
        )
        for data in (plan.data * plan.pipeline * 2**power for power in range(1, DOUBLINGS + 1))
    )
    if not found.accelerator.is_processor:
        working += _working(growing, again, most=1)
    if trainable == "all" and not isinstance(found.shape, ConvolutionalShape):
        adapters = (
            (
                f"finetune --trainable lora --base-bits {bits}"
                + (f" --recompute {recompute}" if recompute != plan.recompute else "") + small,
                {"plan": _changed(plan, {"micro_batch": 1, "recompute": recompute}),
                 "trainable": LowRank(base_bits=bits)},
            )
            for bits in (16, 8, 4) for recompute in dict.fromkeys((plan.recompute, "full"))
        )  # fmt: skip
        working += _working(adapters, again, most=1)
    return working + _larger_chip(found)


def for_inference(
    found: InferenceEstimate, again: Callable[..., InferenceEstimate], node_devices: int
) -> list[str]:
    """List the options with which serving would fit; `again` takes inference's arguments.

    Layers are shared by at most `node_devices`: between nodes, links are too slow for it.
    """
    smaller = ((f"--batch {n}", {"batch": n}) for n in _halves(found.batch))
    lighter = (
        (f"--weight-bits {bits}", {"weight_bits": bits}) for bits in (8, 4)
        if bits < found.weight_bits
    )  # fmt: skip
    shared = (
        (f"--tensor {n}", {"tensor": n})
        for n in (found.tensor * 2**power for power in range(1, DOUBLINGS + 1))
        if n <= node_devices
    )
    working = [way for ways in (smaller, lighter, shared) for way in _working(ways, again, most=1)]
    working += _larger_chip(found)
    return working or _working(_groups_of_larger_chips(found), again, most=1)


def _groups_of_larger_chips(found: InferenceEstimate) -> Iterator[tuple[str, dict[str, Any]]]:
    chips = catalog.accelerators(precision=found.precision, vendor=found.accelerator.vendor)
    for chip in sorted(chips, key=lambda chip: chip.memory_bytes):
        devices = node_of(chip).devices
        yield (
            f"--accelerator '{chip.name}' --tensor {devices}",
            {"accelerator": chip, "tensor": devices},
        )


def _halves(number: int) -> Iterator[int]:
    while number > 1:
        number //= 2
        yield number


def _changed(plan: Plan, changes: dict[str, Any]) -> Plan | None:
    try:
        return replace(plan, **changes)
    except LabError:
        return None


def _working(ways: Any, again: Callable[..., Found], most: int | None = None) -> list[str]:
    """Return those of the ways, in order, with which it fits, and what it needs then."""
    working: list[str] = []
    for options, changes in ways:
        if len(working) == most:
            break
        if not changes or None in changes.values():
            continue
        try:
            found = again(**changes)
        except LabError:
            continue
        if found.fits:
            working.append(f"{options} ({format_bytes(found.memory_bytes_per_device.value)})")
    return working


def _larger_chip(found: Found) -> list[str]:
    need = found.memory_bytes_per_device.value
    chips = catalog.accelerators(precision=found.precision, minimum_memory_bytes=need)
    if not chips:
        return []
    vendor = found.accelerator.vendor
    chip = min(chips, key=lambda chip: (chip.vendor != vendor, chip.memory_bytes))
    return [f"--accelerator '{chip.name}' (has {format_bytes(chip.memory_bytes)})"]
