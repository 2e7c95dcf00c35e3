"""Two batches of the same work beside each other: what got worse, and whether beyond noise.

Runs are paired by notebook and parameters; those that differ only in a seed are repeats. A pair's
change is B over A, or B less A where figures aren't all above zero. Each metric is judged over all
pairs, and each pair by itself; where there is nothing to judge by, that is what is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.reports import noise
from enterprise_lab.batch.reports.comparison import (
    HARDWARE,
    description,
    independent_parameters,
    is_seed,
    words,
)
from enterprise_lab.batch.reports.provenance import provenance
from enterprise_lab.batch.reports.results import OWN_METRICS, RUN_MEMORY, Result
from enterprise_lab.measure.records import Origin, Record

_LOW_UNITS = {"s", "B", "J", "Wh", "kWh"}
_LOW_WORDS = {
    "loss", "error", "errors", "perplexity", "latency", "rmse", "mse", "mae", "wer", "cer",
    "brier", "regret", "failures",
}  # fmt: skip
_HIGH_WORDS = {
    "accuracy", "f1", "auc", "recall", "precision", "throughput", "mfu", "hfu", "efficiency",
    "bleu", "rouge", "ndcg", "r2", "score", "speedup", "goodput", "hits", "match",
}  # fmt: skip
_Key: TypeAlias = tuple[str, ...]


class Verdict(StrEnum):
    """What can be said of a change."""

    WORSE = "worse"
    BETTER = "better"
    DIFFERS = "differs"
    """By more than noise, in a metric of which nobody said whether more of it is good."""
    NO_MORE_THAN_NOISE = "no more than noise"
    CANT_TELL = "can't tell"
    """There is nothing to know the noise by."""


@dataclass(frozen=True)
class Change:
    """How a figure of one pair, or of all, went from A to B, with its 95 % interval.

    It is a ratio, or a difference; `a` and `b` are None for all pairs together.
    """

    name: str
    change: float
    low: float | None
    high: float | None
    verdict: Verdict
    a: float | None = None
    b: float | None = None


@dataclass(frozen=True)
class MetricChange:
    """A metric's change over all pairs, and in each, the largest first."""

    metric: str
    unit: str
    is_ratio: bool
    overall: Change
    pairs: tuple[Change, ...]


@dataclass(frozen=True)
class Fate:
    """A run that ended otherwise in B than in A."""

    name: str
    a: State
    b: State
    error: str


@dataclass(frozen=True)
class Difference:
    """What the batches were made with, where it isn't the same: values with their runs."""

    name: str
    a: Mapping[str, int]
    b: Mapping[str, int]


@dataclass(frozen=True)
class Comparison:
    """All that two batches differ in."""

    pairs: int
    metrics: tuple[MetricChange, ...]
    fates: tuple[Fate, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    differences: tuple[Difference, ...]

    @property
    def worse(self) -> list[str]:
        """The metrics that got worse over all pairs."""
        return [m.metric for m in self.metrics if m.overall.verdict == Verdict.WORSE]

    @property
    def is_worse(self) -> bool:
        """Whether anything got worse: a metric over all pairs, one pair, or a run's success.

        Peak memory only over all pairs: it is sampled, and one run's peak may be missed.
        """
        pairs = [pair for m in self.metrics if m.metric != RUN_MEMORY for pair in m.pairs]
        return (
            bool(self.worse)
            or any(pair.verdict == Verdict.WORSE for pair in pairs)
            or any(fate.a == State.SUCCEEDED for fate in self.fates)
        )

    def as_rows(self) -> dict[str, Any]:
        """Return plain values, for programs."""
        return asdict(self)


@dataclass(frozen=True)
class _Pair:
    name: str
    a: tuple[Result, ...]
    b: tuple[Result, ...]


@dataclass(frozen=True)
class _Tested:
    """A metric whose changes are tested, not yet judged among all others."""

    metric: str
    unit: str
    is_ratio: bool
    names: list[str]
    figures: list[tuple[float, float]]
    tests: list[noise.Test]
    overall: noise.Test


def compare(a: Sequence[Result], b: Sequence[Result]) -> Comparison:
    """Compare two batches, run by run and metric by metric.

    If nothing has changed, in 5 of 100 comparisons at most is any metric said to have changed over
    all pairs (Holm), and of the pairs that are said to have changed at most 5 in 100 haven't
    (Benjamini and Hochberg).
    """
    before, after = _latest(a), _latest(b)
    common = _common_names(before, after)
    several = _on_several_devices(before, common) | _on_several_devices(after, common)
    groups_a, groups_b = (_groups(side, common, several) for side in (before, after))
    shared = [key for key in groups_a if key in groups_b]
    names = _names([r for key in shared for r in (*groups_a[key], *groups_b[key])])
    pairs = [_Pair(names(groups_a[k][0]), tuple(groups_a[k]), tuple(groups_b[k])) for k in shared]
    both = [pair for one in pairs if (pair := _succeeded(one))]
    tested = [t for metric, unit in _metrics(both) if (t := _tested(metric, unit, both))]
    return Comparison(
        pairs=len(pairs),
        metrics=tuple(_judged(tested)),
        fates=tuple(fate for pair in pairs for fate in _fates(pair)),
        only_a=tuple(_named(r for k in groups_a if k not in groups_b for r in groups_a[k])),
        only_b=tuple(_named(r for k in groups_b if k not in groups_a for r in groups_b[k])),
        differences=tuple(_differences(before, after)),
    )


def is_better_low(metric: str, unit: str) -> bool | None:
    """Whether less of a metric is better, by its unit, else its name; None where both are mute."""
    if unit.endswith("/s"):
        return False
    if unit in _LOW_UNITS or unit.startswith("USD"):
        return True
    said = set(metric.split("_"))
    low, high = bool(said & _LOW_WORDS), bool(said & _HIGH_WORDS)
    return None if low == high else low


def _latest(results: Sequence[Result]) -> list[Result]:
    """Keep the newest run of each notebook, parameters and device; a cancelled one only alone."""
    kept: dict[_Key, Result] = {}
    for result in results:
        if result.status is None:
            continue
        key = (
            result.notebook, result.identity.device,
            *(f"{n}={v!r}" for n, v in sorted(result.parameters.items())),
        )  # fmt: skip
        if key not in kept or _rank(kept[key]) <= _rank(result):
            kept[key] = result
    return list(kept.values())


def _rank(result: Result) -> tuple[bool, float]:
    status = result.status
    assert status is not None
    return result.state != State.CANCELLED, status.ended.started.timestamp()


def _common_names(a: Sequence[Result], b: Sequence[Result]) -> dict[str, set[str]]:
    """List the parameters of each notebook that both batches know, less seeds."""
    sides: list[dict[str, set[str]]] = [{}, {}]
    for names, results in zip(sides, (a, b), strict=True):
        for result in results:
            names.setdefault(result.notebook, set()).update(result.parameters)
    return {
        notebook: {n for n in names & sides[1][notebook] if not is_seed(n)}
        for notebook, names in sides[0].items()
        if notebook in sides[1]
    }


def _on_several_devices(results: Sequence[Result], common: Mapping[str, set[str]]) -> set[_Key]:
    devices: dict[_Key, set[str]] = {}
    for result in results:
        devices.setdefault(_work(result, common), set()).add(result.identity.device)
    return {key for key, held in devices.items() if len(held) > 1}


def _groups(
    results: Sequence[Result], common: Mapping[str, set[str]], several: set[_Key]
) -> dict[_Key, list[Result]]:
    """Group runs by their work; by device too, where a batch has several for the same."""
    found: dict[_Key, list[Result]] = {}
    for result in results:
        key = _work(result, common)
        if key in several:
            key = (*key, result.identity.device)
        found.setdefault(key, []).append(result)
    return found


def _work(result: Result, common: Mapping[str, set[str]]) -> _Key:
    names = common.get(result.notebook, set())
    values = (f"{n}={v!r}" for n, v in sorted(result.parameters.items()) if n in names)
    return (result.notebook, *values)


def _names(results: Sequence[Result]) -> Callable[[Result], str]:
    """Return what names a pair by what tells it from the others."""
    telling = [n for n in independent_parameters(results) if not is_seed(n) and n != HARDWARE]
    return lambda result: description(result, telling)


def _named(results: Iterable[Result]) -> list[str]:
    held = list(results)
    telling = independent_parameters(held)
    return [
        description(r, telling)
        if telling
        else ", ".join([r.notebook, *(words(r, n) for n in r.parameters)])
        for r in held
    ]


def _succeeded(pair: _Pair) -> _Pair | None:
    a, b = (tuple(r for r in side if r.state == State.SUCCEEDED) for side in (pair.a, pair.b))
    return _Pair(pair.name, a, b) if a and b else None


def _fates(pair: _Pair) -> Iterable[Fate]:
    """List the runs, repeat by repeat, that ended in one state in A and in another in B."""
    for a, b in zip(pair.a, pair.b, strict=False):
        if a.state != b.state:
            yield Fate(pair.name, a.state, b.state, b.error or a.error)


def _metrics(pairs: Sequence[_Pair]) -> list[tuple[str, str]]:
    """List what was measured in both batches: the runner's own figures first."""
    sides = [
        {
            (f.metric, f.unit): None
            for pair in pairs
            for r in getattr(pair, side)
            for f in r.records
            if f.origin == Origin.MEASURED
        }
        for side in ("a", "b")
    ]
    return sorted(
        (one for one in sides[0] if one in sides[1]), key=lambda one: one[0] not in OWN_METRICS
    )


def _tested(metric: str, unit: str, pairs: Sequence[_Pair]) -> _Tested | None:
    held = [
        (pair.name, a, b)
        for pair in pairs
        if (a := _figures(pair.a, metric, unit)) and (b := _figures(pair.b, metric, unit))
    ]
    if not held:
        return None
    is_ratio = all(f.value > 0 for _, a, b in held for f in (*a, *b))
    scale: Callable[[float], float] = math.log if is_ratio else float
    means = [tuple(_mean(scale, side) for side in (a, b)) for _, a, b in held]
    changes = [after - before for before, after in means]
    spreads = [_spread(scale, a, b) for _, a, b in held]
    back: Callable[[float], float] = math.exp if is_ratio else float
    return _Tested(
        metric, unit, is_ratio,
        names=[name for name, _, _ in held],
        figures=[(back(before), back(after)) for before, after in means],
        tests=noise.each(changes, spreads),
        overall=noise.overall(changes, spreads),
    )  # fmt: skip


def _figures(results: Sequence[Result], metric: str, unit: str) -> list[Record]:
    found = (r.figure(metric, Origin.MEASURED) for r in results)
    return [f for f in found if f is not None and f.unit == unit and not f.doubt]


def _mean(scale: Callable[[float], float], figures: Sequence[Record]) -> float:
    return sum(scale(f.value) for f in figures) / len(figures)


def _spread(
    scale: Callable[[float], float], a: Sequence[Record], b: Sequence[Record]
) -> noise.Spread | None:
    if len(a) > 1 or len(b) > 1:
        return noise.of_repeats([scale(f.value) for f in a], [scale(f.value) for f in b])
    quartiles = []
    for one in (a[0], b[0]):
        if one.low is None or one.high is None or one.n is None:
            return None
        if scale is math.log and one.low <= 0:
            return None
        quartiles.append((scale(one.low), scale(one.high), one.n))
    return noise.of_quartiles(*quartiles)


def _judged(tested: Sequence[_Tested]) -> Iterable[MetricChange]:
    """Judge all tests together, so that many of them raise no more false alarms than one."""
    overall = iter(noise.holm([t.overall.p for t in tested if t.overall.p is not None]))
    each = iter(noise.benjamini_hochberg([t.p for m in tested for t in m.tests if t.p is not None]))
    for one in tested:
        pairs = [
            _change(one, name, test, each, figures)
            for name, test, figures in zip(one.names, one.tests, one.figures, strict=True)
        ]
        pairs.sort(key=lambda c: -abs(math.log(c.change) if one.is_ratio else c.change))
        yield MetricChange(
            one.metric,
            one.unit,
            one.is_ratio,
            _change(one, "all pairs", one.overall, overall),
            tuple(pairs),
        )


def _change(
    of: _Tested,
    name: str,
    test: noise.Test,
    adjusted: Iterator[float],
    figures: tuple[float, float] | None = None,
) -> Change:
    back: Callable[[float], float] = math.exp if of.is_ratio else float
    if test.p is not None:
        verdict = _verdict(of, test.change, next(adjusted))
    elif test.low is None:
        verdict = Verdict.CANT_TELL
    else:
        verdict = Verdict.NO_MORE_THAN_NOISE
    a, b = figures or (None, None)
    low, high = (None if end is None else back(end) for end in (test.low, test.high))
    return Change(name, back(test.change), low, high, verdict, a, b)


def _verdict(of: _Tested, change: float, p: float) -> Verdict:
    if p >= noise.ALPHA:
        return Verdict.NO_MORE_THAN_NOISE
    better_low = is_better_low(of.metric, of.unit)
    if better_low is None:
        return Verdict.DIFFERS
    return Verdict.BETTER if (change < 0) == better_low else Verdict.WORSE


def _differences(a: Sequence[Result], b: Sequence[Result]) -> Iterable[Difference]:
    before, after = ({f.name: f.counts for f in provenance(side)} for side in (a, b))
    for name in dict.fromkeys([*before, *after]):
        if name != "runner" and set(before.get(name, {})) != set(after.get(name, {})):
            yield Difference(name, before.get(name, {}), after.get(name, {}))
