"""Found plans as a table for people and as JSON for programs."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from enterprise_lab.commands.estimate_tables import (
    described,
    in_json,
    leaning,
    range_of,
    show,
    training_figures,
    written,
)
from enterprise_lab.estimate import Estimate, Plan
from enterprise_lab.estimate.plan_table import STEPS, PlannedTraining, Plans
from enterprise_lab.units import format_bytes


def print_plans(model: str, found: Plans) -> None:
    """Print the best plans, how many were discarded and why, and the fastest as options."""
    several = len(found.pareto) > 1
    shown = found.pareto if several else found.ranked()
    best = "best for time, cost and devices" if several else "fastest of each split"
    paid = found.price.source if found.price else "no price known"
    title = f"{model}: the {best}, of {found.fitting:,} plans that fit. A device: {paid}."
    table = Table()
    whole = found.fastest.training.tokens is not None
    for column in ("devices", "data", "tensor", "pipe-\nline", "inter-\nleave", "con-\ntext",
                   "seq.\npar.", "ZeRO", "recompute", "micro-\nbatch", "memory", "MFU",
                   "a step", *(["in all"] if whole else []),
                   "cost in all" if whole else f"cost of\n{STEPS:,} steps"):  # fmt: skip
        table.add_column(column, justify="right")
    for one in shown:
        table.add_row(*_plan_row(one, whole))
    counts = Table(title=f"{found.considered:,} plans considered", title_justify="left",
                   show_header=False)  # fmt: skip
    counts.add_column(justify="left")
    counts.add_column(justify="right")
    for reason, count in sorted(found.reasons.items(), key=lambda item: -item[1]):
        counts.add_row(reason, f"{count:,}")
    counts.add_row("[bold]fit", f"[bold]{found.fitting:,}")
    fastest = found.fastest.training
    family = leaning("Time", fastest.time_family, fastest.step_seconds.source)
    show(
        f"[bold]{escape(title)}",
        table,
        counts,
        f"The fastest as options of `train`: {as_options(fastest.plan)}",
        family,
    )


def _plan_row(one: PlannedTraining, whole: bool) -> list[str]:
    plan = one.plan
    hours = one.device_hours if whole else one.device_hours_per_step.scaled(STEPS, "", "")
    if whole:
        usd = one.training_usd
    else:
        usd = one.usd_per_step and one.usd_per_step.scaled(STEPS, "USD", "")
    degrees = (plan.devices, plan.data, plan.tensor, plan.pipeline, plan.interleave, plan.context)
    return [
        *(f"{degree:,}" for degree in degrees),
        "yes" if plan.sequence_parallel else "no",
        str(plan.zero),
        plan.recompute,
        f"{plan.micro_batch:,}",
        format_bytes(one.memory_bytes_per_device.value),
        f"{100 * one.mfu.value:.1f} %",
        _two_lines(one.step_seconds),
        *([_two_lines(one.training_seconds)] if whole else []),
        _two_lines(usd) if usd else f"{hours.value:,.3g} device-hours",
    ]


def _two_lines(figure: Estimate) -> str:
    return f"{written(figure.value, figure.unit)}\n{range_of(figure)}"


def as_options(plan: Plan) -> str:
    """Write a plan as the options that give it."""
    usual, words = Plan(micro_batch=plan.micro_batch), []
    for name, value in vars(plan).items():
        option = "--" + name.replace("_", "-")
        if name == "flash_attention":
            words.append(option if value else "--no-flash-attention")
        elif value is True:
            words.append(option)
        elif name == "micro_batch" or value != getattr(usual, name):
            words.append(f"{option} {value}")
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
