from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.batch.attempt import Identity, Predicted
from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans.budget import over, total
from enterprise_lab.batch.run import Need, Retries, Run

IDENTITY = Identity(notebook="a.ipynb", parameters={}, code="", lock="", package="")


def run(
    seconds: float | None = 10.0, *, gpus: int = 0, usd: float | None = None, deadline: float = 60.0
) -> Run:
    predicted = Predicted()
    if seconds is not None:
        predicted = Predicted(
            seconds=seconds, low_seconds=seconds / 2, high_seconds=seconds * 2, source="a test"
        )
    return Run("id", "a.ipynb", "{}", {}, IDENTITY, Need(gpus), deadline, Retries(), predicted, usd)


def test_runs_without_gpus_share_the_slots() -> None:
    four = [run() for _ in range(4)]

    assert total(four).seconds.value == 40
    assert total(four, slots=2).seconds.value == 20
    assert total(four, slots=3).seconds.value == 20
    two = [Node("a", 2, 1e9), Node("b", 2, 1e9)]
    assert total(four, slots=2, nodes=two).seconds.value == 10
    assert total(four, slots=2).gpu_hours.value == 0


def test_runs_with_gpus_share_the_gpus_beside_the_others() -> None:
    mixed = [run(gpus=2), run(gpus=1), run(gpus=1), run(5.0)]
    node = Node("a", 2, 1e9, ("NVIDIA A10G",) * 2)

    assert total(mixed, nodes=[node]).seconds.value == 20
    assert total(mixed).seconds.value == 20, "one machine that just suffices"
    assert total(mixed).gpu_hours.value == pytest.approx(40 / 3600)


def test_the_ends_are_those_of_the_predictions_and_a_deadline_bounds_them() -> None:
    found = total([run(20.0, deadline=30.0, usd=36.0)])

    assert (found.seconds.low, found.seconds.value, found.seconds.high) == (10, 20, 30)
    assert found.usd
    assert (found.usd.low, found.usd.value, found.usd.high) == pytest.approx((0.1, 0.2, 0.3))


def test_of_what_nothing_is_known_the_deadline_counts_at_the_high_end() -> None:
    found = total([run(), run(None, deadline=100.0)])

    assert (found.seconds.low, found.seconds.value, found.seconds.high) == (5, 10, 120)
    assert (found.runs, found.unknown) == (2, 1)
    assert found.usd is None


def test_the_high_end_is_held_against_the_limits() -> None:
    found = total([run(1000.0, usd=3.6, deadline=7200.0), run(None, usd=3.6, deadline=1600.0)])

    assert found.usd
    assert found.usd.high == pytest.approx(3.6)
    assert over(found, None, None) is None
    assert over(found, 3.7, 1.01) is None
    for limits, told in (((3.5, None), "up to $3.60"), ((None, 0.9), "up to 1 hour, ")):
        error = over(found, *limits)
        assert error
        assert told in error.problem
        assert "1 of its 2 runs" in error.problem


def test_a_limit_in_dollars_asks_for_a_price() -> None:
    error = over(total([run()]), 5.0, None)

    assert error
    assert "no price" in error.problem
    assert over(total([]), 5.0, None) is None


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.integers(0, 4)), max_size=20),
    st.integers(1, 4),
)
def test_a_batch_takes_at_least_its_longest_run_and_at_most_all_of_them(
    sizes: list[tuple[float, int]], slots: int
) -> None:
    runs = [run(seconds, gpus=gpus, deadline=1000.0) for seconds, gpus in sizes]
    found = total(runs, slots).seconds

    assert found.low <= found.value <= found.high
    assert found.value >= max((seconds for seconds, _ in sizes), default=0)
    assert found.value <= sum(seconds for seconds, _ in sizes) + 1e-6
