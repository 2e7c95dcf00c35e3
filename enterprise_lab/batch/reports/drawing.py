"""What all pictures of a report have in common: their style, their units, their form."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from enterprise_lab.measure.records import Origin
from enterprise_lab.palette import MARKERS
from enterprise_lab.units import DAY, HOUR

INK, SOFT, GRID, EDGE = "#1f2933", "#3e4c59", "#d8dee4", "#7b8794"
LOG_FROM_RATIO = 20
"""From this ratio of the largest to the smallest figure an axis is logarithmic."""

_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 11,
    "svg.hashsalt": "enterprise-lab",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": EDGE,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with the words for those who cannot see it.

    `device` is the one machine that all its figures are from, if there is just one.
    """

    title: str
    source: str
    text: str
    device: str = ""
    note: str = ""


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the reports' style."""
    with rc_context(_STYLE):
        yield


def data_uri(figure: Figure) -> str:
    """Return a figure as an SVG in a data URI."""
    svg = io.BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(svg.getvalue()).decode()


def axis_unit(values: Iterable[float], unit: str) -> tuple[float, str]:
    """Choose the unit in which the typical figure is a handy number: its size and name."""
    sizes = sorted(abs(v) for v in values if v)
    middle = sizes[len(sizes) // 2] if sizes else 1.0
    if unit == "s" and middle >= 90:
        return next(
            (float(s), n)
            for s, n in ((DAY, "days"), (HOUR, "hours"), (60, "minutes"))
            if middle >= 1.5 * s
        )
    if unit in ("USD", "1"):
        return 1.0, "" if unit == "1" else "USD"
    power = min(24, max(-9, 3 * math.floor(math.log10(middle) / 3)))
    prefix = {-9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P",
              18: "E", 21: "Z", 24: "Y"}[power]  # fmt: skip
    return 10.0**power, f"{prefix}{unit}"


def is_wide(values: Iterable[float]) -> bool:
    """Whether figures lie so far apart that only a logarithmic axis shows them."""
    held = list(values)
    return bool(held) and min(held) > 0 and max(held) / min(held) > LOG_FROM_RATIO


def axis_label(title: str, unit: str, *, log: bool) -> str:
    """Write a label with its unit in brackets."""
    inside = ", ".join(filter(None, [unit, "log scale" if log else ""]))
    return f"{title} [{inside}]" if inside else title


def plain_numbers(axis: Axis) -> None:
    """Write a logarithmic axis's numbers without powers, few enough to be read."""
    axis.set_major_formatter(lambda x, _: f"{x:,.12g}")
    low, high = sorted(axis.get_view_interval())
    few = low > 0 and math.log10(high / low) < 2
    axis.set_minor_formatter(lambda x, _: f"{x:,.12g}" if few and f"{x:e}"[0] in "25" else "")


def group_thousands(axis: Axis) -> None:
    """Write a linear axis's large numbers as 10,000."""
    if max(map(abs, axis.get_view_interval())) >= 10_000:
        axis.set_major_formatter("{x:,.0f}")


def origin_handle(origin: Origin) -> Line2D:
    """Show an origin's mark in a legend."""
    filled = SOFT if origin == Origin.MEASURED else "white"
    return Line2D(
        [], [], color=SOFT, linestyle="none", marker=MARKERS[origin], markerfacecolor=filled,
        markeredgewidth=1.8, label=str(origin),
    )  # fmt: skip
