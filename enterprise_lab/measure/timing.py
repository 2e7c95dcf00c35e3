"""How long a piece of work takes here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from enterprise_lab.errors import require_positive, require_whole


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

    def rate_of(self, amount: float, unit: str) -> Measurement:
        """Say how much of `amount` is done a second, where this is the seconds that all takes."""
        best = None if self.best is None else amount / self.best
        value, low, high = (amount / taken for taken in (self.value, self.high, self.low))
        return Measurement(value, unit, low, high, self.n, best)


def measure(
    work: Callable[[], object],
    *,
    budget_seconds: float = 1.0,
    at_least: int = 5,
    calls: int = 1,
    finish: Callable[[], object] | None = None,
) -> Measurement:
    """Measure the seconds of a call, each time until the budget is spent.

    `work` is called once to warm up and then at least `at_least` times. A sample is `calls` calls,
    so that what is shorter than the clock's own cost can be timed; its figure is that of one.
    `finish` is called before the clock is read: what waits for an accelerator to be done.
    """
    require_positive(budget_seconds=budget_seconds)
    require_whole("at_least", at_least, 1_000_000)
    require_whole("calls", calls, 1_000_000)
    _seconds(work, 1, finish)
    taken: list[float] = []
    end = time.perf_counter() + budget_seconds
    while len(taken) < at_least or time.perf_counter() < end:
        taken.append(_seconds(work, calls, finish) / calls)
    low, middle, high = np.quantile(taken, [0.25, 0.5, 0.75])
    return Measurement(float(middle), "s", float(low), float(high), len(taken), min(taken))


def _seconds(work: Callable[[], object], calls: int, finish: Callable[[], object] | None) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        work()
    if finish is not None:
        finish()
    return time.perf_counter() - start
