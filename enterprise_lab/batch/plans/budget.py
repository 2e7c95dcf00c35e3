"""What a batch takes in all, before it starts, and whether that is more than was allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans.needs import has_room, usable_gpus
from enterprise_lab.batch.run import Need, Run
from enterprise_lab.errors import LabError
from enterprise_lab.units import HOUR, format_usd


@dataclass(frozen=True)
class Range:
    """A sum of predictions, and the ends of what it can be."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Total:
    """What runs take together: seconds from the first's start to the last's end, GPU-hours, USD.

    Runs are taken to succeed at the first try. Of `unknown` runs nothing is predicted, and they
    count as nothing. Of `unbounded` ones, these among them, nobody knows the most they can take:
    at the high end they count with their deadlines. `usd` is None without a price.
    """

    seconds: Range
    gpu_hours: Range
    usd: Range | None
    runs: int
    unknown: int
    unbounded: int


def total(runs: Sequence[Run], slots: int = 1, nodes: Sequence[Node] | None = None) -> Total:
    """Add up what is predicted of runs made on these machines, or on one that just suffices."""
    needs = [run.need if nodes else replace(run.need, accelerator=None) for run in runs]
    machines = nodes or [_just_enough(needs)]
    lows, values, highs = (
        [_seconds(run, end) for run in runs] for end in ("low_seconds", "seconds", "high_seconds")
    )

    def each(amount: list[float]) -> Range:
        sums = [
            sum(a * s for a, s in zip(amount, seconds, strict=True))
            for seconds in (values, lows, highs)
        ]
        return Range(*sums)

    priced = [run.usd_per_hour for run in runs if run.usd_per_hour is not None]
    return Total(
        seconds=Range(
            *(_end(needs, seconds, slots, machines) for seconds in (values, lows, highs))
        ),
        gpu_hours=each([run.need.gpus / HOUR for run in runs]),
        usd=each([(run.usd_per_hour or 0) / HOUR for run in runs]) if priced else None,
        runs=len(runs),
        unknown=sum(run.predicted.seconds is None for run in runs),
        unbounded=sum(run.predicted.high_seconds is None for run in runs),
    )


def over(found: Total, max_usd: float | None, max_hours: float | None) -> LabError | None:
    """Return what is wrong where a batch may cost more, or last longer, than is allowed.

    The high ends are compared. A limit in USD asks for a price.
    """
    if max_usd is not None and found.runs:
        if found.usd is None:
            return LabError(
                f"The plan has no price to hold against the limit of {format_usd(max_usd)}.",
                "Add `price: {instance: ...}` or `price: {usd_per_hour: ...}` to the plan.",
            )
        if found.usd.high > max_usd:
            return _too_much(found, format_usd(found.usd.high), format_usd(max_usd), "--max-usd")
    if max_hours is not None and found.seconds.high / HOUR > max_hours:
        return _too_much(found, _hours(found.seconds.high / HOUR), _hours(max_hours), "--max-hours")
    return None


def _too_much(found: Total, high: str, limit: str, option: str) -> LabError:
    deadlines = (
        f", with the deadlines of {found.unbounded} of its {found.runs} runs, for which nothing"
        " better is known"
        if found.unbounded
        else ""
    )
    return LabError(
        f"The batch may take up to {high}{deadlines}; the limit is {limit}.",
        f"Raise {option}, shorten the plan, or lower its deadlines.",
    )


def _hours(number: float) -> str:
    return f"{number:.3g} hour{'s' * (number != 1)}"


def _seconds(run: Run, end: str) -> float:
    """Return one end of what is predicted of a run, which its deadline ends in any case."""
    said: float | None = getattr(run.predicted, end)
    if said is None:
        said = run.deadline_seconds if end == "high_seconds" else 0.0
    return min(said, run.deadline_seconds)


def _just_enough(needs: Sequence[Need]) -> Node:
    return Node(
        "one machine", 1, math.inf, ("GPU",) * max((need.gpus for need in needs), default=0)
    )


def _end(
    needs: Sequence[Need], seconds: Sequence[float], slots: int, nodes: Sequence[Node]
) -> float:
    """Return when the last run ends, each starting in the plan's order as soon as it can."""
    processors = [[0.0] * slots for _ in nodes]
    gpus = [[0.0] * len(node.gpus) for node in nodes]
    end = 0.0
    for need, took in zip(needs, seconds, strict=True):
        free = [
            (gpus[number], usable_gpus(need, node)) if need.gpus
            else (processors[number], range(slots))
            for number, node in enumerate(nodes)
            if has_room(need, node)
        ]  # fmt: skip
        soonest = [
            (lanes, sorted(of, key=lanes.__getitem__)[: need.gpus or 1]) for lanes, of in free
        ]
        if not soonest:
            continue  # no machine can make it, which the check says
        lanes, taken = min(soonest, key=lambda one: one[0][one[1][-1]])
        done = lanes[taken[-1]] + took
        for number in taken:
            lanes[number] = done
        end = max(end, done)
    return end
