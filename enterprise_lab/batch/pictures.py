"""Comparison pictures: one figure of every run, on one axis, with its origin and interval."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from enterprise_lab.batch.comparison import (
    NOTEBOOK,
    Series,
    common_device,
    independent_parameters,
    shared_series,
    value,
)
from enterprise_lab.batch.results import Result
from enterprise_lab.batch.store import State
from enterprise_lab.measure.records import Origin
from enterprise_lab.palette import COLOURS, MARKERS
from enterprise_lab.units import DAY, HOUR, format_figure

MAX_PICTURES = 8
_LOG_FROM_RATIO = 20

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 11,
    "svg.hashsalt": "enterprise-lab",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": "#7b8794",
    "text.color": "#1f2933",
    "axes.labelcolor": "#1f2933",
    "xtick.color": "#3e4c59",
    "ytick.color": "#1f2933",
}


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with the words for those who cannot see it."""

    title: str
    source: str
    text: str
    device: str
    """The one machine all its figures are from, or empty when machines are compared."""


def comparison_pictures(results: Sequence[Result]) -> list[Picture]:
    """Draw what runs share and what the compared hardware or parameters change."""
    succeeded = [r for r in results if r.state == State.SUCCEEDED]
    if len(succeeded) < 2:
        return []
    by_metric: dict[str, list[Series]] = {}
    for one in shared_series(succeeded):
        by_metric.setdefault(one.metric, []).append(one)
    layout = _Layout.of(succeeded)
    return [
        _picture(series, succeeded, layout)
        for series in by_metric.values()
        if any(layout.compares(one, succeeded) for one in series)
    ][:MAX_PICTURES]


@dataclass(frozen=True)
class _Layout:
    """Rows are the first varying parameters; colours within a row are the last one's values."""

    rows: tuple[str, ...]
    colour: str | None

    @classmethod
    def of(cls, results: Sequence[Result]) -> _Layout:
        names = independent_parameters([r.run for r in results])
        if len(names) > 1 and len({value(r.run, names[-1]) for r in results}) <= len(COLOURS):
            return cls(tuple(names[:-1]), names[-1])
        return cls(tuple(names), None)

    def row(self, result: Result) -> str:
        return "\n".join(value(result.run, n) for n in self.rows or (NOTEBOOK,))

    def hue(self, result: Result) -> str:
        return value(result.run, self.colour) if self.colour else ""

    def compares(self, series: Series, results: Sequence[Result]) -> bool:
        """Whether the figure differs within a row, or there is one run a row."""
        if self.colour is None:
            return True
        values: dict[str, set[float]] = {}
        for result in results:
            if record := result.figure(series.metric, series.origin):
                values.setdefault(self.row(result), set()).add(record.value)
        return any(len(held) > 1 for held in values.values())


def _picture(series: Sequence[Series], results: Sequence[Result], layout: _Layout) -> Picture:
    rows = list(dict.fromkeys(layout.row(r) for r in results))
    hues = list(dict.fromkeys(layout.hue(r) for r in results))
    scale, unit = _axis_unit(series, results)
    title = f"{series[0].label[0].upper()}{series[0].label[1:]}"
    with rc_context(_STYLE):
        height = 1.3 + len(rows) * max(0.42, 0.26 * len(hues) + 0.16)
        figure = Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.subplots()
        ratio = _draw(axes, series, results, layout, rows, hues, scale)
        if ratio > _LOG_FROM_RATIO:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.12g}")
            axes.xaxis.set_minor_formatter(lambda *_: "")
        elif ratio > 0:
            axes.set_xlim(left=0)
        axes.margins(x=0.08)
        log = ", log scale" if ratio > _LOG_FROM_RATIO else ""
        axes.set_xlabel(f"{title} [{unit}{log}]" if unit or log else title)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#d8dee4", linewidth=0.8)
        axes.set_axisbelow(True)
        for edge in range(1, len(rows)):
            axes.axhline(edge - 0.5, color="#e4e7eb", linewidth=0.8)
        found = (r.figure(s.metric, s.origin) for s in series for r in results)
        has_intervals = any(f and f.low is not None and f.high is not None for f in found)
        _legend(figure, series, hues, layout, has_intervals=has_intervals)
        svg = io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
    source = "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode()
    names = (*layout.rows, layout.colour) if layout.colour else layout.rows
    by = " and ".join(n.replace("_", " ") for n in names)
    return Picture(
        f"{title} by {by}" if by else title,
        source,
        _words(title, series, results, layout),
        common_device(series[0].metric, results),
    )


def _draw(
    axes: Axes,
    series: Sequence[Series],
    results: Sequence[Result],
    layout: _Layout,
    rows: list[str],
    hues: list[str],
    scale: float,
) -> float:
    """Place every run's figures; return the ratio of the largest to the smallest.

    The ratio is 0 when there is none, because a value is not above zero.
    """
    values = []
    for result in results:
        hue = hues.index(layout.hue(result))
        y = rows.index(layout.row(result)) + (hue - (len(hues) - 1) / 2) * 0.8 / len(hues)
        colour = COLOURS[hue % len(COLOURS)]
        for one in series:
            record = result.figure(one.metric, one.origin)
            if record is None:
                continue
            x = record.value / scale
            values.append(x)
            if record.low is not None and record.high is not None:
                axes.plot(
                    [record.low / scale, record.high / scale], [y, y],
                    color=colour, linewidth=1.6, marker="|", markersize=7, alpha=0.75,
                )  # fmt: skip
                values += [record.low / scale, record.high / scale]
            axes.plot(
                [x], [y], MARKERS[one.origin], color=colour, markersize=7,
                markerfacecolor=colour if one.origin == Origin.MEASURED else "white",
                markeredgewidth=1.8, zorder=3,
            )  # fmt: skip
            if len(series) == 1:
                axes.annotate(
                    format_figure(record.value, record.unit),
                    ((record.value if record.high is None else record.high) / scale, y),
                    xytext=(9, 0), textcoords="offset points", va="center", fontsize=9,
                    color="#3e4c59", annotation_clip=False,
                ).set_in_layout(True)  # fmt: skip
    return max(values) / min(values) if min(values) > 0 else 0.0


def _legend(
    figure: Figure,
    series: Sequence[Series],
    hues: list[str],
    layout: _Layout,
    *,
    has_intervals: bool,
) -> None:
    colours = [
        Line2D([], [], color=c, linewidth=5, label=h)
        for h, c in zip(hues, COLOURS, strict=False)
        if layout.colour
    ]
    origins = [
        Line2D(
            [], [], color="#3e4c59", linestyle="none", marker=MARKERS[one.origin],
            markerfacecolor="#3e4c59" if one.origin == Origin.MEASURED else "white",
            markeredgewidth=1.8, label=str(one.origin),
        )
        for one in series
    ]  # fmt: skip
    interval = Line2D(
        [], [], color="#3e4c59", linewidth=1.6, marker="|", markersize=7, label="low to high"
    )
    style: dict[str, Any] = {"frameon": False, "handlelength": 1.2, "columnspacing": 1.4}
    if colours:
        figure.legend(
            handles=colours, loc="outside upper left", ncols=min(4, len(colours)), **style
        )
    meanings = [*origins, *([interval] if has_intervals else [])]
    figure.legend(handles=meanings, loc="outside lower right", ncols=len(meanings), **style)


def _axis_unit(series: Sequence[Series], results: Sequence[Result]) -> tuple[float, str]:
    """Choose the unit in which the typical figure is a handy number: its size and name."""
    found = [r.figure(s.metric, s.origin) for s in series for r in results]
    values = sorted(abs(f.value) for f in found if f and f.value)
    middle = values[len(values) // 2] if values else 1.0
    unit = series[0].unit
    if unit == "s" and middle >= 90:
        sizes = ((DAY, "days"), (HOUR, "hours"), (60, "minutes"))
        return next((float(s), n) for s, n in sizes if middle >= 1.5 * s)
    if unit in ("USD", "1"):
        return 1.0, "" if unit == "1" else "USD"
    power = 3 * math.floor(math.log10(middle) / 3)
    power = min(24, max(-9, power))
    prefix = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P",
              18: "E", 21: "Z", 24: "Y"}[power]  # fmt: skip
    return 10.0**power, f"{prefix}{unit}"


def _words(title: str, series: Sequence[Series], results: Sequence[Result], layout: _Layout) -> str:
    parts = []
    for result in results:
        name = " on ".join(
            filter(None, [layout.row(result).replace("\n", ", "), layout.hue(result)])
        )
        figures = " and ".join(f"{one.text(result)} {one.origin}" for one in series)
        parts.append(f"{name}: {figures}")
    return f"{title}. {'; '.join(parts)}."
