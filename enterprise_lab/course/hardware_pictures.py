"""Pictures that compare hardware: rates, rooflines, steps, accuracy, cost, the input pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from enterprise_lab.course.drawing import (
    MARKS,
    canvas,
    finish,
    legend_above,
    panels,
    plain_log_ticks,
)
from enterprise_lab.measure.rates import COPY, MATMUL, best_of
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.palette import COLOURS
from enterprise_lab.units import GB, TERA, format_bytes, format_seconds, format_si

_BAND = 0.2
_DASHES = {
    Origin.MEASURED: "-",
    Origin.RECORDED: "-",
    Origin.PUBLISHED: "--",
    Origin.ESTIMATED: ":",
}
_LOG_FROM_RATIO = 20
_COLUMNS = 3
_TICKS = 7


def _origins(found: Sequence[Origin]) -> str:
    return ", ".join(origin for origin in Origin if origin in found)


def _marks(found: Sequence[Origin]) -> list[Line2D]:
    """Return a legend entry for each origin that is there."""
    return [
        Line2D([], [], color="#555555", ls=_DASHES[origin], label=origin.value, **MARKS[origin])
        for origin in Origin
        if origin in found
    ]


def _explain(figure: Figure, entries: Sequence[Artist]) -> None:
    legend_above(figure, _COLUMNS, list(entries), [str(entry.get_label()) for entry in entries])


# Rates


def rates_by_size(records: Sequence[Record]) -> Figure:
    """Draw matrix rates by edge and copies by size; bands reach from the quartile to the best.

    A line is what one library does in one precision on one device, by the records' parameters.
    """
    figure, ((left, right),) = panels(1, 2, height=3.8)
    products, copies = _lines(records, MATMUL), _lines(records, COPY)
    names = list(dict.fromkeys([*products, *copies]))
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    for axes, lines, size, scale in (
        (left, products, "rows", TERA), (right, copies, "size_bytes", GB),
    ):  # fmt: skip
        for name, line in lines.items():
            _rate_line(axes, line, size, scale, colours[name])
    left.set(xscale="log", yscale="log", xlabel="edge of the matrices", ylabel="TFLOP/s")
    edges = sorted({int(one.parameters["rows"]) for line in products.values() for one in line})
    left.set_xticks(edges, [str(edge) for edge in edges], rotation=45, minor=False)
    left.minorticks_off()
    right.set(xscale="log", xlabel="bytes copied", ylabel="read and written (GB/s)")
    right.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
    right.set_ylim(bottom=0)
    left.margins(y=0.2)
    plain_log_ticks(left.yaxis)
    origins = [one.origin for one in records]
    _explain(
        figure,
        [Line2D([], [], color=colours[name], label=name) for name in names] + _marks(origins),
    )
    return finish(figure, f"{_origins(origins)}; bands: lower quartile to best")


def _lines(records: Sequence[Record], metric: str) -> dict[str, list[Record]]:
    """Group the records of a metric by device, library and precision, smallest first."""
    found = [one for one in records if one.metric == metric]
    several = len({one.device for one in found}) > 1
    lines: dict[str, list[Record]] = {}
    for one in found:
        precision = one.parameters.get("precision", "copies")
        where = f"{one.device}: " if several else ""
        lines.setdefault(f"{where}{one.parameters['library']}, {precision}", []).append(one)
    return lines


def _rate_line(axes: Axes, line: Sequence[Record], size: str, scale: float, colour: str) -> None:
    line = sorted(line, key=lambda one: float(one.parameters[size]))
    sizes = [float(one.parameters[size]) for one in line]
    lows = [(one.value if one.low is None else one.low) / scale for one in line]
    highs = [best_of(one) / scale for one in line]
    axes.fill_between(sizes, lows, highs, color=colour, alpha=_BAND, linewidth=0)
    origin = line[0].origin
    rates = [one.value / scale for one in line]
    axes.plot(sizes, rates, color=colour, ls=_DASHES[origin], markersize=4, **MARKS[origin])


# The roofline


class Roof(NamedTuple):
    """What limits a chip: FLOP/s of its arithmetic and bytes/s of its memory."""

    flops_per_second: float
    bytes_per_second: float
    origin: Origin


class Point(NamedTuple):
    """Work under a roof: its FLOP a byte, and the FLOP/s it reached or is predicted to."""

    name: str
    flops_per_byte: float
    flops_per_second: float
    origin: Origin


def roofline(roofs: Mapping[str, Roof], points: Sequence[Point]) -> Figure:
    """Draw what chips allow by arithmetic intensity, their ridges, and work placed below."""
    figure, axes = canvas(4.6)
    ridges = {name: roof.flops_per_second / roof.bytes_per_second for name, roof in roofs.items()}
    reached = [*ridges.values(), *(point.flops_per_byte for point in points)]
    ends = np.array([min(reached) / 10, max(reached) * 10])
    for row, ((name, roof), colour) in enumerate(zip(roofs.items(), COLOURS, strict=False)):
        ridge = ridges[name]
        at = np.array([ends[0], ridge, ends[1]])
        rates = np.minimum(roof.flops_per_second, at * roof.bytes_per_second) / TERA
        axes.plot(at, rates, color=colour, ls=_DASHES[roof.origin])
        axes.plot(ridge, rates[1], color=colour, markersize=7, **MARKS[roof.origin])
        axes.annotate(
            f"ridge {ridge:,.3g} FLOP/B", (ridge, rates[1]), xytext=(0, 7),
            textcoords="offset points", ha="right" if row % 2 else "left", color=colour, fontsize=9,
        )  # fmt: skip
    for row, point in enumerate(points):
        at_point = (point.flops_per_byte, point.flops_per_second / TERA)
        axes.plot(*at_point, color="black", markersize=7, ls="", **MARKS[point.origin])
        axes.annotate(
            point.name, at_point, xytext=(0, -16 if row % 2 else 9), ha="center",
            textcoords="offset points", fontsize=9,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=ends)
    axes.set(xlabel="arithmetic intensity (FLOP/byte)", ylabel="rate (TFLOP/s)")
    axes.margins(y=0.12)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    origins = [roof.origin for roof in roofs.values()] + [point.origin for point in points]
    chips = [
        Line2D([], [], color=colour, label=_roof_words(name, roof))
        for (name, roof), colour in zip(roofs.items(), COLOURS, strict=False)
    ]
    legend_above(figure, 1, chips, [str(chip.get_label()) for chip in chips])
    axes.legend(handles=_marks(origins), loc="lower right", fontsize=9)
    return finish(figure, _origins(origins))


def _roof_words(name: str, roof: Roof) -> str:
    peak = format_si(roof.flops_per_second, "FLOP/s")
    return f"{name}: {peak}, {format_bytes(roof.bytes_per_second)}/s ({roof.origin.value})"


# Steps


class Step(NamedTuple):
    """What a step with a batch takes, in seconds, and the ends of its interval."""

    batch: int
    seconds: float
    low: float
    high: float


class Steps(NamedTuple):
    """The steps of one device, framework and precision."""

    steps: Sequence[Step]
    origin: Origin


def step_by_batch(series: Mapping[str, Steps], cross: tuple[str, str] | None = None) -> Figure:
    """Draw seconds a step, and images a second, by batch; mark where two named series cross.

    Bands are quartiles, or the interval of what is estimated.
    """
    figure, ((left, right),) = panels(1, 2, height=4.0)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(series)}
    for number, (name, (steps, origin)) in enumerate(series.items()):
        batches = np.array([step.batch for step in steps])
        seconds, low, high = (
            np.array([getattr(step, end) for step in steps]) for end in ("seconds", "low", "high")
        )
        size = max(4, 9 - number)  # of series on top of each other all are seen
        drawn: Any = {"color": colours[name], "ls": _DASHES[origin], "markersize": size}
        left.plot(batches, seconds, **drawn, **MARKS[origin])
        right.plot(batches, batches / seconds, **drawn, **MARKS[origin])
        band: Any = {"color": colours[name], "alpha": _BAND, "linewidth": 0}
        left.fill_between(batches, low, high, **band)
        right.fill_between(batches, batches / high, batches / low, **band)
    if cross:
        _mark_crossing(left, *(series[name].steps for name in cross))
    for axes, label in ((left, "time of a step"), (right, "images a second")):
        axes.set(xscale="log", yscale="log", xlabel="batch (images)", ylabel=label)
        axes.set_xscale("log", base=2)
        every = sorted({step.batch for one in series.values() for step in one.steps})
        shown = every[:: -(-len(every) // _TICKS)]
        axes.set_xticks(shown, [str(batch) for batch in shown])
    left.yaxis.set_major_formatter(lambda value, _: format_seconds(value))
    right.yaxis.set_major_formatter(lambda value, _: format_si(value))
    origins = [one.origin for one in series.values()]
    _explain(
        figure,
        [Line2D([], [], color=colours[name], label=name) for name in series] + _marks(origins),
    )
    return finish(figure, f"{_origins(origins)}; bands: quartiles, or the interval if estimated")


def crossing(one: Sequence[Step], other: Sequence[Step]) -> tuple[float, float] | None:
    """Return batch and seconds where two series cross or meet, straight between steps on log axes.

    Where they cross more than once, the first; None where they don't, or share fewer than two
    batches.
    """
    by_batch = [{step.batch: step.seconds for step in steps} for steps in (one, other)]
    shared = sorted(by_batch[0].keys() & by_batch[1].keys())
    x = np.log(shared)
    y, z = (np.log([by[batch] for batch in shared]) for by in by_batch)
    gap = y - z
    for k in range(len(shared) - 1):
        if gap[k] and gap[k] * gap[k + 1] <= 0:
            part = gap[k] / (gap[k] - gap[k + 1])
            at = x[k] + part * (x[k + 1] - x[k])
            return float(np.exp(at)), float(np.exp(y[k] + part * (y[k + 1] - y[k])))
    return None


def _mark_crossing(axes: Axes, one: Sequence[Step], other: Sequence[Step]) -> None:
    if found := crossing(one, other):
        axes.axvline(found[0], color="#555555", ls=(0, (1, 2)), linewidth=1)
        axes.plot(*found, color="black", marker="x", markersize=9, ls="")
        axes.annotate(
            f"break-even:\nbatch {found[0]:.2g}", found, xytext=(6, -28),
            textcoords="offset points", fontsize=9,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1},
        )  # fmt: skip


# Accuracy


class Run(NamedTuple):
    """Accuracy on the test images by seconds from the start; the first step compiles."""

    accuracy: Sequence[tuple[float, float]]
    compile_seconds: float
    origin: Origin

    def seconds_to(self, target: float) -> float | None:
        """Return when the target was first found to be reached; None where it wasn't."""
        return next((seconds for seconds, reached in self.accuracy if reached >= target), None)


def accuracy_curves(runs: Mapping[str, Run], target: float) -> Figure:
    """Draw accuracy against time, and when each run reached the target; hatched: compiling."""
    figure, axes = canvas(4.0)
    for row, ((name, run), colour) in enumerate(zip(runs.items(), COLOURS, strict=False)):
        seconds, accuracy = zip(*run.accuracy, strict=True)
        done = run.seconds_to(target)
        label = f"{name}: {'not reached' if done is None else format_seconds(done)}"
        axes.plot(
            seconds, [100 * a for a in accuracy], color=colour, ls=_DASHES[run.origin],
            markersize=4, label=label, **MARKS[run.origin],
        )  # fmt: skip
        axes.axvspan(
            0, run.compile_seconds, ymin=0.05 * row, ymax=0.05 * row + 0.04, facecolor="white",
            edgecolor=colour, hatch="////", linewidth=0.8,
        )  # fmt: skip
        if done is not None:
            axes.vlines(done, 0, 100 * target, color=colour, linewidth=1, ls=(0, (1, 2)))
            axes.plot(done, 100 * target, marker="*", color=colour, markersize=13)
    axes.axhline(
        100 * target, color="black", linewidth=1, ls="--", label=f"target {100 * target:g} %"
    )
    axes.set(xlabel="time (s)", ylabel="accuracy on test images (%)", ylim=(0, 104))
    axes.set_xlim(left=0)
    origins = [run.origin for run in runs.values()]
    lead_in = Patch(facecolor="white", edgecolor="#555555", hatch="////", label="first step")
    handles, _ = axes.get_legend_handles_labels()
    _explain(figure, [*handles, *_marks(origins), lead_in])
    return finish(figure, f"{_origins(origins)}; stars: target reached")


# Bars


class Bar(NamedTuple):
    """A figure to compare, and the ends of its interval."""

    name: str
    value: float
    low: float
    high: float
    origin: Origin


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def bars_by_origin(rows: Sequence[Bar], unit: str, title: str) -> Figure:
    """Draw figures side by side; what is estimated is hollow and hatched."""
    figure, axes = canvas(1.5 + 0.42 * len(rows))
    values = [bar.value for bar in rows]
    log = max(values) > _LOG_FROM_RATIO * min(values)
    start = min(bar.low for bar in rows) / 3 if log else 0.0
    for row, bar in enumerate(rows):
        axes.barh(row, bar.value - start, left=start, height=0.6, **_FILL[bar.origin])
        axes.plot([bar.low, bar.high], [row, row], color="black", linewidth=1.5, marker="|")
        axes.annotate(
            _number(bar.value), (bar.high, row), xytext=(6, 0), textcoords="offset points",
            va="center",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [bar.name for bar in rows])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlabel=f"{title} ({unit}{', log scale' if log else ''})")
    if log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axes.set_xlim(start, 3 * max(bar.high for bar in rows))
    else:
        axes.set_xlim(0, 1.15 * max(bar.high for bar in rows))
    found = [bar.origin for bar in rows]
    entries = [Patch(**_FILL[origin], label=origin.value) for origin in Origin if origin in found]
    legend_above(figure, len(entries), entries, [str(entry.get_label()) for entry in entries])
    return finish(figure, f"{_origins(found)}; whiskers: intervals")


_FILL: dict[Origin, dict[str, Any]] = {
    Origin.MEASURED: {"facecolor": COLOURS[0], "edgecolor": COLOURS[0]},
    Origin.RECORDED: {"facecolor": COLOURS[2], "edgecolor": COLOURS[2]},
    Origin.PUBLISHED: {"facecolor": COLOURS[5], "edgecolor": COLOURS[5]},
    Origin.ESTIMATED: {"facecolor": "white", "edgecolor": COLOURS[1], "hatch": "////"},
}


# The input pipeline


class Chip(NamedTuple):
    """A chip that waits for images: the images a second it could train on."""

    images_per_second: float
    origin: Origin


def pipeline_curve(
    chips: Mapping[str, Chip], decode_seconds: float, workers: Sequence[int]
) -> Figure:
    """Draw images a second by workers that decode ahead: first they are the limit, then the chip.

    decode_seconds: what one worker takes for one image.
    """
    figure, axes = canvas(4.0)
    loaded = np.array(workers) / decode_seconds
    axes.plot(workers, loaded, color="black", linewidth=1, ls="--", label="what workers decode")
    for (name, chip), colour in zip(chips.items(), COLOURS, strict=False):
        needed = chip.images_per_second * decode_seconds
        counts = np.sort([*workers, np.clip(needed, min(workers), max(workers))])
        rate = np.minimum(counts / decode_seconds, chip.images_per_second)
        axes.axhline(chip.images_per_second, color=colour, linewidth=1, ls=(0, (1, 2)))
        axes.plot(counts, rate, color=colour, label=name, ls="-", **MARKS[Origin.ESTIMATED])
        axes.annotate(
            f"{format_si(chip.images_per_second)} images/s ({chip.origin.value})"
            f" keep {needed:.3g} workers busy",
            (workers[-1], chip.images_per_second), xytext=(0, 7), textcoords="offset points",
            ha="right", color=colour, fontsize=9,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlabel="workers that decode", ylabel="images a second")
    axes.set_xticks(workers, [str(count) for count in workers], minor=False)
    axes.minorticks_off()
    plain_log_ticks(axes.yaxis)
    legend_above(figure, _COLUMNS)
    origins = _origins([chip.origin for chip in chips.values()])
    return finish(
        figure, f"curves estimated, the slower of workers and chip; chips' own rates {origins}"
    )
