"""Whether figures changed by more than noise: tests, their intervals, and many tests at once.

Everything is on a scale on which changes add up: the logarithm where figures are above zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.05
"""How often something may be called changed, over all that is looked at, where nothing has."""
_QUARTILES = 1.349
"""Distance of a normal distribution's quartiles, in standard deviations."""
_FEWEST_SAMPLES = 5
_FEWEST_OTHERS = 3
_FEWEST_PAIRS = 5
_LEAST = 1e-3
"""Scatter that is always assumed between two runs: a thousandth is no news, ever."""
_EQUAL = 1e-12


@dataclass(frozen=True)
class Spread:
    """A standard error, with the degrees of freedom that it is known by."""

    error: float
    freedom: float


@dataclass(frozen=True)
class Test:
    """A change, its 95 % interval, and how probable at least such a one is where nothing changed.

    What nothing is known of the scatter of has neither.
    """

    change: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def of_repeats(before: Sequence[float], after: Sequence[float]) -> Spread | None:
    """Return the error of the difference of two means (Welch 1947); None without repeats."""
    if min(len(before), len(after)) < 2:
        return None
    parts = [float(np.var(one, ddof=1)) / len(one) for one in (before, after)]
    total = sum(parts)
    if total == 0:
        return None
    freedom = total**2 / sum(
        part**2 / (len(one) - 1) for part, one in zip(parts, (before, after), strict=True)
    )
    return Spread(math.sqrt(total), freedom)


def of_quartiles(
    before: tuple[float, float, int], after: tuple[float, float, int]
) -> Spread | None:
    """Return the scatter of two runs by the quartiles, low and high, of their n samples.

    It isn't divided by the root of n: samples of one run say how the next sample will differ, and
    nothing of how the next run will. Runs are taken to scatter like samples.
    """
    samples = min(before[2], after[2])
    variance = sum(((high - low) / _QUARTILES) ** 2 for low, high, _ in (before, after))
    if samples < _FEWEST_SAMPLES or variance <= 0:
        return None
    return Spread(math.sqrt(variance), samples - 1)


def overall(changes: Sequence[float], spreads: Sequence[Spread | None]) -> Test:
    """Test whether the changes of many pairs have a mean other than none.

    Their own scatter is what judges them (Student's t); fewer than five pairs are judged by what
    each knows of its own, where all know something.
    """
    mean = float(np.mean(changes))
    if all(abs(one) < _EQUAL for one in changes):
        return Test(0.0, 0.0, 0.0, None)
    known = [one for one in spreads if one is not None]
    if len(changes) < _FEWEST_PAIRS and len(known) == len(changes):
        error = math.sqrt(sum(one.error**2 for one in known)) / len(known)
        return _test(mean, Spread(error, min(one.freedom for one in known)))
    if len(changes) < 2:
        return Test(mean)
    deviation = max(float(np.std(changes, ddof=1)), _LEAST)
    return _test(mean, Spread(deviation / math.sqrt(len(changes)), len(changes) - 1))


def each(changes: Sequence[float], spreads: Sequence[Spread | None]) -> list[Test]:
    """Test every pair's change: against its own spread or that of the others, the wider of them."""
    return [
        _one(change, spread, [*changes[:at], *changes[at + 1 :]])
        for at, (change, spread) in enumerate(zip(changes, spreads, strict=True))
    ]


def holm(ps: Sequence[float]) -> list[float]:
    """Adjust for many tests, so that any false alarm at all is as rare as said (Holm 1979)."""
    order = np.argsort(ps)
    adjusted = np.empty(len(ps))
    highest = 0.0
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[at]))
        adjusted[at] = highest
    return [float(one) for one in adjusted]


def benjamini_hochberg(ps: Sequence[float]) -> list[float]:
    """Adjust for many tests, so that the share of false alarms is as low as said (1995)."""
    order = np.argsort(ps)[::-1]
    adjusted = np.empty(len(ps))
    lowest = 1.0
    for rank, at in enumerate(order):
        lowest = min(lowest, ps[at] * len(ps) / (len(ps) - rank))
        adjusted[at] = lowest
    return [float(one) for one in adjusted]


def _one(change: float, own: Spread | None, others: Sequence[float]) -> Test:
    if abs(change) < _EQUAL:
        return Test(0.0, 0.0, 0.0, None)
    spreads = [own] if own else []
    if len(others) >= _FEWEST_OTHERS:
        deviation = max(float(np.std(others, ddof=1)), _LEAST)
        spreads.append(Spread(deviation, len(others) - 1))
    if not spreads:
        return Test(change)
    return _test(change, max(spreads, key=lambda s: s.error))


def _test(change: float, spread: Spread) -> Test:
    from scipy import special

    reach = float(special.stdtrit(spread.freedom, 1 - ALPHA / 2)) * spread.error
    p = 2 * float(special.stdtr(spread.freedom, -abs(change) / spread.error))
    return Test(change, change - reach, change + reach, p)
