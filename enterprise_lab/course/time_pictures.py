"""Pictures of the time and cost of training, with intervals."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from enterprise_lab.costing import Option, Options
from enterprise_lab.course.drawing import (
    INTERVAL,
    MARKS,
    canvas,
    finish,
    legend_above,
    panels,
    plain_log_ticks,
    whiskers,
)
from enterprise_lab.estimate import Estimate, Plans
from enterprise_lab.measure.records import Origin
from enterprise_lab.palette import COLOURS
from enterprise_lab.units import HOUR

_WHISKER: Any = {"capsize": 3, "elinewidth": 1.5, "capthick": 1.5}

_STEP = {
    "matrix products": ("matrix products", "output head", "dequantisation"),
    "attention": ("attention",),
    "norms and activations": ("norms and activations", "adapters"),
    "recomputation": ("recomputation",),
    "between devices": (
        "tensor parallel", "context parallel", "pipeline bubble", "pipeline transfers",
        "sharded parameters", "gradient reduction",
    ),
    "optimizer": ("gradient accumulation", "optimizer"),
    "overhead and waiting": ("overhead", "input", "checkpoints"),
}  # fmt: skip


def step_terms(options: Options) -> Figure:
    """Draw what the time of a step goes into on each instance: one stacked bar each."""
    possible = {o.instance.name: o.training for o in options if o.training}
    figure, axes = canvas(1.3 + 0.42 * len(possible))
    steps = [training.step_seconds for training in possible.values()]
    left = np.zeros(len(steps))
    for (label, terms), colour in zip(_STEP.items(), (*COLOURS[:6], "#999999"), strict=True):
        sizes = np.array([sum(step.terms.get(term, 0) for term in terms) for step in steps]) * 1e3
        if sizes.any():
            axes.barh(list(possible), sizes, left=left, color=colour, label=label)
        left += sizes
    for row, (step, training) in enumerate(zip(steps, possible.values(), strict=True)):
        axes.errorbar(
            step.value * 1e3, row, xerr=whiskers(step, 1e-3), color="black", linestyle="",
            **_WHISKER,
        )  # fmt: skip
        share = f"  {100 * training.mfu.value:.0f} % of peak"
        axes.text((step.high or step.value) * 1e3, row, share, va="center")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.margins(x=0.2)
    axes.set(xlabel="time of one step (ms)")
    legend_above(figure, 3)
    return finish(figure, f"estimated; whiskers: {INTERVAL}")


class Share(NamedTuple):
    """Shares of peak that training reached, and was predicted to reach, in one place."""

    chip: str
    framework: str
    sequence_length: int
    published: float
    predicted: float


def shares_of_peak(shares: Sequence[Share]) -> Figure:
    """Draw the share of peak reached, by chip and framework, beside what was predicted of it."""
    groups = sorted({(share.chip, share.framework) for share in shares})
    figure, axes = canvas(1.2 + 0.5 * len(groups))
    lengths = dict(zip(sorted({share.sequence_length for share in shares}), COLOURS, strict=False))
    for share in shares:
        row, colour = groups.index((share.chip, share.framework)), lengths[share.sequence_length]
        for figure_, origin, shift in (
            (share.published, Origin.PUBLISHED, -0.14), (share.predicted, Origin.ESTIMATED, 0.14),
        ):  # fmt: skip
            axes.plot(100 * figure_, row + shift, color=colour, alpha=0.8, **MARKS[origin])
    axes.set_yticks(range(len(groups)), [f"{chip}, {name}" for chip, name in groups])
    axes.invert_yaxis()
    axes.set(xlabel="share of the chip's 16-bit peak (%)")
    axes.set_xlim(left=0)
    entries = [
        Line2D(
            [], [], ls="", color=colour, label=f"{length} tokens, {origin.value}", **MARKS[origin]
        )
        for length, colour in lengths.items()
        for origin in (Origin.PUBLISHED, Origin.ESTIMATED)
    ]
    legend_above(figure, len(lengths), entries, [str(entry.get_label()) for entry in entries])
    return finish(figure, "published throughput, FLOPs counted here; estimated: its group left out")


def plan_front(found: Mapping[str, Plans]) -> Figure:
    """Draw the plans of a search, by kind of device: time and cost of each, and the best ones."""
    figure, axes = canvas(4.4)
    for (name, plans), colour in zip(found.items(), COLOURS, strict=False):
        best = [
            (p.training_seconds.scaled(1 / HOUR, "h", ""), p.training_usd) for p in plans.pareto
        ]
        shown = [
            (p, time, cost) for p, (time, cost) in zip(plans.pareto, best, strict=True) if cost
        ]
        if not shown:
            continue
        _, time, cost = shown[0]
        hours = plans.seconds * time.value / plans.fastest.step_seconds.value
        dollars = (
            plans.device_seconds
            * cost.value
            / (plans.fastest.devices * plans.fastest.step_seconds.value)
        )
        axes.plot(hours, dollars, ".", color=colour, alpha=0.25, markersize=4)
        for plan, time, cost in shown:
            axes.errorbar(
                time.value, cost.value, xerr=whiskers(time), yerr=whiskers(cost), color=colour,
                markersize=8, **_WHISKER, **MARKS[Origin.ESTIMATED],
            )  # fmt: skip
            axes.annotate(
                str(plan.devices), (time.value, cost.value), xytext=(4, -13),
                textcoords="offset points", color=colour, weight="bold",
            )  # fmt: skip
        axes.plot([], [], color=colour, label=name, **MARKS[Origin.ESTIMATED])
    axes.set(xscale="log", yscale="log", xlabel="time (hours)", ylabel="cost (USD, on demand)")
    plain_log_ticks(axes.xaxis, axes.yaxis)
    legend_above(figure, len(found))
    return finish(figure, f"estimated; dots: other plans; numbers: devices; whiskers: {INTERVAL}s")


def time_and_cost(
    options: Options,
    *,
    deadline_seconds: float | None = None,
    budget_usd: float | None = None,
) -> Figure:
    """Draw the time and cost of each instance, with their ranges."""
    figure, axes = canvas(4.2)
    possible = [o for o in options if o.training and o.cost]
    for number, o in enumerate(possible):
        time, cost = _hours({1: o})[1], _usd({1: o})[1]
        colour = COLOURS[number % len(COLOURS)]
        axes.errorbar(
            time.value, cost.value, xerr=whiskers(time), yerr=whiskers(cost), color=colour,
            markersize=9, **_WHISKER, **MARKS[Origin.ESTIMATED],
        )  # fmt: skip
        axes.annotate(
            o.instance.name, (time.value, cost.value), xytext=(9, 6),
            textcoords="offset points", color=colour, weight="bold",
        )  # fmt: skip
    axes.margins(x=0.15)
    axes.set(xscale="log", yscale="log", xlabel="time (hours)", ylabel="cost (USD, on demand)")
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    if deadline_seconds:
        axes.axvspan(deadline_seconds / HOUR, right, color="#bbbbbb", alpha=0.35)
        axes.text(deadline_seconds / HOUR, bottom, " too late", va="bottom")
    if budget_usd:
        axes.axhspan(budget_usd, top, color="#bbbbbb", alpha=0.35)
        axes.text(left, budget_usd, " too dear", va="bottom")
    axes.set(xlim=(left, right), ylim=(bottom, top))
    plain_log_ticks(axes.xaxis, axes.yaxis)
    return finish(figure, f"estimated; whiskers: {INTERVAL}s; time and cost move together")


def what_if(by_count: Mapping[int, Options], chosen: int) -> Figure:
    """Draw time and cost against the number of instances, with intervals at the chosen one."""
    figure, ((left, right),) = panels(1, 2, height=3.8, width=8.5)
    dashes = itertools.cycle(("-", "--"))  # where curves lie on each other both show
    names = [option.instance.name for option in by_count[chosen]]
    for name, colour, dash in zip(names, COLOURS, dashes, strict=False):
        options = [o for found in by_count.values() for o in found if o.instance.name == name]
        possible = {o.count: o for o in options if o.training and o.cost}
        if not possible:
            continue
        for axes, figures in ((left, _hours(possible)), (right, _usd(possible))):
            axes.plot(
                list(figures), [it.value for it in figures.values()], marker=".", color=colour,
                linestyle=dash, label=name,
            )  # fmt: skip
            if chosen in figures:
                it = figures[chosen]
                axes.errorbar(chosen, it.value, whiskers(it), color=colour, **_WHISKER)
    for axes, label in ((left, "time (hours)"), (right, "cost (USD, on demand)")):
        axes.set(xlabel="instances of a kind", ylabel=label)
        if not axes.has_data():
            continue
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(list(by_count), [str(count) for count in by_count])
        axes.xaxis.set_minor_locator(NullLocator())
        plain_log_ticks(axes.yaxis)
    legend_above(figure, 3, *left.get_legend_handles_labels())
    return finish(figure, f"estimated; whiskers: {INTERVAL}s at the chosen number")


def _hours(options: Mapping[int, Option]) -> dict[int, Estimate]:
    return {
        count: o.training.training_seconds.scaled(1 / HOUR, "h", "")
        for count, o in options.items()
        if o.training
    }


def _usd(options: Mapping[int, Option]) -> dict[int, Estimate]:
    return {count: o.cost for count, o in options.items() if o.cost}
