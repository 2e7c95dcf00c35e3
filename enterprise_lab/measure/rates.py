"""The rates this machine reaches: matrix products, copies, the smallest operation.

A rate is the median of repeated calls after a warm-up, between the lower quartile and the best:
what the machine does when no other process disturbs it. All cores are used that the library uses
by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from enterprise_lab.measure.libraries import Library
from enterprise_lab.measure.records import Record, measured
from enterprise_lab.measure.timing import Measurement, measure
from enterprise_lab.units import format_bytes

LAB = "calibration"
MATMUL = "matmul_flops_per_second"
COPY = "copy_bytes_per_second"
SMALL_OPERATION = "small_operation_seconds"

_EDGES = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_TELLING = 512
"""Edge that a product must reach for its rate to say what the machine can do."""
_BUSY = 1.6
"""How far the best product may exceed the usual one of the largest where a machine is quiet."""
_LONGEST_SMALL_SECONDS = 2e-3
"""For the smallest fp32 product: a fifteen-year-old core needs less, a turn of another process
more."""
_COPIED_BYTES = tuple(2**power for power in range(16, 29, 2))
"""From inside a core's cache, through the processor's, to beyond both."""
_SAMPLES = 5
_WARM_UPS = 2
"""Calls that are not samples, of what takes long."""


@dataclass(frozen=True)
class Task:
    """A part of the measuring: its share of the time, and the work, given its seconds."""

    name: str
    share: float
    work: Callable[[float], list[Record]]


def tasks(libraries: Sequence[Library]) -> list[Task]:
    """List what is to be measured with these libraries, in their order."""
    found = []
    for one in libraries:
        for precision in one.precisions:
            work = partial(_products, one, precision)
            found.append(Task(f"{precision} matrix products, {one.label}", 3.0, work))
        found.append(Task(f"copies, {one.label}", 1.0, partial(_copies, one)))
        found.append(Task(f"small operations, {one.label}", 0.5, partial(_small, one)))
    return found


def run(todo: Sequence[Task], budget_seconds: float) -> Iterator[list[Record]]:
    """Do the tasks in about `budget_seconds`, yielding the records of each as it is done."""
    whole = sum(task.share for task in todo)
    for task in todo:
        yield task.work(budget_seconds * task.share / whole)


def disturbed(found: Sequence[Record]) -> bool:
    """Return whether other processes kept the processor busy meanwhile: rates that vary say so.

    Small products find moments to themselves, large ones wait for all cores again and again. Where
    even the smallest takes as long as a turn of another process, all of them waited.
    """
    products: dict[tuple[str, str], list[Record]] = {}
    for one in found:
        if one.metric == MATMUL and one.parameters["processor"] == "cpu":
            asked = str(one.parameters["library"]), str(one.parameters["precision"])
            products.setdefault(asked, []).append(one)
    usual = (
        one.value for (_, precision), some in products.items() for one in some
        if precision == "fp32" and one.parameters["rows"] == _EDGES[0]
    )  # fmt: skip
    slowest = 2 * _EDGES[0] ** 3 / _LONGEST_SMALL_SECONDS
    return any(rate < slowest for rate in usual) or any(
        max(best_of(one) for one in some)
        > _BUSY * max(some, key=lambda one: int(one.parameters["rows"])).value
        for some in products.values()
    )


def best_of(rate: Record) -> float:
    """Return the best that was reached: what other processes did least to slow."""
    return rate.value if rate.high is None else rate.high


def best_matmuls(found: Sequence[Record]) -> dict[str, float]:
    """Return the best FLOP/s of products in each precision, by any library and at any size."""
    best: dict[str, float] = {}
    for one in found:
        if one.metric == MATMUL:
            precision = str(one.parameters["precision"])
            best[precision] = max(best.get(precision, 0.0), best_of(one))
    return best


def best_copy(found: Sequence[Record]) -> float:
    """Return the best bytes/s, by any library, of the largest copies: smaller fit into caches."""
    copies = [one for one in found if one.metric == COPY]
    largest = max(int(one.parameters["size_bytes"]) for one in copies)
    return max(best_of(one) for one in copies if one.parameters["size_bytes"] == largest)


def _products(library: Library, precision: str, seconds: float) -> list[Record]:
    """Measure products of square matrices, larger and larger while the seconds last.

    A busy machine can make small ones look thousands of times slower than they are.
    """
    found = []
    end = time.perf_counter() + seconds
    for edge in _EDGES:
        taken = measure(
            library.product(edge, precision),
            budget_seconds=seconds / (2 * len(_EDGES)),
            at_least=_SAMPLES,
            finish=library.finish,
        )
        rate = _to_best(taken.rate_of(2 * edge**3, "FLOP/s"))
        size = {"rows": edge, "inner": edge, "columns": edge}
        found.append(_record(library, MATMUL, rate, precision=precision, **size))
        if (
            edge >= _TELLING
            and time.perf_counter() + 2**3 * taken.low * (_SAMPLES + _WARM_UPS) > end
        ):
            break
    return found


def _copies(library: Library, seconds: float) -> list[Record]:
    """Measure copies between memory already held; a byte copied is one read and one written."""
    found = []
    for size_bytes in _COPIED_BYTES:
        taken = measure(
            library.copy(size_bytes),
            budget_seconds=seconds / len(_COPIED_BYTES),
            at_least=_SAMPLES,
            finish=library.finish,
        )
        rate = _to_best(taken.rate_of(2 * size_bytes, "B/s"))
        found.append(_record(library, COPY, rate, size_bytes=size_bytes))
    return found


def _small(library: Library, seconds: float) -> list[Record]:
    """Measure what it costs to add 1 to a single number: the price of asking for anything."""
    taken = measure(library.small(), budget_seconds=seconds, finish=library.finish)
    return [_record(library, SMALL_OPERATION, taken)]


def _to_best(rate: Measurement) -> Measurement:
    return rate if rate.best is None else replace(rate, high=rate.best)


def _record(library: Library, metric: str, taken: Measurement, **parameters: str | int) -> Record:
    return measured(
        LAB,
        metric,
        taken,
        device=library.device,
        source="elab calibrate",
        parameters={"library": library.name, "processor": library.processor, **parameters},
        versions=library.versions,
    )


def describe(one: Record) -> str:
    """Write what a rate is of, for people."""
    if one.metric == MATMUL:
        return f"{one.parameters['precision']} matmul, {one.parameters['rows']:,}"
    if one.metric == COPY:
        return f"copy of {format_bytes(float(one.parameters['size_bytes']))}"
    return "smallest operation"
