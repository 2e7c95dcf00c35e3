"""Whether the kit's clock can be trusted on this machine: it repeats itself, and others agree.

OMP_WAIT_POLICY=passive chrt -f 20 python benchmarks/measuring.py

Prints three tables: the same work measured twice; the kit's medians beside those of PyTorch's
benchmark timer, taken in turns since a shared host slows and recovers; and the best rate of matrix
products of `elab calibrate` beside that of a plain loop that keeps the best of its calls. Where the
machine was too noisy for a figure, the row says so. Real-time priority keeps other processes of
this machine away, if idle threads then sleep rather than spin, which would keep each other away
too; an idle machine needs neither.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch.utils.benchmark import Timer

from enterprise_lab.measure import libraries, rates
from enterprise_lab.measure.timing import Measurement, measure
from enterprise_lab.units import format_bytes, format_seconds, format_si

APART, REACHED = 0.03, 0.95
"""What is asked: how far two figures may be apart, and what share of the best is reached."""
EDGES = {"cpu": 512, "cuda": 4096}
COPIED_BYTES = 2**26
SECONDS, TURNS, TURN_SECONDS = 1.0, 9, 0.3
RATE_SECONDS, LOOP_SECONDS = 6.0, 2.0
RATE = partial(format_si, unit="FLOP/s")

Work = Callable[[], object]


@dataclass(frozen=True)
class Case:
    """What is measured, and what waits until it is done, if it isn't when it returns."""

    name: str
    work: Work
    finish: Work | None = None

    def measured(self, seconds: float) -> Measurement:
        """Measure it with the kit's clock."""
        return measure(self.work, budget_seconds=seconds, finish=self.finish)


def cases(here: Sequence[libraries.Library]) -> Iterator[Case]:
    """List what is measured: with each library, and a training step."""
    for library in here:
        name, finish = f"{library.name}, {library.processor}", library.finish
        for precision in library.precisions:
            edge = EDGES[library.processor]
            title = f"{name}: {precision} product, {edge:,}"
            yield Case(title, library.product(edge, precision), finish)
        yield Case(f"{name}: copy of {format_bytes(COPIED_BYTES)}",
                   library.copy(COPIED_BYTES), finish)  # fmt: skip
        yield Case(f"{name}: smallest operation", library.small(), finish)
    yield Case("PyTorch, cpu: training step", training_step())


def training_step() -> Work:
    """Make a training step of a small network: forward, backward, SGD."""
    model = torch.nn.Sequential(
        torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10)
    )
    inputs, labels = torch.randn(64, 256), torch.randint(10, (64,))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def work() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return work


def repeatability(todo: Sequence[Case]) -> None:
    """Measure each work twice."""
    say(f"The same twice: medians at most {100 * APART:.0f} % apart asked for.")
    for case in todo:
        first, second = (case.measured(SECONDS) for _ in range(2))
        apart = abs(second.value / first.value - 1)
        row(case.name, first.value, second.value, f"{100 * apart:.1f} %", doubt_of([first, second]))


def agreement(todo: Sequence[Case]) -> None:
    """Measure each work in turns with PyTorch's timer; compare the medians of the turns."""
    say(f"\nThe kit's clock and PyTorch's: medians at most {100 * APART:.0f} % apart asked for.")
    for case in todo:
        timer = Timer("work()", globals={"work": case.work}, num_threads=torch.get_num_threads())
        ours, theirs = [], []
        for _ in range(TURNS):
            ours.append(case.measured(TURN_SECONDS))
            theirs.append(timer.blocked_autorange(min_run_time=TURN_SECONDS).median)
        turns = [mine.value / other for mine, other in zip(ours, theirs, strict=True)]
        apart = abs(statistics.median(turns) - 1)
        middle = statistics.median(one.value for one in ours)
        row(case.name, middle, statistics.median(theirs), f"{100 * apart:.1f} %", doubt_of(ours))


def best_rates(here: Sequence[libraries.Library]) -> None:
    """Measure products as `elab calibrate` does, and again by a loop that keeps the best."""
    say(f"\nThe best rate of products and of a plain loop: {100 * REACHED:.0f} % asked for.")
    for library in here:
        found = [one for part in rates.run(rates.tasks([library]), RATE_SECONDS) for one in part]
        noisy = "too noisy" if rates.disturbed(found) else ""
        for precision in library.precisions:
            products = [one for one in found if one.parameters.get("precision") == precision]
            best = max(products, key=rates.best_of)
            edge = int(best.parameters["rows"])
            work = library.product(edge, precision)
            looped = 2 * edge**3 / best_of_a_loop(work, library.finish)
            name = f"{library.name}, {library.processor}: {precision}, {edge:,}"
            reached = f"{100 * rates.best_of(best) / looped:.1f} %"
            row(name, rates.best_of(best), looped, reached, noisy, RATE)


def best_of_a_loop(work: Work, finish: Work | None) -> float:
    """Return the seconds of the quickest call."""
    best, end = float("inf"), time.perf_counter() + LOOP_SECONDS
    while (start := time.perf_counter()) < end:
        work()
        if finish:
            finish()
        best = min(best, time.perf_counter() - start)
    return best


def doubt_of(found: Sequence[Measurement]) -> str:
    """Write in how many of the measurements the machine was too noisy, with the first reason."""
    doubts = [one.doubt for one in found if one.doubt]
    return f"{len(doubts)} of {len(found)}: {doubts[0]}" if doubts else ""


def row(
    name: str,
    one: float,
    other: float,
    compared: str,
    note: str,
    written: Callable[[float], str] = format_seconds,
) -> None:
    """Print a row of a table."""
    say(f"  {name:34}{written(one):>14}{written(other):>14}{compared:>8}  {note}")


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line.rstrip() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the three tables."""
    here = libraries.libraries()
    todo = list(cases(here))
    repeatability(todo)
    agreement(todo)
    best_rates(here)


main()
