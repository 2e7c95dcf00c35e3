from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from bs4 import BeautifulSoup

from enterprise_lab.batch.attempt import Scalar, State
from enterprise_lab.batch.reports.compare import Comparison, Verdict, compare, is_better_low
from enterprise_lab.batch.reports.compare_page import compare_page
from enterprise_lab.batch.reports.results import RUN_MEMORY, Result, own_records
from enterprise_lab.measure.records import Origin, Record

from ..past import figure, run, status

Rng = np.random.Generator


def result(
    *records: Record,
    state: State = State.SUCCEEDED,
    seconds: float = 20,
    device: str = "cpu",
    commit: str = "c0ffee",
    code: str = "c0de",
    minutes: float = 0,
    **parameters: Scalar,
) -> Result:
    of = run(device=device, code=code, **parameters)
    ended = status(of, state, seconds=seconds, commit=commit, minutes=minutes, memory=None)
    own = own_records(of.notebook, of.predicted, None, ended)
    return Result(of.run_id, of.identity, of.predicted, None, (ended,), (*records, *own))


def noisy_batch(
    rng: Rng, runs: int, slower: float = 1.0, spread: bool = False, metrics: int = 4
) -> list[Result]:
    """Runs whose times scatter by 3 %, with quartiles or without."""

    def seconds(size: int) -> float:
        return float(10 * (1 + size) * slower * np.exp(0.03 * rng.standard_normal()))

    quartiles = (0.02, 30) if spread else (None, None)
    return [
        result(
            *(
                figure(f"part{m}_seconds", seconds(size), "s", Origin.MEASURED, *quartiles)
                for m in range(metrics)
            ),
            seconds=seconds(size),
            size=size,
        )
        for size in range(runs)
    ]


def verdict(comparison: Comparison, metric: str) -> Verdict:
    return next(m.overall.verdict for m in comparison.metrics if m.metric == metric)


def pair_verdicts(comparison: Comparison) -> list[Verdict]:
    return [c.verdict for m in comparison.metrics for c in m.pairs]


TOLD = {Verdict.WORSE, Verdict.BETTER, Verdict.DIFFERS}


@pytest.mark.parametrize(
    ("runs", "spread"), [(1, True), (2, False), (3, True), (6, False), (9, True)]
)
def test_of_two_alike_batches_few_are_told_to_differ(runs: int, spread: bool) -> None:
    """At most 5 % of comparisons; 200 of them stay below 17 but once in 100 times."""
    rng = np.random.default_rng(runs)
    metrics = pairs = 0
    for _ in range(200):
        found = compare(
            noisy_batch(rng, runs, spread=spread), noisy_batch(rng, runs, spread=spread)
        )
        metrics += any(m.overall.verdict in TOLD for m in found.metrics)
        pairs += any(v in TOLD for v in pair_verdicts(found))

    assert metrics <= 17
    assert pairs <= 17


def test_a_tenth_slower_is_found_under_3_percent_of_noise() -> None:
    rng = np.random.default_rng(1)

    for _ in range(20):
        found = compare(noisy_batch(rng, 12), noisy_batch(rng, 12, slower=1.1))
        assert {m.overall.verdict for m in found.metrics} == {Verdict.WORSE}
        run_time = next(m.overall for m in found.metrics if m.metric == "run_seconds")
        assert run_time.low is not None
        assert run_time.high is not None
        assert 1.0 < run_time.low < run_time.change < run_time.high < 1.2


def test_one_pair_that_stands_out_is_found_among_steady_ones() -> None:
    rng = np.random.default_rng(2)
    before, after = noisy_batch(rng, 12), noisy_batch(rng, 12)
    after[7] = result(seconds=160, size=7)

    run_time = next(m for m in compare(before, after).metrics if m.metric == "run_seconds")

    assert [c.name for c in run_time.pairs if c.verdict in TOLD] == ["size 7"]
    assert run_time.pairs[0].verdict == Verdict.WORSE
    assert run_time.pairs[0].b == pytest.approx(160)


def test_a_single_pair_without_spread_tells_nothing() -> None:
    found = compare([result(seconds=10)], [result(seconds=30)])

    assert verdict(found, "run_seconds") == Verdict.CANT_TELL
    assert pair_verdicts(found) == [Verdict.CANT_TELL]
    assert found.metrics[0].overall.change == pytest.approx(3)


def test_a_single_pair_is_judged_by_its_quartiles_but_not_by_doubtful_or_few_samples() -> None:
    def one(value: float, n: int = 30, doubt: str = "") -> list[Result]:
        step = figure("step_seconds", value, "s", Origin.MEASURED, 0.02, n)
        return [result(step.model_copy(update={"doubt": doubt}))]

    assert verdict(compare(one(1), one(1.3)), "step_seconds") == Verdict.WORSE
    assert verdict(compare(one(1), one(0.7)), "step_seconds") == Verdict.BETTER
    assert verdict(compare(one(1), one(1.03)), "step_seconds") == Verdict.NO_MORE_THAN_NOISE
    assert verdict(compare(one(1, 3), one(1.3, 3)), "step_seconds") == Verdict.CANT_TELL
    doubtful = compare(one(1), one(1.3, doubt="disturbed"))
    assert "step_seconds" not in {m.metric for m in doubtful.metrics}


def test_seeds_are_repeats() -> None:
    def seeded(*values: float) -> list[Result]:
        return [
            result(figure("accuracy", v, "1", Origin.MEASURED), seed=n, lr=0.1)
            for n, v in enumerate(values)
        ]

    found = compare(seeded(0.91, 0.92, 0.9), seeded(0.81, 0.8, 0.82, 0.805))

    assert found.pairs == 1
    assert verdict(found, "accuracy") == Verdict.WORSE
    assert compare(seeded(0.91, 0.85), seeded(0.86, 0.9)).metrics[1].overall.verdict not in TOLD


def test_what_is_the_same_everywhere_is_no_more_than_noise() -> None:
    same = [result(figure("accuracy", 0.9, "1", Origin.MEASURED), x=n) for n in range(4)]

    assert set(pair_verdicts(compare(same, same))) == {Verdict.NO_MORE_THAN_NOISE}


def test_a_thousandth_is_never_news() -> None:
    def exact(*values: float) -> list[Result]:
        return [
            result(figure("peak_bytes", v, "B", Origin.MEASURED), x=n) for n, v in enumerate(values)
        ]

    found = compare(exact(*[1e9] * 6), exact(*[1e9] * 5, 1.001e9))

    assert not TOLD & {c.verdict for m in found.metrics for c in (*m.pairs, m.overall)}


@pytest.mark.parametrize("below", [0.0, -1.0])
def test_figures_that_have_no_ratio_are_compared_by_difference(below: float) -> None:
    rng = np.random.default_rng(3)

    def rewards(shift: float) -> list[Result]:
        values = below + shift + 0.1 * rng.standard_normal(10)
        values[0] = below
        return [
            result(figure("reward", float(v), "1", Origin.MEASURED), x=n)
            for n, v in enumerate(values)
        ]

    found = compare(rewards(0), rewards(3))
    reward = next(m for m in found.metrics if m.metric == "reward")

    assert not reward.is_ratio
    assert reward.overall.verdict == Verdict.DIFFERS
    assert 2 < reward.overall.change < 3.5


@pytest.mark.parametrize(
    ("metric", "unit", "low"),
    [
        ("step_seconds", "s", True),
        ("cost", "USD", True),
        ("validation_loss", "1", True),
        ("tokens_per_second", "tok/s", False),
        ("macro_f1", "1", False),
        ("mfu", "1", False),
        ("usd_per_hour", "USD/h", True),
        ("reward", "1", None),
        ("accuracy_error", "1", None),
    ],
)
def test_which_way_is_better(metric: str, unit: str, low: bool | None) -> None:
    assert is_better_low(metric, unit) is low


def test_runs_that_fail_now_or_are_in_one_batch_only_are_listed() -> None:
    before = [result(x=1), result(x=2, state=State.TIMED_OUT), result(x=3)]
    after = [result(x=1, state=State.FAILED), result(x=2), result(x=4), result(x=5)]

    found = compare(before, after)

    assert [(f.name, f.a, f.b) for f in found.fates] == [
        ("x 1", State.SUCCEEDED, State.FAILED),
        ("x 2", State.TIMED_OUT, State.SUCCEEDED),
    ]
    assert found.only_a == ("labs/tiny.ipynb, x 3",)
    assert found.only_b == ("x 4", "x 5")
    assert found.pairs == 2


def _head(page: str) -> str:
    return " ".join(BeautifulSoup(page, "html.parser").header.text.split())


def test_one_pair_that_is_worse_or_fails_now_makes_the_batch_worse() -> None:
    rng = np.random.default_rng(4)
    before, after = (noisy_batch(rng, 12, spread=True, metrics=1) for _ in "ab")
    slow = figure("part0_seconds", 600, "s", Origin.MEASURED, 0.02, 30)
    one_slow = compare(before, [*after[:-1], replace(after[-1], records=(slow,))])

    assert not compare(before, after).is_worse
    assert not one_slow.worse
    assert one_slow.is_worse
    assert "worse in single pairs: Part0 time" in _head(compare_page(one_slow, "a", "b"))
    assert compare([result(x=1)], [result(x=1, state=State.FAILED)]).is_worse
    assert not compare([result(x=1, state=State.FAILED)], [result(x=1)]).is_worse


def test_the_newest_of_a_store_with_old_ones_is_compared() -> None:
    store = [
        result(x=1, code="01d", seconds=5),
        result(x=1, code="new", seconds=7, minutes=5),
        result(x=1, code="newer", state=State.CANCELLED, seconds=9, minutes=9),
    ]
    broken = result(x=1, code="newest", state=State.FAILED, minutes=12)

    (run_time,) = compare(store, store).metrics
    (fate,) = compare(store, [*store, broken]).fates

    assert run_time.pairs[0].a == pytest.approx(7)
    assert (fate.a, fate.b) == (State.SUCCEEDED, State.FAILED)


def test_a_missed_peak_of_one_run_is_no_reason_to_fail() -> None:
    def peaks(*megabytes: float) -> list[Result]:
        return [
            result(figure(RUN_MEMORY, one * 1e6, "B", Origin.MEASURED), x=x)
            for x, one in enumerate(megabytes)
        ]

    others = [300.0 + x % 3 for x in range(12)]

    found = compare(peaks(320, *others), peaks(360, *others[1:], 301.0))

    (peak,) = (m for m in found.metrics if m.metric == RUN_MEMORY)
    assert peak.pairs[0].verdict == Verdict.WORSE
    assert not found.is_worse


def test_a_batch_on_another_device_is_paired_and_several_devices_are_kept_apart() -> None:
    cpu, gpu = result(x=1), result(x=1, device="NVIDIA H200", seconds=2)

    across = compare([cpu], [gpu])
    assert across.metrics[0].pairs[0].change == pytest.approx(0.1)
    assert "device" in {d.name for d in across.differences}
    assert compare([cpu, gpu], [gpu, cpu]).pairs == 2
    assert {c.change for c in compare([cpu, gpu], [gpu, cpu]).metrics[0].pairs} == {1}


def test_a_parameter_that_only_one_batch_knows_does_not_keep_runs_apart() -> None:
    assert compare([result(x=1), result(x=2)], [result(x=1, new=0), result(x=2, new=0)]).pairs == 2


def test_what_differs_in_provenance_is_listed() -> None:
    found = compare([result(x=1)], [result(x=1, commit="beef")])

    assert [(d.name, dict(d.a), dict(d.b)) for d in found.differences] == [
        ("commit of the kit", {"c0ffee": 1}, {"beef": 1})
    ]


@pytest.fixture
def changed() -> Comparison:
    rng = np.random.default_rng(4)
    before, after = noisy_batch(rng, 12), noisy_batch(rng, 12, slower=1.3)
    after[2] = replace(after[2], attempts=(result(size=2, state=State.FAILED).attempts), records=())
    return compare(before, [*after, result(size=99)])


def test_a_comparison_is_plain_values_for_programs(changed: Comparison) -> None:
    rows = json.loads(json.dumps(changed.as_rows()))

    assert rows["metrics"][0]["overall"]["verdict"] == "worse"
    assert rows["fates"][0]["b"] == "failed"
    assert "run_seconds" in changed.worse


def test_the_page_says_what_got_worse_and_loads_nothing(changed: Comparison) -> None:
    soup = BeautifulSoup(compare_page(changed, "march <1>", "april"), "html.parser")

    assert "march <1>" in soup.header.text
    assert "Run time" in soup.select_one(".facts:last-of-type").text
    assert soup.select("script") == []
    loads = [e.get("src") or e.get("href") for e in soup.select("[src], link[href]")]
    assert all(address.startswith("data:") for address in loads)
    assert "worse" in soup.select_one("figure img")["alt"]
    assert "size 99" in soup.text


@pytest.mark.parametrize("make", [list, lambda: [result(x=1)]])
def test_any_batches_have_a_page(make: Callable[[], list[Result]]) -> None:
    assert "<html" in compare_page(compare(make(), [result(x=1, seconds=3)]), "a", "b")
