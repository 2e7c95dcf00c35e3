"""What is left of a batch, by hand and by what must hold of any."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.batch.attempt import Predicted
from enterprise_lab.batch.pace import Pace
from enterprise_lab.batch.run import Run

from .past import run

SECONDS = st.floats(0.1, 500)


def make_run(seconds: float | None = None, deadline_seconds: float = 600) -> Run:
    return replace(run(predicted=Predicted(seconds=seconds)), deadline_seconds=deadline_seconds)


def test_what_was_predicted_is_corrected_by_how_others_compared() -> None:
    pace = Pace()
    for taken in (20.0, 15.0, 100.0):
        pace.learn(make_run(seconds=10), taken)

    assert pace.seconds(make_run(seconds=30)) == pytest.approx(60)


def test_a_run_that_nobody_predicted_takes_what_the_others_took() -> None:
    pace = Pace()

    assert pace.seconds(make_run()) is None
    assert pace.left([make_run()], [], 1) is None

    pace.learn(make_run(), 7.0)

    assert pace.seconds(make_run()) == 7.0


def test_no_run_takes_longer_than_its_deadline() -> None:
    assert Pace().seconds(make_run(seconds=1000, deadline_seconds=60.0)) == 60.0


def test_a_run_that_takes_longer_than_expected_is_about_to_end() -> None:
    assert Pace().left([], [(make_run(seconds=10), 25.0)], 2) == 0.0


@given(st.lists(SECONDS, max_size=20), st.lists(SECONDS, max_size=4), st.integers(1, 4))
def test_slots_share_the_work_and_none_ends_before_the_longest(
    waiting: list[float], under_way: list[float], slots: int
) -> None:
    runs = [make_run(seconds=one) for one in waiting]
    begun = [(make_run(seconds=one), 0.0) for one in under_way]

    left = Pace().left(runs, begun, slots)

    assert left is not None
    assert left >= max(under_way, default=0)
    assert left == pytest.approx(max([(sum(waiting) + sum(under_way)) / slots, *under_way]))
