"""What a search for plans found, and how it shows itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.errors import require_whole
from enterprise_lab.estimate.device_price import DevicePrice
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.training_estimate import TrainingEstimate
from enterprise_lab.estimate.value import Estimate, html_table
from enterprise_lab.units import HOUR, format_bytes, format_figure

Floats = npt.NDArray[np.float64]
SHOWN = 10
"""Plans in a table."""
MOST_SHOWN = 100_000
STEPS = 1000
"""Steps whose cost a table shows: that of one is often less than a cent."""


@dataclass(frozen=True)
class PlannedTraining:
    """A training with one of the plans found, and what its devices cost."""

    training: TrainingEstimate
    price: DevicePrice | None

    @property
    def plan(self) -> Plan:
        """How the training is spread."""
        return self.training.plan

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.plan.devices

    @property
    def step_seconds(self) -> Estimate:
        """Seconds of one optimizer step."""
        return self.training.step_seconds

    @property
    def memory_bytes_per_device(self) -> Estimate:
        """Bytes on the fullest device."""
        return self.training.memory_bytes_per_device

    @property
    def mfu(self) -> Estimate:
        """Model FLOP/s over peak."""
        return self.training.mfu

    @property
    def training_seconds(self) -> Estimate:
        """Seconds of the whole run; LabError where the number of tokens wasn't given."""
        return self.training.training_seconds

    @property
    def device_hours_per_step(self) -> Estimate:
        """Devices times the hours of a step."""
        return self.step_seconds.scaled(self.devices / HOUR, "device-hours", "devices x time")

    @property
    def device_hours(self) -> Estimate:
        """Devices times the hours of the whole run; LabError without the number of tokens."""
        return self.training_seconds.scaled(self.devices / HOUR, "device-hours", "devices x time")

    @property
    def usd_per_hour(self) -> float | None:
        """Dollars for all devices and an hour; None where no price is known."""
        return None if self.price is None else self.devices * self.price.usd_per_hour

    @property
    def usd_per_step(self) -> Estimate | None:
        """Dollars for one step; None where no price is known."""
        return self._usd(self.step_seconds)

    @property
    def training_usd(self) -> Estimate | None:
        """Dollars for the whole run; LabError without tokens, None where no price is known."""
        return self._usd(self.training_seconds)

    def _usd(self, seconds: Estimate) -> Estimate | None:
        if self.price is None or self.usd_per_hour is None:
            return None
        return seconds.scaled(self.usd_per_hour / HOUR, "USD", self.price.source)


@dataclass(frozen=True, eq=False)
class Plans:
    """The plans that are possible and fit in memory, and how many others were discarded.

    `considered` is the number of all combinations, `possible` of those that break no rule,
    `fitting` of those that also fit in `limit_bytes` of a device's memory; `reasons` says how many
    of the others there were of each kind and sums to the rest.
    """

    considered: int
    reasons: Mapping[str, int]
    limit_bytes: float
    least_too_large: tuple[float, Plan] | None
    """The least need in bytes that doesn't fit any more, and its plan."""
    price: DevicePrice | None
    dimensions: PlanDimensions = field(repr=False)
    """All fitting plans, in flat arrays."""
    seconds: Floats = field(repr=False)
    """Seconds of a step of each."""
    needed_bytes: Floats = field(repr=False)
    """Bytes each needs on its fullest device."""
    estimate: Callable[[Plan], TrainingEstimate] = field(repr=False)

    @property
    def fitting(self) -> int:
        """Number of plans that are possible and fit in memory."""
        return len(self.seconds)

    @property
    def possible(self) -> int:
        """Number of plans that break no rule, fitting or not."""
        return self.fitting + self.reasons.get(too_large(self.limit_bytes), 0)

    @cached_property
    def fastest(self) -> PlannedTraining:
        """The plan with the shortest step."""
        return self._at(int(np.argmin(self.seconds)))

    @cached_property
    def cheapest(self) -> PlannedTraining:
        """The plan whose step takes the fewest device-hours, so that it costs least."""
        return self._at(int(np.argmin(self.device_seconds)))

    @cached_property
    def pareto(self) -> tuple[PlannedTraining, ...]:
        """The plans that no other equals in time, cost and devices and beats in one of them."""
        figures = np.stack(
            [self.seconds, self.device_seconds, np.broadcast_to(self.devices, self.seconds.shape)]
        )
        return tuple(self._at(index) for index in pareto_front(figures))

    def ranked(self, count: int = SHOWN) -> tuple[PlannedTraining, ...]:
        """Return the fastest plan of each way to split the devices, fastest first."""
        count = require_whole("count", count, MOST_SHOWN)
        order = np.argsort(self.seconds, kind="stable")
        plan = self.dimensions
        splits = np.broadcast_arrays(plan.data, plan.tensor, plan.pipeline, plan.context)
        _, first = np.unique(np.stack(splits)[:, order], axis=1, return_index=True)
        return tuple(self._at(int(index)) for index in order[np.sort(first)[:count]])

    @property
    def devices(self) -> npt.NDArray[np.integer]:
        """Number of devices of each fitting plan."""
        return np.asarray(self.dimensions.devices)

    @property
    def device_seconds(self) -> Floats:
        """Devices times seconds of a step, of each fitting plan; costs are proportional to it."""
        return self.devices * self.seconds

    def _at(self, index: int) -> PlannedTraining:
        return PlannedTraining(self.estimate(self.dimensions.plan(index)), self.price)

    @cached_property
    def _shown(self) -> tuple[PlannedTraining, ...]:
        return self.pareto if len(self.pareto) > 1 else self.ranked()

    @property
    def _title(self) -> str:
        best = (
            "best for time, cost and devices" if len(self.pareto) > 1 else "fastest of each split"
        )
        paid = self.price.source if self.price else "no price known"
        return f"The {best} of {self.fitting:,} plans that fit. A device: {paid}."

    @property
    def _counts(self) -> list[tuple[str, ...]]:
        rows: list[tuple[str, ...]] = [
            ("considered", f"{self.considered:,}"),
            *((reason, f"{-count:,}") for reason, count in self.reasons.items()),
            ("fit", f"{self.fitting:,}"),
        ]
        if self.least_too_large:
            need, _ = self.least_too_large
            over = f"{format_bytes(need)}, {100 * (need / self.limit_bytes - 1):.2g} % too much"
            rows.append(("least need that doesn't fit", over))
        return rows

    def __str__(self) -> str:
        best = _columns([_header(self._shown[0]), *map(_row, self._shown)])
        return "\n".join([self._title, *best, "", *_columns(self._counts)])

    def _repr_html_(self) -> str:
        best = html_table(
            [*map(_row, self._shown)], header=_header(self._shown[0]), caption=self._title
        )
        return best + html_table(self._counts, header=("plans", ""))


def too_large(limit_bytes: float) -> str:
    """Return the reason of plans that don't fit."""
    return f"needs more than {format_bytes(limit_bytes)} a device"


def pareto_front(figures: npt.NDArray[np.floating[Any]]) -> list[int]:
    """Return which columns no other column beats: smaller in a row and larger in none.

    Of equal columns only the first is returned. Ordered by the first row, then the next.
    """
    left = np.lexsort(figures[::-1])
    front = []
    while left.size:
        best = left[0]
        front.append(int(best))
        left = left[(figures[:, left] < figures[:, [best]]).any(axis=0)]
    return front


def _header(one: PlannedTraining) -> tuple[str, ...]:
    run = ("in all", "cost in all") if one.training.tokens is not None else ()
    return ("devices", "data", "tensor", "pipeline", "interleave", "context", "sequence parallel",
            "ZeRO", "recompute", "micro-batch", "memory a device", "MFU", "time a step",
            f"cost of {STEPS:,} steps", *run)  # fmt: skip


def _row(one: PlannedTraining) -> tuple[str, ...]:
    plan = one.plan
    run: tuple[str, ...] = ()
    if one.training.tokens is not None:
        run = (str(one.training_seconds), _cost(one.training_usd, one.device_hours))
    return (
        f"{plan.devices:,}",
        *(str(n) for n in (plan.data, plan.tensor, plan.pipeline, plan.interleave, plan.context)),
        "yes" if plan.sequence_parallel else "no",
        str(plan.zero),
        plan.recompute,
        str(plan.micro_batch),
        format_figure(one.memory_bytes_per_device.value, "B"),
        f"{100 * one.mfu.value:.1f} %",
        str(one.step_seconds),
        _cost(
            one.usd_per_step and one.usd_per_step.scaled(STEPS, "USD", ""),
            one.device_hours_per_step.scaled(STEPS, "device-hours", ""),
        ),
        *run,
    )


def _cost(usd: Estimate | None, device_hours: Estimate) -> str:
    return str(usd) if usd else f"{device_hours.value:,.3g} device-hours"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
