"""Clocks."""

import time

import pytest

from enterprise_lab.errors import LabError
from enterprise_lab.measure.timing import Measurement, measure


def test_the_clock_sees_a_sleep():
    found = measure(lambda: time.sleep(0.01), budget_seconds=0.05, at_least=5)
    assert found.n >= 5
    assert 0.01 <= found.low <= found.value <= found.high


def test_work_is_warmed_up_once_and_repeated():
    calls = []
    found = measure(lambda: calls.append(1), budget_seconds=1e-6, at_least=3)
    assert len(calls) == found.n + 1


def test_a_sample_of_many_calls_is_the_time_of_one():
    calls = []

    def work():
        calls.append(1)
        time.sleep(0.001)

    found = measure(work, budget_seconds=1e-6, at_least=2, calls=10)
    assert len(calls) == 1 + 10 * found.n
    assert found.low >= 0.001


def test_the_clock_is_read_after_the_device_is_done():
    waiting = []

    def finish():
        time.sleep(0.005)
        waiting.append(1)

    found = measure(lambda: None, budget_seconds=1e-6, at_least=3, finish=finish)
    assert found.low >= 0.005
    assert len(waiting) == found.n + 1


def test_a_rate_is_the_amount_over_the_time_and_its_quartiles_change_places():
    rate = Measurement(2.0, "s", 1.0, 4.0, 7, 0.5).rate_of(8.0, "FLOP/s")
    assert rate == Measurement(4.0, "FLOP/s", 2.0, 8.0, 7, 16.0)


@pytest.mark.parametrize("bad", [{"budget_seconds": 0}, {"at_least": 0}, {"calls": 0}])
def test_measuring_nothing_is_refused(bad):
    with pytest.raises(LabError):
        measure(lambda: None, **bad)
