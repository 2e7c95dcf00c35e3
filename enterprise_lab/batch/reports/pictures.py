"""Comparison pictures: one figure of every run on one axis, with its origin and interval.

A numeric parameter with three values or more becomes an axis, with a line for each device,
precision or whatever else varies; without one, every run has its place in a row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.reports.comparison import (
    NOTEBOOK,
    OF_THE_NOTEBOOK,
    Series,
    capitalised,
    common_device,
    having,
    independent_parameters,
    is_seed,
    shared_series,
    value,
    words,
)
from enterprise_lab.batch.reports.drawing import (
    SOFT,
    Picture,
    axis_label,
    axis_unit,
    data_uri,
    group_thousands,
    is_wide,
    origin_handle,
    plain_numbers,
    styled,
)
from enterprise_lab.batch.reports.results import Result
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.palette import COLOURS, MARKERS
from enterprise_lab.units import format_figure

MAX_PICTURES = 12
MAX_ROWS = 40
MAX_PANELS = 6
_FEWEST_ON_AXIS = 3
_FROM_ZERO = 0.6
"""Where the smallest figure is less than this of the largest, an axis begins at zero."""


def comparison_pictures(results: Sequence[Result]) -> list[Picture]:
    """Draw what runs share and what the compared hardware or parameters change.

    What executing a notebook took on one machine for all is drawn only if there is nothing else.
    """
    succeeded = [r for r in results if r.state == State.SUCCEEDED]
    by_metric: dict[tuple[str, str], list[Series]] = {}
    for one in shared_series(succeeded):
        by_metric.setdefault((one.metric, one.unit), []).append(one)
    pictures: list[Picture] = []
    for series in by_metric.values():
        holders = [r for r in succeeded if any(r.figure(s.metric, s.origin) for s in series)]
        layout = _Layout.of(holders)
        metric = series[0].metric
        if pictures and metric in OF_THE_NOTEBOOK and common_device(metric, holders):
            continue
        if len(holders) > 1 and any(layout.compares(s, having(s, holders)) for s in series):
            pictures.append(_picture(series, holders, layout))
        if len(pictures) == MAX_PICTURES:
            break
    return pictures


@dataclass(frozen=True)
class _Layout:
    """What goes where: along the axis, in colours, and in rows or panels."""

    axis: str | None
    colour: str | None
    rows: tuple[str, ...]

    @classmethod
    def of(cls, results: Sequence[Result]) -> _Layout:
        names = independent_parameters(results)
        free = [n for n in names if not is_seed(n)] or names
        numeric = [n for n in free if _is_axis(n, results)]
        axis = max(numeric, key=lambda n: len({value(r, n) for r in results}), default=None)
        rest = [n for n in free if n != axis]
        if axis is None and len(rest) < 2:
            return cls(None, None, tuple(rest))
        colour = next((n for n in reversed(rest) if _fits_colours(n, results)), None)
        rows = tuple(n for n in rest if n != colour)
        if axis is not None and len({_place(r, rows) for r in results}) > MAX_PANELS:
            return cls(None, colour, tuple(n for n in free if n != colour))
        return cls(axis, colour, rows)

    def place(self, result: Result) -> str:
        """Name a run's row or panel."""
        return _place(result, self.rows if self.axis else self.rows or (NOTEBOOK,))

    def hue(self, result: Result) -> str:
        return value(result, self.colour) if self.colour else ""

    def compares(self, series: Series, results: Sequence[Result]) -> bool:
        """Whether the figure differs within a row or panel, or there is one run a row."""
        if self.axis is None and self.colour is None:
            return True
        values: dict[str, set[float]] = {}
        for result in results:
            if record := result.figure(series.metric, series.origin):
                values.setdefault(self.place(result), set()).add(record.value)
        return any(len(held) > 1 for held in values.values())

    def title(self, label: str) -> str:
        names = [*self.rows, *filter(None, [self.colour, self.axis])]
        said = [n.replace("_", " ") for n in names]
        by = " and ".join(filter(None, [", ".join(said[:-1]), *said[-1:]]))
        return f"{capitalised(label)} by {by}" if by else capitalised(label)


def _place(result: Result, names: Sequence[str]) -> str:
    return "\n".join(words(result, n) for n in names)


def _is_axis(name: str, results: Sequence[Result]) -> bool:
    held = [r.parameters.get(name) for r in results]
    numbers = {v for v in held if isinstance(v, int | float) and not isinstance(v, bool)}
    return len(numbers) >= _FEWEST_ON_AXIS and all(v in numbers for v in held)


def _fits_colours(name: str, results: Sequence[Result]) -> bool:
    return 1 < len({value(r, name) for r in results}) <= len(COLOURS)


def _picture(series: Sequence[Series], results: Sequence[Result], layout: _Layout) -> Picture:
    records = [f for r in results for s in series if (f := r.figure(s.metric, s.origin))]
    ends = [v for r in records for v in (r.value, r.low, r.high) if v is not None]
    scale, unit = axis_unit([r.value for r in records], series[0].unit)
    log = is_wide(ends)
    from_zero = 0 <= min(ends) < _FROM_ZERO * max(ends)
    label = axis_label(capitalised(series[0].label), unit, log=log)
    has_intervals = any(r.low is not None and r.high is not None for r in records)
    hues = list(dict.fromkeys(layout.hue(r) for r in results))
    with styled():
        if layout.axis is None:
            shown = _first_rows(results, layout)
            figure = _rows(series, shown, layout, hues, scale, label, log=log, from_zero=from_zero)
        else:
            shown = list(results)
            figure = _curves(
                series, shown, layout, hues, scale, label, log=log, from_zero=from_zero
            )
        _legend(figure, series, hues, layout, has_intervals=has_intervals)
        source = data_uri(figure)
    title = layout.title(series[0].label)
    left_out = len({layout.place(r) for r in results}) - len({layout.place(r) for r in shown})
    return Picture(
        title,
        source,
        _in_words(title, series, shown, layout),
        common_device(series[0].metric, results),
        f"The first {MAX_ROWS} rows; {left_out} more are in the table." if left_out else "",
    )


def _first_rows(results: Sequence[Result], layout: _Layout) -> list[Result]:
    kept = list(dict.fromkeys(layout.place(r) for r in results))[:MAX_ROWS]
    return [r for r in results if layout.place(r) in kept]


def _rows(
    series: Sequence[Series],
    results: Sequence[Result],
    layout: _Layout,
    hues: list[str],
    scale: float,
    label: str,
    *,
    log: bool,
    from_zero: bool,
) -> Figure:
    """Draw a mark for every run, in a row of its own or of its place."""
    rows = list(dict.fromkeys(layout.place(r) for r in results))
    lines = max(row.count("\n") for row in rows) + 1
    height = 1.3 + len(rows) * max(0.42, 0.26 * len(hues) + 0.16, 0.2 * lines + 0.16)
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    axes.spines["left"].set_visible(False)
    for result in results:
        hue = hues.index(layout.hue(result))
        y = rows.index(layout.place(result)) + (hue - (len(hues) - 1) / 2) * 0.8 / len(hues)
        for one in series:
            if record := result.figure(one.metric, one.origin):
                _mark(axes, record, y, COLOURS[hue % len(COLOURS)], scale, said=len(series) == 1)
    if log:
        axes.set_xscale("log")
        plain_numbers(axes.xaxis)
    elif from_zero:
        axes.set_xlim(left=0)
    axes.margins(x=0.08)
    if not log:
        group_thousands(axes.xaxis)
    axes.set_xlabel(label)
    axes.set_yticks(range(len(rows)), rows)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    for edge in range(1, len(rows)):
        axes.axhline(edge - 0.5, color="#e4e7eb", linewidth=0.8)
    return figure


def _mark(axes: Axes, record: Record, y: float, colour: str, scale: float, *, said: bool) -> None:
    ends = [end for end in (record.low, record.high) if end is not None]
    if len(ends) == 2:
        axes.plot(
            [end / scale for end in ends], [y, y],
            color=colour, linewidth=1.6, marker="|", markersize=7, alpha=0.75,
        )  # fmt: skip
    axes.plot(
        [record.value / scale], [y], MARKERS[record.origin], color=colour, markersize=7,
        markerfacecolor=colour if record.origin == Origin.MEASURED else "white",
        markeredgewidth=1.8, zorder=3,
    )  # fmt: skip
    if said:
        axes.annotate(
            format_figure(record.value, record.unit),
            (max([record.value, *ends]) / scale, y),
            xytext=(9, 0), textcoords="offset points", va="center", fontsize=9,
            color=SOFT, annotation_clip=False,
        ).set_in_layout(True)  # fmt: skip


def _curves(
    series: Sequence[Series],
    results: Sequence[Result],
    layout: _Layout,
    hues: list[str],
    scale: float,
    label: str,
    *,
    log: bool,
    from_zero: bool,
) -> Figure:
    """Draw a line a colour over the numeric parameter, in a panel for each of the other values."""
    axis = layout.axis
    assert axis is not None
    panels = list(dict.fromkeys(layout.place(r) for r in results))
    columns = min(2, len(panels))
    lines = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(7.2, 1.2 + 3.0 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    every = sorted({_number(r, axis) for r in results})
    wide = every[0] > 0 and every[-1] / every[0] >= 8
    for spare in grid.flat[len(panels) :]:
        spare.set_visible(False)
    for axes, panel in zip(grid.flat, panels, strict=False):
        inside = [r for r in results if layout.place(r) == panel]
        for hue, name in enumerate(hues):
            held = [r for r in inside if layout.hue(r) == name]
            for one in series:
                _line(axes, one, held, axis, COLOURS[hue % len(COLOURS)], scale)
        if wide:
            axes.set_xscale("log", base=2)
        if len(every) <= 8:
            axes.set_xticks(every, [f"{x:,.6g}" for x in every])
            axes.tick_params(axis="x", which="minor", length=0)
        if panel:
            axes.set_title(panel.replace("\n", " · "))
        axes.grid()
    first = grid[0, 0]
    first.margins(y=0.08)
    if log:
        first.set_yscale("log")
        plain_numbers(first.yaxis)
    elif from_zero:
        first.set_ylim(bottom=0)
    if not log:
        group_thousands(first.yaxis)
    across = axis_label(axis.replace("_", " "), "", log=wide)
    for at, axes in enumerate(grid.flat[: len(panels)]):
        if at + columns >= len(panels):
            axes.set_xlabel(across)
            axes.tick_params(axis="x", labelbottom=True)
        if at % columns == 0:
            axes.set_ylabel(label)
    return figure


def _line(
    axes: Axes, series: Series, results: Sequence[Result], axis: str, colour: str, scale: float
) -> None:
    """Draw a series' middle over the axis, and every figure and interval it goes through."""
    groups: dict[float, list[Record]] = {}
    for result in results:
        if record := result.figure(series.metric, series.origin):
            groups.setdefault(_number(result, axis), []).append(record)
    if not groups:
        return
    is_measured = series.origin == Origin.MEASURED
    xs = sorted(groups)
    axes.plot(
        xs, [median(r.value for r in groups[x]) / scale for x in xs],
        color=colour, linewidth=1.6, linestyle="-" if is_measured else (0, (4, 2)),
    )  # fmt: skip
    every = [(x, record) for x, records in groups.items() for record in records]
    spans = [
        (x, record.low / scale, record.high / scale)
        for x, record in every
        if record.low is not None and record.high is not None
    ]
    if spans:
        places, lows, highs = zip(*spans, strict=True)
        axes.vlines(places, lows, highs, color=colour, linewidth=1.4, alpha=0.7)
        axes.plot([*places, *places], [*lows, *highs], "_", color=colour, markersize=7, alpha=0.7)
    axes.plot(
        [x for x, _ in every], [record.value / scale for _, record in every],
        MARKERS[series.origin], color=colour, markersize=6, zorder=3,
        markerfacecolor=colour if is_measured else "white", markeredgewidth=1.6,
    )  # fmt: skip


def _number(result: Result, name: str) -> float:
    held = result.parameters[name]
    assert isinstance(held, int | float)
    return float(held)


def _legend(
    figure: Figure,
    series: Sequence[Series],
    hues: list[str],
    layout: _Layout,
    *,
    has_intervals: bool,
) -> None:
    style = {"frameon": False, "handlelength": 1.2, "columnspacing": 1.4, "fontsize": 10}
    if layout.colour:
        colours = [
            Line2D([], [], color=c, linewidth=5, label=h or "(none)")
            for h, c in zip(hues, COLOURS, strict=False)
        ]
        figure.legend(
            handles=colours, loc="outside upper left", ncols=min(4, len(colours)),
            title=layout.colour.replace("_", " "), alignment="left", **style,
        )  # fmt: skip
    meanings = [origin_handle(one.origin) for one in series]
    if has_intervals:
        meanings.append(
            Line2D([], [], color=SOFT, linewidth=1.6, marker="|", markersize=7, label="low to high")
        )
    figure.legend(handles=meanings, loc="outside lower right", ncols=len(meanings), **style)


def _in_words(
    title: str, series: Sequence[Series], results: Sequence[Result], layout: _Layout
) -> str:
    parts = []
    for result in results:
        where = [layout.place(result).replace("\n", ", "), layout.hue(result)]
        name = " on ".join(filter(None, where))
        if layout.axis:
            name = ", ".join(filter(None, [name, words(result, layout.axis)]))
        figures = " and ".join(
            f"{one.text(result)} {one.origin}"
            for one in series
            if result.figure(one.metric, one.origin)
        )
        parts.append(f"{name}: {figures}")
    return f"{title}. {'; '.join(parts)}."
