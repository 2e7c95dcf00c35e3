"""What was predicted beside what was measured: how often the interval held, and by how much not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.reports.comparison import all_series, capitalised, metric_label
from enterprise_lab.batch.reports.drawing import (
    SOFT,
    Picture,
    axis_label,
    data_uri,
    plain_numbers,
    styled,
)
from enterprise_lab.batch.reports.results import Result
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.palette import COLOURS

_LOOKS: dict[bool | None, tuple[str, str, str]] = {
    True: (COLOURS[0], "o", "within its interval"),
    False: (COLOURS[1], "X", "outside its interval"),
    None: (SOFT, "s", "predicted without an interval"),
}
_LOG_FROM = 3
"""From this ratio of the largest to the smallest the axis is logarithmic."""


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
    def said(self) -> str:
        """Whether the predictions held, in one sentence; empty where none had an interval."""
        if not self.with_interval:
            return ""
        ratio = self.median_ratio
        by = "" if ratio is None else f"; measured was {ratio:.3g} times predicted (median)"
        return f"{self.label}: {self.inside} of {self.with_interval} within the interval{by}."

    @property
    def doubts(self) -> dict[str, int]:
        """Why measurements can't be relied on, in short, with how many of them."""
        said = (pair.measured.doubt.partition(" (")[0] for pair in self.pairs)
        return dict(Counter(filter(None, said)))

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


def side_by_side(results: Sequence[Result]) -> int:
    """Count the runs whose figures count and that shared their host with another of the batch."""
    hosts: dict[str, list[tuple[float, float, bool]]] = {}
    for result in results:
        for status in result.attempts:
            start = status.ended.started.timestamp()
            span = (start, start + status.ended.run_seconds, status == result.status)
            hosts.setdefault(status.ended.host, []).append(span)
    count = 0
    for spans in hosts.values():
        spans.sort()
        latest = -math.inf
        following = [start for start, _, _ in spans[1:]] + [math.inf]
        for (start, end, counts), after in zip(spans, following, strict=True):
            count += counts and (latest > start or after < end)
            latest = max(latest, end)
    return count


def forecast_picture(forecasts: Sequence[Forecast]) -> Picture | None:
    """Draw measured over predicted, a row a metric and a mark a run; None without any ratio."""
    rows = [(f, _above_zero(f)) for f in forecasts]
    rows = [(forecast, pairs) for forecast, pairs in rows if pairs]
    if not rows:
        return None
    with styled():
        figure = Figure(figsize=(9, 1.2 + 0.55 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.spines["left"].set_visible(False)
        axes.axvline(1, color=SOFT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        ends = [1.0]
        for row, (_, pairs) in enumerate(rows):
            ends += _draw(axes, pairs, row)
        _scale(axes, ends)
        axes.set_yticks(range(len(rows)), [forecast.label for forecast, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        seen = {pair.is_inside for _, pairs in rows for pair, _ in pairs}
        figure.legend(
            handles=[
                Line2D([], [], color=colour, linestyle="none", marker=marker, label=label)
                for held, (colour, marker, label) in _LOOKS.items()
                if held in seen
            ],
            loc="outside lower right", ncols=3, frameon=False, fontsize=10,
        )  # fmt: skip
        source = data_uri(figure)
    title = "What was measured, as a multiple of what was predicted"
    said = "; ".join(
        f"{forecast.label}: {min(ratios):.2f} to {max(ratios):.2f} measured over predicted"
        for forecast, pairs in rows
        for ratios in [[ratio for _, ratio in pairs]]
    )
    return Picture(title, source, f"{title}. {said}.")


def _above_zero(forecast: Forecast) -> list[tuple[Pair, float]]:
    return [(p, r) for p in forecast.pairs if (r := p.ratio) is not None and r > 0]


def _draw(axes: Axes, pairs: Sequence[tuple[Pair, float]], row: int) -> list[float]:
    """Draw a metric's ratios, one below the other in its row, with the predictions' intervals.

    Returns all that has to have room on the axis.
    """
    ends = []
    for at, (pair, ratio) in enumerate(pairs):
        y = row + 0.6 * ((at + 0.5) / len(pairs) - 0.5)
        colour, marker, _ = _LOOKS[pair.is_inside]
        one = pair.predicted
        if one.low is not None and one.high is not None and one.low / one.value > 0:
            interval = [one.low / one.value, one.high / one.value]
            axes.plot(interval, [y, y], color=colour, linewidth=1.2, alpha=0.45, zorder=2)
            ends += interval
        axes.plot(
            [ratio], [y], marker, color=colour, markersize=6, markeredgecolor="white",
            markeredgewidth=0.6, zorder=3,
        )  # fmt: skip
        ends.append(ratio)
    return ends


def _scale(axes: Axes, ends: Sequence[float]) -> None:
    """Give the axis room around all ratios, logarithmic where they are far apart."""
    low, high = min(ends), max(ends)
    log = high / low > _LOG_FROM
    if log:
        axes.set(xscale="log", xlim=(low / 1.2, high * 1.2))
        plain_numbers(axes.xaxis)
    else:
        room = 0.1 * (high - low) or 0.1
        axes.set_xlim(low - room, high + room)
    axes.set_xlabel(axis_label("measured / predicted", "1", log=log))
