"""SI units, and how figures are written for people."""

from __future__ import annotations

import math

GB = 10**9
"""Bytes in a gigabyte, the unit of datasheets and prices."""
GIB = 2**30
"""Bytes in a gibibyte, the unit operating systems and cloud consoles count memory in."""
TERA = 10**12
PETAFLOP_DAY = 10**15 * 86_400
"""FLOPs of one PF-day (Brown et al. 2020, Appendix D)."""
HOUR = 3_600
DAY = 86_400

_SI = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"),
       (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))  # fmt: skip


_LONG_TIMES = ((365.25 * DAY, "years"), (DAY, "days"), (HOUR, "hours"), (60, "minutes"))


def format_si(value: float, unit: str = "", digits: int = 3) -> str:
    """Write a figure with an SI prefix: `format_si(1.5e12, "FLOP/s")` is `1.5 TFLOP/s`."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}".rstrip()
    rounded = float(f"{value:.{digits}g}")
    scale, prefix = next(
        ((s, p) for s, p in _SI if abs(rounded) >= s),
        _SI[-1],
    )
    return f"{rounded / scale:.{digits}g} {prefix}{unit}".rstrip()


def format_bytes(value: float, digits: int = 3) -> str:
    """Write bytes in decimal units: `format_bytes(16e9)` is `16 GB`."""
    return format_si(value, "B", digits)


def format_seconds(value: float, digits: int = 3) -> str:
    """Write a duration in the unit a person would use, from nanoseconds to years."""
    for size, unit in _LONG_TIMES:
        if abs(value) >= 1.5 * size:
            return f"{_plain(value / size, digits)} {unit}"
    return format_si(value, "s", digits)


def format_usd(value: float) -> str:
    """Write dollars: cents below 100, whole dollars with separators above."""
    return f"${value:,.2f}" if abs(value) < 100 else f"${value:,.0f}"


def format_figure(value: float, unit: str) -> str:
    """Write any recorded figure by its unit: B, s, USD, 1 (a plain number) or an SI unit."""
    match unit:
        case "B":
            return format_bytes(value)
        case "s":
            return format_seconds(value)
        case "USD":
            return format_usd(value)
        case "1":
            return format_si(value) if abs(value) >= 1000 else _plain(value, 3)
        case _:
            return format_si(value, unit)


def format_range(value: float, low: float | None, high: float | None, unit: str) -> str:
    """Write a range in the unit its value is written in, such as `25 to 51.1 hours`."""
    if low is None or high is None:
        return ""
    if unit == "s":
        for size, name in _LONG_TIMES:
            if abs(value) >= 1.5 * size:
                return f"{_plain(low / size, 3)} to {_plain(high / size, 3)} {name}"
    return f"{format_figure(low, unit)} to {format_figure(high, unit)}"


def _plain(value: float, digits: int) -> str:
    rounded = float(f"{value:.{digits}g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:.{digits}g}"
