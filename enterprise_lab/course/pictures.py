"""Pictures of models, memory and validation; every figure's origin has its own mark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from enterprise_lab import estimate
from enterprise_lab.course.drawing import (
    INTERVAL,
    MARKS,
    canvas,
    few_log_ticks,
    finish,
    legend_above,
    panels,
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
from enterprise_lab.units import GB, GIB, format_seconds

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
        estimate.training(
            shape,
            sequence_length=sequence_length,
            global_batch=2 * n,
            accelerator="A100-SXM4-80GB",
            plan=estimate.Plan(micro_batch=n),
            predicted_share=predicted_share,
        ).memory_bytes_per_device
        for n in micro_batches
    ]
    names = [str(n) for n in micro_batches]
    bottom = np.zeros(len(needs))
    for term, colour in zip(needs[0].terms, (*COLOURS[:6], "#999999"), strict=True):
        sizes = np.array([need.terms[term] for need in needs]) / GIB
        axes.bar(names, sizes, bottom=bottom, color=colour, label=term, width=0.7)
        bottom += sizes
    axes.errorbar(
        names, bottom, np.hstack([whiskers(need, GIB) for need in needs]), color="black",
        linestyle="", capsize=3,
    )  # fmt: skip
    for name, memory_bytes in devices.items():
        axes.axhline(memory_bytes / GIB, color="black", linestyle="--", linewidth=1)
        axes.axhline(MEMORY_SHARE * memory_bytes / GIB, color="black", linestyle=":", linewidth=1)
        axes.text(-0.45, memory_bytes / GIB, name, va="bottom", fontsize=9)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="sequences at once on one device (micro-batch)", ylabel="memory (GiB)")
    legend_above(figure, 4)
    return finish(
        figure,
        f"bars estimated; whiskers: {INTERVAL}; lines published, dotted: the share planned for",
    )


def predicted_beside_measured(rows: Mapping[str, tuple[Estimate, Measurement]]) -> Figure:
    """Draw durations on this machine: the prediction, and what the clock said."""
    figure, axes = canvas(1.4 + 0.5 * len(rows))
    most = max(one.value for pair in rows.values() for one in pair)
    for row, (guess, clock) in enumerate(rows.values()):
        axes.plot(guess.value, row, color=COLOURS[0], markersize=9, **MARKS[Origin.ESTIMATED])
        axes.plot([clock.low, clock.high], [row, row], color=COLOURS[1])
        axes.plot(clock.value, row, color=COLOURS[1], markersize=9, **MARKS[Origin.MEASURED])
        ends = guess.value, clock.value
        left = max(ends) < most / 2
        axes.text(
            min(ends) if left else max(ends), row + 0.28,
            f"{clock.value / guess.value:.2f} times the prediction",
            ha="left" if left else "right", va="center",
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


def validation_picture(rows: Sequence[HeldOut]) -> Figure:
    """Draw predictions against what was observed, a panel a family, with their 80 % intervals.

    Each row's group was left out of the fit that predicted it.
    """
    families = scores(rows)
    high = -(-len(families) // _ABREAST)
    figure, grid = panels(high, _ABREAST, height=1.1 + 2.3 * high)
    used = list(grid.flat)[: len(families)]
    for axes, score in zip(used, families, strict=True):
        _family(axes, score, [row for row in rows if row.family == score.family])
    for axes in list(grid.flat)[len(families) :]:
        axes.remove()
    legend_above(figure, 3, *used[0].get_legend_handles_labels())
    return finish(
        figure, "observed: published or measured; predicted: estimated, its group left out"
    )


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
    few_log_ticks(ends, axes.xaxis, axes.yaxis)
    median = f"{100 * score.median:.0f} %" if score.median >= 0.01 else "under 1 %"
    axes.set_title(
        f"{score.family}: {score.rows} rows\nmedian error {median},"
        f" {100 * score.coverage:.0f} % inside",
        fontsize=8,
    )
    axes.tick_params(labelsize=8)
