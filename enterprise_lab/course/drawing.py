"""How all pictures of the labs look, and how they say where their figures come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from enterprise_lab.estimate import Estimate
from enterprise_lab.measure.records import Origin
from enterprise_lab.palette import MARKERS

INTERVAL = "80 % interval"
WIDTH = 7.5
"""Inches, that of a notebook's text."""
MARKS: dict[Origin, dict[str, Any]] = {
    origin: {"marker": marker} for origin, marker in MARKERS.items()
}
MARKS[Origin.ESTIMATED]["markerfacecolor"] = "white"
_STYLE: Any = {
    "figure.dpi": 100,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
}


def canvas(height: float = 3.6) -> tuple[Figure, Axes]:
    """Open a figure with one pair of axes, `height` inches high."""
    with plt.rc_context(_STYLE):
        return plt.subplots(figsize=(WIDTH, height), layout="constrained")


def panels(
    rows: int, columns: int, height: float, width: float = WIDTH, **options: Any
) -> tuple[Figure, npt.NDArray[Any]]:
    """Open a figure with rows and columns of axes."""
    with plt.rc_context(_STYLE):
        return plt.subplots(
            rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **options
        )


def legend_above(figure: Figure, columns: int, *entries: Any) -> None:
    """Explain colours and marks above all axes."""
    figure.legend(*entries, loc="outside upper center", ncols=columns, frameon=False)


def finish(figure: Figure, origin: str) -> Figure:
    """Write under a figure where its values come from, and close it."""
    figure.supxlabel(f"origin: {origin}", fontsize=8, color="#555555", ha="right", x=0.99)
    plt.close(figure)
    return figure


def plain_log_ticks(*axes: Axis) -> None:
    """Label a logarithmic axis 1, 2, 5, 10 instead of in powers."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
        axis.set_minor_formatter("")


def few_log_ticks(ends: Sequence[float], *axes: Axis) -> None:
    """Label small logarithmic axes in at most four places between their ends."""
    low, high = ends
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for subs in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        ticks = [
            s * 10.0**power for power in powers for s in subs if low <= s * 10.0**power <= high
        ]
        if len(ticks) > 1:
            break
    shown = ticks[:: -(-len(ticks) // 4)]
    for axis in axes:
        axis.set_ticks(shown, [f"{tick:g}" for tick in shown])
        axis.set_minor_locator(NullLocator())


def whiskers(it: Estimate, scale: float = 1.0) -> npt.NDArray[np.float64]:
    """Return how far an estimate's interval reaches below and above it, over `scale`."""
    low, high = (it.value if end is None else end for end in (it.low, it.high))
    return np.array([[it.value - low], [high - it.value]]) / scale
