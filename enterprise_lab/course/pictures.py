"""The pictures of the labs. Colours are Okabe and Ito's; every figure's origin has its own mark."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from enterprise_lab import estimate
from enterprise_lab.costing import Option, Options
from enterprise_lab.course.drawing import (
    INTERVAL,
    MARKS,
    canvas,
    few_log_ticks,
    finish,
    legend_above,
    panels,
    plain_log_ticks,
    whiskers,
)
from enterprise_lab.estimate import Estimate
from enterprise_lab.estimate.flops import Causal
from enterprise_lab.estimate.search import MEMORY_SHARE
from enterprise_lab.estimate.validation import HeldOut, Score, scores
from enterprise_lab.measure.records import Origin
from enterprise_lab.measure.timing import Measurement
from enterprise_lab.palette import COLOURS
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.units import GB, GIB, HOUR, format_seconds

_WHISKER: Any = {"capsize": 3, "elinewidth": 1.5, "capthick": 1.5}
_PARTS = {
    "embeddings": COLOURS[0],
    "attention": COLOURS[4],
    "attention projections": COLOURS[4],
    "attention scores": COLOURS[1],
    "mlp": COLOURS[2],
    "norms": COLOURS[6],
    "pooler": COLOURS[3],
    "head": COLOURS[5],
}


def parameter_shares(shapes: Mapping[str, TransformerShape]) -> Figure:
    """Draw where a model's parameters are: one stacked bar a model."""
    figure, axes = canvas(0.9 + 0.5 * len(shapes))
    left = np.zeros(len(shapes))
    terms = list(next(iter(shapes.values())).parameter_terms)
    for term in terms:
        sizes = np.array([s.parameter_terms[term] for s in shapes.values()]) / 1e6
        if sizes.any():
            axes.barh(list(shapes), sizes, left=left, color=_PARTS[term], label=term)
        left += sizes
    for row, total in enumerate(left):
        axes.text(total, row, f" {total:,.0f} M", va="center")
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel="parameters (millions)", xlim=(0, left.max() * 1.14))
    legend_above(figure, len(terms))
    return finish(figure, "estimated: counted exactly from the shapes")


def flops_by_length(
    shape: TransformerShape,
    lengths: Sequence[int],
    *,
    predicted_share: float,
    causal: Causal = "full",
) -> Figure:
    """Draw how the work of training on one token splits as sequences grow."""
    figure, axes = canvas()
    counted = [
        estimate.training_flops(
            shape, sequence_length=n, predicted_share=predicted_share, causal=causal
        )
        for n in lengths
    ]
    terms = [t for t in counted[0] if any(c[t] for c in counted)]
    stacks = [[c[t] / n / 1e6 for c, n in zip(counted, lengths, strict=True)] for t in terms]
    axes.stackplot(lengths, stacks, labels=terms, colors=[_PARTS[t] for t in terms])
    axes.set_xscale("log", base=2)
    axes.set_xticks(lengths, [str(n) for n in lengths])
    axes.set(xlabel="sequence length (tokens)", ylabel="MFLOP for each token trained on")
    axes.set_xlim(lengths[0], lengths[-1])
    legend_above(figure, 3)
    return finish(figure, "estimated, by counting matrix products")


def memory_by_batch(
    shape: TransformerShape,
    micro_batches: Sequence[int],
    *,
    sequence_length: int,
    predicted_share: float,
    devices: Mapping[str, float],
) -> Figure:
    """Draw what training keeps on a device by micro-batch, against the memory of devices."""
    figure, axes = canvas(4.0)
    needs = [
        estimate.training_memory(
            shape,
            sequence_length=sequence_length,
            micro_batch=n,
            predicted_share=predicted_share,
        )
        for n in micro_batches
    ]
    names = [str(n) for n in micro_batches]
    bottom = np.zeros(len(needs))
    for term, colour in zip(needs[0], COLOURS, strict=False):
        sizes = np.array([need[term] for need in needs]) / GIB
        axes.bar(names, sizes, bottom=bottom, color=colour, label=term, width=0.7)
        bottom += sizes
    for name, memory_bytes in devices.items():
        axes.axhline(memory_bytes / GIB, color="black", linestyle="--", linewidth=1)
        axes.axhline(MEMORY_SHARE * memory_bytes / GIB, color="black", linestyle=":", linewidth=1)
        axes.text(-0.45, memory_bytes / GIB, name, va="bottom", fontsize=9)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="sequences at once on one device (micro-batch)", ylabel="memory (GiB)")
    legend_above(figure, 4)
    return finish(
        figure, "bars estimated (tensors only); memory published, dotted: the share planned for"
    )


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
    return finish(figure, f"estimated; whiskers: {INTERVAL}s, of time and cost together")


def predicted_beside_measured(rows: Mapping[str, tuple[Estimate, Measurement]]) -> Figure:
    """Draw durations on this machine: the prediction, and what the clock said."""
    figure, axes = canvas(1.4 + 0.5 * len(rows))
    for row, (guess, clock) in enumerate(rows.values()):
        axes.plot(guess.value, row, color=COLOURS[0], markersize=9, **MARKS[Origin.ESTIMATED])
        axes.plot([clock.low, clock.high], [row, row], color=COLOURS[1])
        axes.plot(clock.value, row, color=COLOURS[1], markersize=9, **MARKS[Origin.MEASURED])
        axes.text(
            max(guess.value, clock.value), row + 0.28,
            f"{clock.value / guess.value:.2f} times the prediction", ha="right", va="center",
        )  # fmt: skip
    axes.plot([], [], ls="", color=COLOURS[0], label="estimated", **MARKS[Origin.ESTIMATED])
    clocked = "measured (median, quartiles)"
    axes.plot([], [], ls="", color=COLOURS[1], label=clocked, **MARKS[Origin.MEASURED])
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set(xlabel="time", ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(lambda value, _: format_seconds(value))
    legend_above(figure, 2)
    return finish(figure, "estimated and measured on this machine")


def what_if(by_count: Mapping[int, Options], chosen: int) -> Figure:
    """Draw time and cost against the number of instances, with intervals at the chosen one."""
    figure, ((left, right),) = panels(1, 2, height=3.8, width=8.5)
    dashes = itertools.cycle(("-", "--"))  # where curves lie on each other both show
    names = [option.instance.name for option in by_count[chosen]]
    for name, colour, dash in zip(names, COLOURS, dashes, strict=False):
        options = [o for found in by_count.values() for o in found if o.instance.name == name]
        possible = {o.count: o for o in options if o.training and o.cost}
        for axes, figures in ((left, _hours(possible)), (right, _usd(possible))):
            axes.plot(
                list(figures), [it.value for it in figures.values()], marker=".", color=colour,
                linestyle=dash, label=name,
            )  # fmt: skip
            if chosen in figures:
                it = figures[chosen]
                axes.errorbar(chosen, it.value, whiskers(it), color=colour, **_WHISKER)
    for axes, label in ((left, "time (hours)"), (right, "cost (USD, on demand)")):
        axes.set(xscale="log", yscale="log", xlabel="instances of a kind", ylabel=label)
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


def validation_picture(rows: Sequence[HeldOut]) -> Figure:
    """Draw predictions against what was observed, a panel a family, with their 80 % intervals.

    Each row was left out of the fit that predicted it.
    """
    families = scores(rows)
    high = -(-len(families) // _ABREAST)
    figure, grid = panels(high, _ABREAST, height=0.7 + 2.3 * high)
    used = list(grid.flat)[: len(families)]
    for axes, score in zip(used, families, strict=True):
        _family(axes, score, [row for row in rows if row.family == score.family])
    for axes in list(grid.flat)[len(families) :]:
        axes.remove()
    legend_above(figure, 3, *used[0].get_legend_handles_labels())
    return finish(figure, "observed: published or measured; predicted: estimated, row left out")


_ABREAST = 3
_HELD_OUT = {
    True: (f"inside its {INTERVAL}", COLOURS[0], "."),
    False: (f"outside its {INTERVAL}", COLOURS[1], "x"),
}


def _family(axes: Axes, score: Score, rows: Sequence[HeldOut]) -> None:
    unit, scale = ("GB", GB) if rows[0].unit == "B" else ("s", 1)
    figures = [x / scale for row in rows for x in (row.observed, row.low, row.high)]
    ends = [min(figures) / 1.5, max(figures) * 1.5]
    axes.plot(ends, ends, color="black", linewidth=1, label="observed = predicted")
    for covered, (label, colour, marker) in _HELD_OUT.items():
        some = [row for row in rows if row.covered == covered]
        observed = [row.observed / scale for row in some]
        reach = np.array([[r.predicted - r.low, r.high - r.predicted] for r in some]) / scale
        axes.errorbar(
            observed, [row.predicted / scale for row in some], yerr=reach.reshape(-1, 2).T,
            color=colour, marker=marker, linestyle="", markersize=5, label=label,
            ecolor=(colour, 0.35), elinewidth=1.5,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
    axes.set(xlabel=f"observed ({unit})", ylabel=f"predicted ({unit})")
    few_log_ticks(*ends, axes.xaxis, axes.yaxis)
    axes.set_title(
        f"{score.family}: {score.rows} rows\nmedian error {100 * score.median:.0f} %,"
        f" {100 * score.coverage:.0f} % inside",
        fontsize=8,
    )
    axes.tick_params(labelsize=8)
