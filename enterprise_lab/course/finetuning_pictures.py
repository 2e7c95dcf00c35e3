"""Pictures of fine-tuning: padding, methods, measures, sensitivity, interruptions, machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, pairwise
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from enterprise_lab.course.drawing import (
    INTERVAL,
    MARKS,
    canvas,
    few_log_ticks,
    finish,
    legend_above,
    panels,
)
from enterprise_lab.estimate import Estimate
from enterprise_lab.evaluation.bootstrap import Interval
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.measure.timing import Measurement
from enterprise_lab.palette import COLOURS
from enterprise_lab.units import format_bytes, format_seconds

Ranged = Interval | Measurement | Record | Estimate
"""A figure and its range: 95 % from the bootstrap, quartiles of samples, or what is predicted."""
_BAND = 0.2
_GREY = "#555555"


def _origin(figure: Ranged) -> Origin:
    if isinstance(figure, Record):
        return figure.origin
    return Origin.ESTIMATED if isinstance(figure, Estimate) else Origin.MEASURED


def _origins(figures: Iterable[Ranged | None]) -> list[Origin]:
    """Return the origins of figures, each once, in the order of all pictures."""
    found = {_origin(figure) for figure in figures if figure}
    return [origin for origin in Origin if origin in found]


def _ends(figure: Ranged) -> tuple[float, float]:
    low, high = figure.low, figure.high
    return figure.value if low is None else low, figure.value if high is None else high


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows of horizontal axes, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


# Padding


def padding_by_batching(lengths: Sequence[int], padded: Mapping[str, Sequence[int]]) -> Figure:
    """Draw the tokens of texts, and how many they are padded to by each way of batching.

    lengths: tokens of each text; padded: for each way the tokens that each text is padded to, in
    the same order. Texts stand side by side, the shortest first, so that areas are tokens; a step
    is the mean of a fiftieth of the texts.
    """
    figure, (row,) = panels(1, len(padded), height=3.4, sharey=True)
    words = np.array(lengths)
    order = np.argsort(words, kind="stable")
    for axes, (way, widths) in zip(row, padded.items(), strict=True):
        tokens = np.array(widths)
        for drawn, colour in ((tokens, COLOURS[4]), (words, COLOURS[0])):
            steps = [part.mean() for part in np.array_split(drawn[order], min(50, len(order)))]
            axes.stairs(steps, np.linspace(0, 100, len(steps) + 1), fill=True, color=colour)
        share = 100 * (1 - words.sum() / tokens.sum())
        axes.set_title(f"{way}:\n{share:.0f} % padding\nof {tokens.sum():,} tokens", fontsize=9)
        axes.set(xlabel="texts, shortest first (%)", xlim=(0, 100))
    row[0].set_ylabel("tokens of a text")
    entries = [
        Patch(color=COLOURS[0], label="words"),
        Patch(color=COLOURS[4], label="padding"),
    ]
    legend_above(figure, 2, entries, [str(entry.get_label()) for entry in entries])
    return finish(figure, "measured: counted in the texts of this run")


# Methods


class Method(NamedTuple):
    """What a way to classify reached and took; None for what it has not or was not measured."""

    macro_f1: Interval
    seconds: Ranged | None
    memory_bytes: Ranged | None
    stored_bytes: float | None


def methods_compared(methods: Mapping[str, Method]) -> Figure:
    """Draw quality, time, memory and storage of methods side by side, a row a method."""
    figure, grid = panels(2, 2, height=1.8 + 0.6 * len(methods), sharey=True)
    (quality, time), (memory, storage) = grid
    for number, method in enumerate(methods.values()):
        _dot(quality, number, method.macro_f1, COLOURS[0])
        _beside(quality, method.macro_f1.high, number, f"{method.macro_f1.value:.3f}")
        if method.seconds:
            _bar(time, number, method.seconds, format_seconds(method.seconds.value))
        if method.memory_bytes:
            _bar(memory, number, method.memory_bytes, format_bytes(method.memory_bytes.value))
        if method.stored_bytes:
            storage.plot(
                method.stored_bytes, number, color=COLOURS[0], markersize=7,
                **MARKS[Origin.MEASURED],
            )  # fmt: skip
            _beside(storage, method.stored_bytes, number, format_bytes(method.stored_bytes))
    storage.set_xscale("log")
    for axes, label in zip(grid.flat, _METHOD_AXES, strict=True):
        axes.set_xlabel(label)
        axes.margins(x=0.3)
        _rows(axes, list(methods))
    for axes in (quality, time, memory):
        axes.set_xlim(left=0)
    for axes in (memory, storage):
        axes.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
    storage.xaxis.set_minor_locator(NullLocator())
    origins = ", ".join(_origins(one for method in methods.values() for one in method[:3]))
    return finish(
        figure, f"{origins}; whiskers: 95 % interval of macro-F1, quartiles of the others"
    )


_METHOD_AXES = ("macro-F1", "time of training (s)", "peak memory", "stored (log scale)")


def _dot(axes: Axes, row: float, figure: Ranged, colour: str, scale: float = 1.0) -> None:
    low, high = _ends(figure)
    axes.plot([low / scale, high / scale], [row, row], color=colour, linewidth=1.5)
    mark = MARKS[_origin(figure)]
    axes.plot(figure.value / scale, row, color=colour, markersize=6, ls="", **mark)


def _bar(axes: Axes, row: int, figure: Ranged, written: str) -> None:
    low, high = _ends(figure)
    axes.barh(row, figure.value, height=0.6, color=COLOURS[0])
    if low < high:
        axes.plot([low, high], [row, row], color="black", linewidth=1.5, marker="|")
    _beside(axes, high, row, written)


def _beside(axes: Axes, x: float, row: float, written: str) -> None:
    axes.annotate(
        written, (x, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
    )  # fmt: skip


# Measures


class Measure(NamedTuple):
    """What a step does with one measure taken: real tokens a second, and its peak memory."""

    tokens_per_second: Ranged
    memory_bytes: float | None


def measures_compared(measures: Mapping[str, Measure]) -> Figure:
    """Draw rate and peak memory with each measure, against the first row, the plain run."""
    figure, (row,) = panels(1, 2, height=1.5 + 0.36 * len(measures), sharey=True)
    rate, memory = row
    plain = next(iter(measures.values()))
    for number, one in enumerate(measures.values()):
        times = one.tokens_per_second.value / plain.tokens_per_second.value
        rate.barh(number, times, height=0.6, color=COLOURS[0])
        _beside(rate, times, number, f"{times:.2f}: {one.tokens_per_second.value:,.0f}/s")
        if one.memory_bytes and plain.memory_bytes:
            times = one.memory_bytes / plain.memory_bytes
            memory.barh(number, times, height=0.6, color=COLOURS[1])
            _beside(memory, times, number, f"{times:.2f}: {format_bytes(one.memory_bytes)}")
    for axes, label in ((rate, "tokens a second"), (memory, "peak memory")):
        axes.axvline(1, color="black", linewidth=1, ls="--")
        axes.set_xlabel(f"{label} (times the plain run's)")
        _rows(axes, list(measures))
        axes.margins(x=0.5)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=4)
    origins = ", ".join(_origins(one.tokens_per_second for one in measures.values()))
    return finish(figure, f"{origins}; tokens without padding")


# Sensitivity


def sensitivity(scores: Mapping[int, Mapping[float, Interval]]) -> Figure:
    """Draw macro-F1 by learning rate, a line a batch size, with 95 % intervals as bands.

    scores: for each batch size the score of each learning rate.
    """
    figure, axes = canvas(3.8)
    rates = sorted({rate for line in scores.values() for rate in line})
    styles = zip(scores.items(), cycle(COLOURS), cycle(("-", "--", ":", "-.")), strict=False)
    for (batch, line), colour, dashes in styles:
        at = sorted(line)
        values, lows, highs = (
            [getattr(line[rate], end) for rate in at] for end in ("value", "low", "high")
        )
        axes.fill_between(at, lows, highs, color=colour, alpha=_BAND, linewidth=0)
        axes.plot(at, values, color=colour, ls=dashes, label=f"batch of {batch} texts", marker="o")
        best = max(at, key=lambda rate: line[rate].value)
        axes.plot(best, line[best].value, color=colour, marker="*", markersize=14, ls="")
    axes.set_xscale("log")
    axes.set_xticks(rates, [_power(rate) for rate in rates])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="learning rate (log scale)", ylabel="macro-F1 on the validation set")
    legend_above(figure, 3)
    return finish(figure, "measured; bands: 95 % intervals; stars: the best of each batch size")


def _power(value: float) -> str:
    digits, exponent = f"{value:e}".split("e")
    return f"{float(digits):g}e{int(exponent)}"


# An interruption

Losses = Sequence[tuple[int, float]]
"""Steps and their training losses."""


def interruption(undisturbed: Losses, lives: Sequence[Losses]) -> Figure:
    """Draw the losses of an undisturbed run, and of one that was killed and continued.

    lives: the losses of the interrupted run from each start to its kill, the last to its end. What
    a life did after its last checkpoint is done again by the next.
    """
    figure, axes = canvas(3.6)
    steps, losses = zip(*undisturbed, strict=True)
    axes.plot(steps, losses, color="#bbbbbb", linewidth=6, label="never interrupted")
    for number, (life, colour) in enumerate(zip(lives, cycle(COLOURS), strict=False), start=1):
        at, lost = zip(*life, strict=True)
        label = f"start {number}: steps {at[0]} to {at[-1]}"
        axes.plot(at, lost, color=colour, label=label, linewidth=1.5, marker=".", markersize=5)
    for number, (ended, following) in enumerate(pairwise(lives)):
        _mark_kill(axes, *ended[-1], resumed=following[0][0], row=number % 2)
    off = largest_difference(undisturbed, lives)
    same = "to the bit" if off == 0 else f"to within {off:.1g}"
    axes.set(xlabel="step", ylabel="training loss (nats a text)")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    legend_above(figure, 3)
    return finish(figure, f"measured; all losses agree {same}")


def _mark_kill(axes: Axes, killed: int, loss: float, *, resumed: int, row: int) -> None:
    axes.axvline(killed, color="black", linewidth=1, ls="--")
    axes.plot(killed, loss, color="black", marker="X", markersize=11, ls="")
    late = killed > sum(axes.get_xlim()) / 2
    again = "nothing done again"
    if resumed <= killed:
        axes.axvspan(resumed - 1, killed, color=COLOURS[4], alpha=_BAND, linewidth=0)
        steps = f"steps {resumed} to {killed}" if resumed < killed else f"step {killed}"
        again = f"{steps} done again"
    axes.annotate(
        f"killed after step {killed};\n{again}", (killed, 0), xycoords=("data", "axes fraction"),
        xytext=(-6 if late else 6, 4 + 28 * row), textcoords="offset points", va="bottom",
        ha="right" if late else "left", fontsize=9,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1},
    )  # fmt: skip


def largest_difference(undisturbed: Losses, lives: Sequence[Losses]) -> float:
    """Return the largest difference of the losses of the same steps."""
    right = dict(undisturbed)
    return max(abs(loss - right[step]) for life in lives for step, loss in life)


# Machines


class Outlay(NamedTuple):
    """What a fine-tuning takes on a machine; dollars are None where it can't be rented so."""

    machine: str
    seconds: Ranged
    on_demand_usd: Ranged | None
    spot_usd: Ranged | None


def minutes_and_dollars(outlays: Sequence[Outlay]) -> Figure:
    """Draw what a fine-tuning takes and costs, a row a machine; what is estimated is hollow."""
    figure, (row,) = panels(1, 2, height=1.8 + 0.36 * len(outlays), sharey=True)
    time, dollars = row
    for number, one in enumerate(outlays):
        _dot(time, number, one.seconds, COLOURS[2], 60)
        for usd, colour, shift in (
            (one.on_demand_usd, COLOURS[0], -_APART), (one.spot_usd, COLOURS[1], _APART),
        ):  # fmt: skip
            if usd:
                _dot(dollars, number + shift, usd, colour)
    for axes, label in ((time, "time (minutes, log scale)"), (dollars, "price (USD, log scale)")):
        axes.set(xscale="log", xlabel=label)
        axes.margins(x=0.08)
        few_log_ticks(axes.get_xlim(), axes.xaxis)
        _rows(axes, [one.machine for one in outlays])
        for edge in range(1, len(outlays)):
            axes.axhline(edge - 0.5, color="#dddddd", linewidth=0.8)
    origins = _origins(it for one in outlays for it in one[1:])
    prices = [(COLOURS[0], "on demand"), (COLOURS[1], "spot")]
    entries = [Line2D([], [], color=colour, linewidth=3, label=name) for colour, name in prices]
    entries += [
        Line2D([], [], color=_GREY, ls="", label=origin.value, **MARKS[origin])
        for origin in origins
    ]
    legend_above(figure, len(entries), entries, [str(entry.get_label()) for entry in entries])
    return finish(figure, f"{', '.join(origins)}; lines: quartiles, or the {INTERVAL}")


_APART = 0.15
