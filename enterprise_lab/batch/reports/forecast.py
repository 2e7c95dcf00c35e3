"""What was predicted beside what was measured: how often the interval held, and by how much not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.reports.comparison import all_series, capitalised, metric_label
from enterprise_lab.batch.reports.drawing import (
    SOFT,
    Picture,
    axis_label,
    axis_unit,
    data_uri,
    is_wide,
    plain_numbers,
    styled,
)
from enterprise_lab.batch.reports.results import Result
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.palette import COLOURS
from enterprise_lab.units import format_figure

_INSIDE, _OUTSIDE = COLOURS[0], COLOURS[1]


@dataclass(frozen=True)
class Pair:
    """One run's prediction of a figure and its measurement."""

    predicted: Record
    measured: Record

    @property
    def ratio(self) -> float | None:
        """Measured over predicted; None where nothing was predicted."""
        return self.measured.value / self.predicted.value if self.predicted.value else None

    @property
    def is_inside(self) -> bool | None:
        """Whether the measurement lies in the prediction's interval; None without one."""
        low, high = self.predicted.low, self.predicted.high
        return None if low is None or high is None else low <= self.measured.value <= high


@dataclass(frozen=True)
class Forecast:
    """A metric's predictions and measurements over all runs that have both."""

    metric: str
    unit: str
    pairs: tuple[Pair, ...]

    @property
    def label(self) -> str:
        """The metric's name for people."""
        return capitalised(metric_label(self.metric))

    @property
    def with_interval(self) -> int:
        """How many predictions had an interval."""
        return sum(pair.is_inside is not None for pair in self.pairs)

    @property
    def inside(self) -> int:
        """How many of those held."""
        return sum(pair.is_inside is True for pair in self.pairs)

    @property
    def median_ratio(self) -> float | None:
        """The middle of measured over predicted."""
        ratios = [p.ratio for p in self.pairs if p.ratio is not None]
        return median(ratios) if ratios else None

    @property
    def median_error(self) -> float | None:
        """The middle of the distances from what was predicted, as parts of it."""
        errors = [abs(p.ratio - 1) for p in self.pairs if p.ratio is not None]
        return median(errors) if errors else None


def forecasts(results: Sequence[Result]) -> list[Forecast]:
    """List every metric that succeeded runs have both predicted and measured."""
    succeeded = [r for r in results if r.state == State.SUCCEEDED]
    found = []
    for metric, unit in dict.fromkeys((s.metric, s.unit) for s in all_series(succeeded)):
        figures = (
            (r.figure(metric, Origin.ESTIMATED), r.figure(metric, Origin.MEASURED))
            for r in succeeded
        )
        pairs = tuple(
            Pair(p, m) for p, m in figures if p and m and p.unit == unit and m.unit == unit
        )
        if pairs:
            found.append(Forecast(metric, unit, pairs))
    return found


def forecast_picture(forecast: Forecast) -> Picture:
    """Draw measured against predicted, with the predictions' intervals and the line of equals."""
    ends = [
        v
        for pair in forecast.pairs
        for r in (pair.predicted, pair.measured)
        for v in (r.value, r.low, r.high)
        if v is not None
    ]
    scale, unit = axis_unit(ends, forecast.unit)
    log = is_wide(ends)
    with styled():
        figure = Figure(figsize=(5.2, 4.6), layout="constrained")
        axes = figure.subplots()
        for missed in (False, True):
            _draw(axes, [p for p in forecast.pairs if (p.is_inside is False) == missed], scale)
        limits = _square(axes, [v / scale for v in ends], log=log)
        axes.plot(limits, limits, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xlabel(axis_label("predicted", unit, log=log))
        axes.set_ylabel(axis_label("measured", unit, log=log))
        figure.legend(
            handles=_legend(forecast),
            loc="outside lower center",
            ncols=3,
            frameon=False,
            fontsize=9,
        )
        source = data_uri(figure)
    said = "; ".join(
        f"{format_figure(p.predicted.value, forecast.unit)} predicted,"
        f" {format_figure(p.measured.value, forecast.unit)} measured"
        for p in forecast.pairs
    )
    return Picture(forecast.label, source, f"{forecast.label}, predicted and measured. {said}.")


def _draw(axes: Axes, pairs: Sequence[Pair], scale: float) -> None:
    """Draw pairs that are all inside their intervals, or all outside."""
    if not pairs:
        return
    missed = pairs[0].is_inside is False
    colour = _OUTSIDE if missed else _INSIDE
    axes.plot(
        [p.predicted.value / scale for p in pairs], [p.measured.value / scale for p in pairs],
        "X" if missed else "o", color=colour, markersize=7, markeredgecolor="white",
        markeredgewidth=0.6, zorder=3,
    )  # fmt: skip
    style: dict[str, Any] = {"color": colour, "linewidth": 1.2, "alpha": 0.55}
    for spread, across, line in (
        ([p.predicted for p in pairs], [p.measured for p in pairs], axes.hlines),
        ([p.measured for p in pairs], [p.predicted for p in pairs], axes.vlines),
    ):
        spans = [
            (other.value / scale, one.low / scale, one.high / scale)
            for one, other in zip(spread, across, strict=True)
            if one.low is not None and one.high is not None
        ]
        if spans:
            line(*zip(*spans, strict=True), **style)


def _square(axes: Axes, values: Sequence[float], *, log: bool) -> tuple[float, float]:
    """Give both axes the same limits, with room around all values; return them."""
    low, high = min(values), max(values)
    if log:
        axes.set(xscale="log", yscale="log")
        limits = (low / 1.4, high * 1.4)
    else:
        room = 0.06 * (high - low or abs(high) or 1.0)
        limits = (0.0 if low >= 0 else low - room, high + room)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    if log:
        plain_numbers(axes.xaxis)
        plain_numbers(axes.yaxis)
    axes.grid()
    return limits


def _legend(forecast: Forecast) -> list[Line2D]:
    handles = [Line2D([], [], color=SOFT, linestyle=(0, (4, 3)), label="as predicted")]
    marks = []
    if forecast.inside or not forecast.with_interval:
        marks.append((_INSIDE, "o", "in the interval" if forecast.with_interval else "a run"))
    if forecast.with_interval > forecast.inside:
        marks.append((_OUTSIDE, "X", "outside the interval"))
    return handles + [
        Line2D([], [], color=c, linestyle="none", marker=m, label=label) for c, m, label in marks
    ]
