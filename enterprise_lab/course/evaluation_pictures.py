"""Pictures of how good a model is and how sure that is: errors, calibration, curves, scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from enterprise_lab.course.drawing import MARKS, canvas, finish, legend_above, panels
from enterprise_lab.evaluation.bootstrap import Interval
from enterprise_lab.evaluation.calibration import Reliability
from enterprise_lab.evaluation.curves import Point
from enterprise_lab.evaluation.diagnosis import diagnose
from enterprise_lab.measure.records import Origin
from enterprise_lab.palette import COLOURS

_INTERVALS = "95 % intervals from the bootstrap"
_MEASURED = MARKS[Origin.MEASURED]
_TRAINING, _VALIDATION = COLOURS[0], COLOURS[1]
_WRITTEN = 0.1
"""Share of a class from which on its count is written into its cell of a confusion matrix."""
_ABREAST = 3


def confusion_picture(counts: npt.NDArray[np.int64], classes: Sequence[str]) -> Figure:
    """Draw a confusion matrix, shaped (classes, classes), each row as shares of its true class.

    Counts are written where they are a tenth of their row or more.
    """
    size = len(classes)
    figure, axes = canvas(2.5 + 0.19 * size)
    whole = counts.sum(axis=1, keepdims=True)
    shares = np.where(whole > 0, counts / np.maximum(whole, 1), np.nan)
    drawn = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for row, column in np.argwhere(shares >= _WRITTEN):
        axes.text(
            column, row, str(counts[row, column]), ha="center", va="center", fontsize=7,
            color="white" if shares[row, column] > 0.6 else "black",
        )  # fmt: skip
    axes.set_xticks(range(size), classes, rotation=90, fontsize=8)
    names = [f"{name} ({n})" for name, n in zip(classes, whole[:, 0], strict=True)]
    axes.set_yticks(range(size), names, fontsize=8)
    axes.set(xlabel="guessed class", ylabel="true class (texts of it)")
    axes.grid(visible=False)
    figure.colorbar(drawn, ax=axes, aspect=30, label="share of the true class (%)")
    return finish(figure, "measured; numbers: texts, from a tenth of their row on")


def reliability_picture(diagrams: Mapping[str, Reliability]) -> Figure:
    """Draw for each model the share guessed right by how sure it was, a panel each."""
    abreast = 2 if len(diagrams) > _ABREAST else len(diagrams)
    high = -(-len(diagrams) // abreast)
    figure, grid = panels(high, abreast, height=0.6 + 3.3 * high, sharey=True)
    used = list(grid.flat)[: len(diagrams)]
    for axes, (name, its) in zip(used, diagrams.items(), strict=True):
        _reliability(axes, name, its)
    for axes in list(grid.flat)[len(diagrams) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("guessed right (%)")
    legend_above(figure, 2, *grid[0, 0].get_legend_handles_labels())
    return finish(figure, "measured; a mark's area: the share of texts in its bin")


def _reliability(axes: Axes, name: str, its: Reliability) -> None:
    there = its.texts > 0
    sure, right = 100 * its.confidence[there], 100 * its.accuracy[there]
    axes.plot([0, 100], [0, 100], color="black", linewidth=1, label="as sure as right")
    axes.vlines(sure, sure, right, color=COLOURS[1], linewidth=2.5, label="gap")
    axes.plot(sure, right, color=COLOURS[0], linewidth=1)
    sizes = 20 + 400 * its.texts[there] / its.texts.sum()
    axes.scatter(sure, right, sizes, color=COLOURS[0], zorder=3, marker=_MEASURED["marker"])
    error = 100 * its.expected_calibration_error
    axes.set_title(f"{name}\ncalibration error {error:.1f} %", fontsize=10)
    axes.set(xlabel="mean confidence (%)", xlim=(0, 103), ylim=(0, 103), aspect="equal")


def loss_curves(runs: Mapping[str, Sequence[Point]]) -> Figure:
    """Draw the losses of each training, a panel each with the diagnosis as its title."""
    high = -(-len(runs) // _ABREAST)
    figure, grid = panels(high, min(len(runs), _ABREAST), height=0.9 + 2.7 * high, sharey=True)
    used = list(grid.flat)[: len(runs)]
    for axes, (name, curve) in zip(used, runs.items(), strict=True):
        _losses(axes, name, curve)
    for axes in list(grid.flat)[len(runs) :]:
        axes.remove()
    for axes in grid[:, 0]:
        axes.set_ylabel("loss (nats a text)")
    grid[0, 0].set_ylim(bottom=0)
    entries = (axes.get_legend_handles_labels() for axes in used)
    legend_above(figure, 3, *max(entries, key=lambda its: len(its[0])))
    return finish(figure, "measured; the diagnosis is made from these points")


def _losses(axes: Axes, name: str, curve: Sequence[Point]) -> None:
    epochs = [point.epoch for point in curve]
    for label, losses, colour, dash in (
        ("training", [point.training_loss for point in curve], _TRAINING, "--"),
        ("validation", [point.validation_loss for point in curve], _VALIDATION, "-"),
    ):
        axes.plot(epochs, losses, color=colour, ls=dash, label=label, markersize=4, **_MEASURED)
    found = diagnose(curve)
    if found.best:
        axes.plot(
            found.best.epoch, found.best.validation_loss, ls="", marker="o", markersize=11,
            markerfacecolor="none", color=_VALIDATION, label="least validation loss",
        )  # fmt: skip
    axes.set_title(f"{name}\n{found.verdict}", fontsize=10)
    axes.set(xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def scores_picture(
    scores: Mapping[str, Interval],
    differences: Mapping[str, Interval],
    *,
    against: str,
    metric: str = "macro-F1",
) -> Figure:
    """Draw a metric by method with its interval, and the paired differences from one of them.

    `differences` are those of the methods from the one named `against`, by `paired_difference`.
    """
    figure, ((left, right),) = panels(
        1, 2, 1.3 + 0.45 * len(scores), sharey=True, width_ratios=(3, 2)
    )
    rows = {name: row for row, name in enumerate(scores)}
    for axes, figures in ((left, scores), (right, differences)):
        for name, its in figures.items():
            colour = COLOURS[0] if axes is left or _clear(its) else "#777777"
            _bar(axes, rows[name], its, colour, "+.2f" if axes is right else ".2f")
    left.set_yticks(range(len(rows)), list(rows))
    left.set(xlabel=metric, ylim=(len(rows) - 0.4, -0.6))
    right.axvline(0, color="black", linewidth=1)
    right.set(xlabel=f"difference from\n{against}")
    for axes in (left, right):
        axes.grid(visible=False, axis="y")
    return finish(figure, f"measured; bars: {_INTERVALS}; grey: no clear difference")


def _bar(axes: Axes, row: int, its: Interval, colour: str, form: str) -> None:
    axes.plot([its.low, its.high], [row, row], color=colour, linewidth=2.5)
    axes.plot(its.value, row, color=colour, markersize=8, **_MEASURED)
    axes.text(its.value, row - 0.2, format(its.value, form), ha="center", va="bottom", fontsize=8)


def _clear(its: Interval) -> bool:
    return its.low > 0 or its.high < 0


def scores_by_labels(
    lines: Mapping[str, Mapping[int, Interval]], *, metric: str = "macro-F1"
) -> Figure:
    """Draw a metric by the number of labelled texts that were learnt from, a line a method."""
    figure, axes = canvas(4.0)
    numbers = sorted({number for line in lines.values() for number in line})
    for (name, line), colour in zip(lines.items(), COLOURS, strict=False):
        its = dict(sorted(line.items()))
        low, high = ([getattr(one, end) for one in its.values()] for end in ("low", "high"))
        axes.fill_between(list(its), low, high, color=colour, alpha=0.15, linewidth=0)
        values = [one.value for one in its.values()]
        axes.plot(list(its), values, color=colour, label=name, **_MEASURED)
    axes.set(xscale="log", xlabel="labelled texts to learn from", ylabel=metric)
    axes.set_xticks(numbers, [f"{number:,}" for number in numbers])
    axes.set_xticks([], minor=True)
    legend_above(figure, 3)
    return finish(figure, f"measured; bands: {_INTERVALS}")
