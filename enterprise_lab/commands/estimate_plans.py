"""Found plans as a table for people and as JSON for programs."""

from __future__ import annotations

import textwrap
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from enterprise_lab.commands.estimate_options import fused
from enterprise_lab.commands.estimate_tables import (
    described,
    in_json,
    leaning,
    narrow,
    show,
    training_figures,
)
from enterprise_lab.estimate import Plan
from enterprise_lab.estimate.plan_table import STEPS, PlannedTraining, Plans
from enterprise_lab.shapes import Shape
from enterprise_lab.units import format_bytes

OPTIONS_WIDTH = 22
"""Characters of a line of options."""


def print_plans(model: str, found: Plans) -> None:
    """Print the best plans as options, and how many others were discarded and why."""
    several = len(found.pareto) > 1
    shown = found.pareto if several else found.ranked()
    best = "best for time, cost and devices" if several else "fastest of each split"
    paid = found.price.source if found.price else "no price known"
    title = f"{model}: the {best}, of {found.fitting:,} plans that fit. A device: {paid}."
    whole = found.fastest.training.tokens is not None
    cost = "cost\nin all" if whole else f"cost of\n{STEPS:,} steps"
    plans = Table(box=SIMPLE_HEAD)
    plans.add_column("devices", justify="right")
    plans.add_column("options of train", no_wrap=True)
    for column in ("memory", "MFU", "time\nin all" if whole else "a step", cost):
        plans.add_column(column, justify="right")
    for one in shown:
        plans.add_row(*_plan_row(one, whole))
    counts = Table(box=SIMPLE_HEAD, show_header=False)
    counts.add_column()
    counts.add_column(justify="right")
    counts.add_row("plans considered", f"{found.considered:,}")
    for reason, count in sorted(found.reasons.items(), key=lambda item: -item[1]):
        counts.add_row(f"  {reason}", f"{-count:,}")
    counts.add_row("[bold]fit", f"[bold]{found.fitting:,}")
    fastest = found.fastest.training
    family = leaning("Time", fastest.time_family, fastest.case)
    show(f"[bold]{escape(title)}", plans, counts, escape(family))


def _plan_row(one: PlannedTraining, whole: bool) -> list[str]:
    if whole:
        usd, hours = one.training_usd, one.device_hours.value
    else:
        usd = one.usd_per_step and one.usd_per_step.scaled(STEPS, "USD", "")
        hours = one.device_hours_per_step.value * STEPS
    return [
        f"{one.devices:,}",
        _in_lines(as_options(one.plan, one.training.shape)),
        format_bytes(one.memory_bytes_per_device.value),
        f"{100 * one.mfu.value:.1f} %",
        narrow(one.training_seconds if whole else one.step_seconds),
        narrow(usd) if usd else f"{hours:,.3g} device-hours",
    ]


def _in_lines(options: str) -> str:
    """Break options into lines, an option and its value on the same."""
    words = [option.replace(" ", "=") for option in options.split(" --")]
    lines = textwrap.wrap(" --".join(words), OPTIONS_WIDTH, break_on_hyphens=False)
    return "\n".join(lines).replace("=", " ")


def as_options(plan: Plan, shape: Shape) -> str:
    """Write a plan as the options of `train` that give it."""
    usual = Plan(micro_batch=plan.micro_batch, flash_attention=fused(None, shape))
    words = []
    for name, value in vars(plan).items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            given = f"--{option}" if value else f"--no-{option}"
        else:
            given = f"--{option} {value}"
        if name in ("data", "micro_batch") or value != getattr(usual, name):
            words.append(given)
    return " ".join(words)


def plans_as_json(model: str, found: Plans) -> dict[str, Any]:
    """Return all that was found as JSON's own types."""

    def one(planned: PlannedTraining) -> dict[str, Any]:
        return described(planned.training) | {"figures": in_json(
            training_figures(planned.training)
            | {"usd_per_step": planned.usd_per_step or planned.device_hours_per_step}
        )}  # fmt: skip

    return {
        "model": model,
        "considered": found.considered,
        "fitting": found.fitting,
        "reasons": dict(found.reasons),
        "limit_bytes": found.limit_bytes,
        "fastest": one(found.fastest),
        "cheapest": one(found.cheapest),
        "pareto": [one(planned) for planned in found.pareto],
        "ranked": [one(planned) for planned in found.ranked()],
    }
