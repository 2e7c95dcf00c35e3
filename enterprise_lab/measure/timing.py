"""How long a piece of work takes here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from enterprise_lab.errors import require_positive, require_whole


@dataclass(frozen=True)
class Measurement:
    """A measured figure: the median of `n` samples with the quartiles around it."""

    value: float
    unit: str
    low: float
    high: float
    n: int


def measure(
    work: Callable[[], object], *, budget_seconds: float = 1.0, at_least: int = 5
) -> Measurement:
    """Measure the seconds of a call, each time until the budget is spent.

    `work` is called once to warm up and then at least `at_least` times.
    For work on the processor: nothing waits for an accelerator to finish.
    """
    require_positive(budget_seconds=budget_seconds)
    require_whole("at_least", at_least, 1_000_000)
    work()
    taken: list[float] = []
    end = time.perf_counter() + budget_seconds
    while len(taken) < at_least or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    low, middle, high = np.quantile(taken, [0.25, 0.5, 0.75])
    return Measurement(float(middle), "s", float(low), float(high), len(taken))
