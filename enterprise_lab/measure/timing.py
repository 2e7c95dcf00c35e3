"""How long a piece of work takes here, and whether that can be told."""

from __future__ import annotations

import math
import statistics
import time
from bisect import insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from enterprise_lab.errors import InvalidValueError, require_positive, require_whole
from enterprise_lab.measure.other_processes import OtherProcesses
from enterprise_lab.units import format_figure, format_range

_UNSURE = 0.03
"""Two measurements of the same work shall agree within this share of it: so the median must be
known to within it, and the halves of a measurement must agree to within it."""
OTHERS_MAY_USE = 0.10
"""Share of the processors that others may use: an idle desktop uses less, one process that
computes all of a tenth of ten."""
_FEWEST = 3
"""Samples that can show disagreement."""
_LEAST_SHARE = 0.2
"""Of the budget, for samples: what disturbs often lasts longer than a few of them."""
_WARM_UP_SHARE = 1 / 3
_STEADY, _RECENT = 0.02, 5
"""Warm-up is over when the medians of the last samples and of as many before are so near."""
_CLOCK_CALLS = 1000
"""A sample lasts as long as so many readings of the clock, so that their cost doesn't matter."""
_MOST_SAMPLES, _FEW_SAMPLES = 1000, 100
"""That fit into the budget, of calls that are shorter than that."""
_MOST_CALLS = 2**24


@dataclass(frozen=True)
class Measurement:
    """A measured figure: the median of `n` samples, the quartiles around it, and the best."""

    value: float
    unit: str
    low: float
    high: float
    n: int
    best: float | None = None
    """The quickest sample, or the highest rate: what nothing disturbed."""
    first: float | None = None
    """Seconds of the very first call, with compiling and allocating: in no other figure."""
    outliers: int = 0
    """Samples beyond 1.5 interquartile ranges of the quartiles (Tukey): counted in all figures."""
    doubt: str = ""
    """Why the figure can't be relied on; empty where it can."""

    def __str__(self) -> str:
        """Write the figure with its quartiles, or in doubt only these and the reason."""
        around = format_range(self.value, self.low, self.high, self.unit)
        if self.doubt:
            return f"{around}, not reliable: {self.doubt}"
        figure = format_figure(self.value, self.unit)
        return figure if self.low == self.high else f"{figure} ({around})"

    def rate_of(self, amount: float, unit: str) -> Measurement:
        """Say how much of `amount` is done a second, where this is the seconds that all takes."""
        best = None if self.best is None else amount / self.best
        value, low, high = (amount / taken for taken in (self.value, self.high, self.low))
        return replace(self, value=value, unit=unit, low=low, high=high, best=best)


def measure(
    work: Callable[[], object],
    *,
    budget_seconds: float = 1.0,
    at_least: int = 5,
    within: float = 0.01,
    finish: Callable[[], object] | None = None,
) -> Measurement:
    """Measure the seconds of a call, until its median is known to `within` or the budget is spent.

    The first call is timed apart. `work` is then called until its time is steady, for a third of
    `budget_seconds` at most, and sampled at least `at_least` times, which takes longer than the
    budget where a call does. A sample is as many calls as it takes to make the clock's own cost
    negligible; its figure is that of one. Sampling ends early, but not before a fifth of the
    budget, when the 95 % confidence interval of the median lies within the share `within` of it.

    `finish` is called before the clock is read: what waits for an accelerator to be done. Calls of
    one sample may overlap there, as those of a real program do.

    The figure is in doubt where the interval stays wider than 3 % of the median, where the halves
    of the samples differ by more, where there are fewer than three, and where others used more
    than a tenth of the processors meanwhile. The last is not asked with `finish`: work elsewhere
    doesn't wait for the processors as long as they keep it supplied, and if they don't, the samples
    show it. Up to ten samples are judged by the whole range of them.
    """
    if not callable(work):
        raise InvalidValueError(
            f"work must be a function to call, not {work!r}.",
            "Give the function itself, without calling it: measure(lambda: sum(numbers)).",
        )
    require_positive(budget_seconds=budget_seconds, within=within)
    require_whole("at_least", at_least, 1_000_000)
    first = _seconds(work, 1, finish)
    others = OtherProcesses()
    start = time.perf_counter()
    calls = _warm_up(work, finish, budget_seconds)
    early = time.perf_counter() + _LEAST_SHARE * budget_seconds
    taken: list[float] = []
    ordered: list[float] = []
    while True:
        taken.append(_seconds(work, calls, finish) / calls)
        insort(ordered, taken[-1])
        now = time.perf_counter()
        known = now >= early and _unsure(ordered) <= within and abs(_drift(taken)) <= _UNSURE
        if len(taken) >= at_least and (known or now >= start + budget_seconds):
            break
    return _figure(taken, first, 0.0 if finish else others.share(now - start))


def interval_of_median(ordered: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median, of samples from low to high.

    It asks nothing of their distribution: as many lie below the median as heads in n throws of a
    coin (Le Boudec 2010, Performance Evaluation, Theorem 2.1 and its approximation). Of up to ten
    the whole range is returned, which holds it with a probability of 1 - 2^(1 - n): 94 % of five.
    """
    n = len(ordered)
    reach = 0.98 * math.sqrt(n)
    below, above = math.floor(n / 2 - reach), math.ceil(n / 2 + 1 + reach)
    return ordered[max(below, 1) - 1], ordered[min(above, n) - 1]


def _warm_up(work: Callable[[], object], finish: Callable[[], object] | None, budget: float) -> int:
    """Call the work until its time is steady; return how many calls make a sample."""
    cost = min(_seconds(_nothing, 1, finish) for _ in range(_RECENT))
    enough = min(max(_CLOCK_CALLS * cost, budget / _MOST_SAMPLES), budget / _FEW_SAMPLES)
    end = time.perf_counter() + _WARM_UP_SHARE * budget
    calls, taken = 1, list[float]()
    while time.perf_counter() < end and not _steady(taken):
        taken.append(_seconds(work, calls, finish))
        if statistics.median(taken) < enough and calls < _MOST_CALLS:
            calls, taken = 2 * calls, []
    return calls


def _steady(taken: Sequence[float]) -> bool:
    if len(taken) < 2 * _RECENT:
        return False
    recent, before = taken[-_RECENT:], taken[-2 * _RECENT : -_RECENT]
    return abs(_growth(before, recent)) <= _STEADY


def _figure(taken: Sequence[float], first: float, others: float) -> Measurement:
    """Sum up samples, given the share of the processors that others used."""
    low, middle, high = (float(x) for x in np.quantile(taken, [0.25, 0.5, 0.75]))
    fence = 1.5 * (high - low)
    return Measurement(
        value=middle,
        unit="s",
        low=low,
        high=high,
        n=len(taken),
        best=min(taken),
        first=first,
        outliers=sum(not low - fence <= one <= high + fence for one in taken),
        doubt=_doubt(taken, others),
    )


def _doubt(taken: Sequence[float], others: float) -> str:
    if len(taken) < _FEWEST:
        return f"fewer than {_FEWEST} samples can't show how noisy the machine is"
    unsure, drift = _unsure(sorted(taken)), _drift(taken)
    noise = []
    if unsure > _UNSURE:
        noise.append(f"the median is known to {100 * unsure:.0f} % only")
    if abs(drift) > _UNSURE:
        compared = "longer" if drift > 0 else "less"
        noise.append(f"the later half of the samples took {100 * abs(drift):.0f} % {compared}")
    if others > OTHERS_MAY_USE:
        noise.append(f"other processes used {100 * others:.0f} % of the processors")
    return f"the machine is too noisy ({', '.join(noise)})" if noise else ""


def _unsure(ordered: Sequence[float]) -> float:
    """Return how far the median may be from what it is said to be, as a share of it."""
    low, high = interval_of_median(ordered)
    middle = statistics.median(ordered)
    return max(high - middle, middle - low) / middle if middle else 0.0


def _drift(taken: Sequence[float]) -> float:
    """Return by which share the later half of samples is longer than the earlier one."""
    half = len(taken) // 2
    return _growth(taken[:half], taken[-half:]) if half else 0.0


def _growth(before: Sequence[float], after: Sequence[float]) -> float:
    was = statistics.median(before)
    return statistics.median(after) / was - 1 if was else 0.0


def _seconds(work: Callable[[], object], calls: int, finish: Callable[[], object] | None) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        work()
    if finish is not None:
        finish()
    return time.perf_counter() - start


def _nothing() -> None:
    pass
