"""Clocks: what is timed, when it ends, and when it can't be told."""

import math
import time
from collections import namedtuple
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.errors import LabError
from enterprise_lab.measure import other_processes, timing
from enterprise_lab.measure.other_processes import OtherProcesses
from enterprise_lab.measure.timing import Measurement, interval_of_median, measure


class Clock:
    """A clock that moves only as told: `reading` seconds when read, and as long as work takes."""

    def __init__(self, reading=0.0):
        self.now, self.reading, self.calls = 0.0, reading, 0

    def perf_counter(self):
        self.now += self.reading
        return self.now

    def work(self, seconds):
        """Make work whose n-th call, from 0, takes seconds(n)."""

        def work():
            self.now += seconds(self.calls)
            self.calls += 1

        return work


@pytest.fixture
def others(monkeypatch):
    """What others use: none, or the share that a test sets."""
    found = SimpleNamespace(share=0.0, asked=[])

    class Fake:
        def share(self, seconds):
            found.asked.append(seconds)
            return found.share

    monkeypatch.setattr(timing, "OtherProcesses", Fake)
    return found


@pytest.fixture
def clock(monkeypatch, others):  # noqa: ARG001  (a fake clock's machine has no others)
    found = Clock()
    monkeypatch.setattr(timing, "time", found)
    return found


def noisy(spread, seed=0):
    factors = 1 + spread * np.random.default_rng(seed).uniform(-1, 1, 100_000)
    return lambda n: 0.01 * factors[n]


def test_the_clock_sees_a_sleep():
    found = measure(lambda: time.sleep(0.01), budget_seconds=0.05, at_least=5)
    assert found.n >= 5
    assert 0.01 <= found.best <= found.low <= found.value <= found.high


def test_the_first_call_is_apart_and_costs_none_of_the_budget(clock):
    found = measure(clock.work(lambda n: 0.01 if n else 30.0))
    assert found.first == pytest.approx(30)
    assert found.value == found.high == pytest.approx(0.01)
    assert (found.doubt, found.outliers) == ("", 0)
    assert found.n > 15


def test_warm_up_goes_on_until_steady(clock):
    """Each call is quicker than the one before, up to the thirtieth."""
    found = measure(clock.work(lambda n: 0.002 + 0.0001 * max(30 - n, 0)), budget_seconds=1.0)
    assert found.value == found.high == pytest.approx(0.002)


def test_steady_work_is_warmed_up_by_ten_samples(clock):
    found = measure(clock.work(lambda _: 0.01))
    assert clock.calls == 1 + 10 + found.n


def test_warm_up_takes_a_third_of_the_budget_at_most(clock):
    """The calls of the warm-up never agree; those after it always do."""
    last = []

    def seconds(n):
        if clock.now < 0.99 / 3:
            last.append(n)
            return 0.001 * 1.1**n
        return 0.01

    found = measure(clock.work(seconds))
    assert last[-1] > 10
    assert found.value == pytest.approx(0.01)


def test_samples_end_early_when_the_median_is_known(clock):
    steady = measure(clock.work(lambda _: 0.02), budget_seconds=10.0)
    assert steady.n * steady.value == pytest.approx(2.0, rel=0.02)  # a fifth of the budget
    assert clock.now < 2.5


@pytest.mark.parametrize("within", [0.1, 0.02, 0.01])
def test_the_interval_asked_for_is_reached(clock, within):
    samples, factors = [], noisy(0.1)
    found = measure(
        clock.work(lambda n: samples.append(factors(n)) or samples[-1]),
        budget_seconds=9.0,
        within=within,
    )
    low, high = interval_of_median(sorted(samples[-found.n :]))
    assert found.value * (1 - within) <= low <= found.value <= high <= found.value * (1 + within)
    assert clock.now < 8
    assert found.doubt == ""


@pytest.mark.parametrize("seconds", [1e-5, 1e-3, 0.03])
@pytest.mark.parametrize("budget", [0.1, 1.0])
def test_the_budget_is_kept_to_a_call(clock, seconds, budget):
    measure(clock.work(lambda n: seconds * (1 + n % 2)), budget_seconds=budget, at_least=2)
    assert clock.now < 1.02 * budget + 4 * seconds


def test_long_calls_are_sampled_as_often_as_asked(clock):
    found = measure(clock.work(lambda _: 60.0), budget_seconds=1.0, at_least=5)
    assert (found.n, found.value, found.doubt) == (5, 60.0, "")
    assert clock.calls == 1 + 1 + 5


def test_long_calls_that_disagree_are_in_doubt(clock):
    found = measure(clock.work(lambda n: 60.0 + 5 * (n % 2)), budget_seconds=1.0, at_least=5)
    assert "known to" in found.doubt


@pytest.mark.parametrize(("at_least", "sure"), [(1, False), (2, False), (3, True)])
def test_two_samples_can_not_show_noise(clock, at_least, sure):
    found = measure(clock.work(lambda _: 60.0), budget_seconds=1.0, at_least=at_least)
    assert (found.n, found.doubt == "") == (at_least, sure)


@pytest.mark.parametrize("seconds", [2e-8, 1e-6, 1e-4])
def test_the_clock_costs_less_than_a_hundredth(clock, seconds):
    clock.reading = 1e-6
    found = measure(clock.work(lambda _: seconds), budget_seconds=1.0)
    assert found.value == pytest.approx(seconds, rel=0.01)


def test_so_does_waiting_for_the_device(clock):
    waiting = clock.work(lambda _: 2e-5)
    found = measure(lambda: setattr(clock, "now", clock.now + 1e-5), finish=waiting)
    assert found.value == pytest.approx(1e-5, rel=0.01)


def test_a_call_that_was_held_up_does_not_make_samples_of_one_call(clock):
    """The first call of the warm-up waits for another process."""
    found = measure(clock.work(lambda n: 0.05 if n == 1 else 1e-6))
    assert found.value == pytest.approx(1e-6)
    assert clock.calls > 1000 * found.n / 2


def test_work_that_takes_no_time_on_this_clock_ends():
    clock = Clock(reading=1e-4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "time", clock)
        patch.setattr(timing, "_MOST_CALLS", 16)
        found = measure(lambda: None, budget_seconds=0.1)
    assert found.value == pytest.approx(1e-4 / 16)


def test_the_clock_is_read_after_the_device_is_done(clock):
    found = measure(lambda: None, finish=clock.work(lambda _: 5.0), at_least=3)
    assert found.value == 5.0


def test_outliers_are_told_and_count(clock):
    found = measure(clock.work(lambda n: 0.03 if n % 10 == 5 else 0.01), budget_seconds=2.0)
    assert found.outliers == pytest.approx(found.n / 10, abs=1)
    assert found.value == pytest.approx(0.01)
    assert found.doubt == ""
    assert timing._figure([1.0] * 9 + [5.0], 1.0, 0.0).outliers == 1


@pytest.mark.parametrize(("spread", "sure"), [(0.0, True), (0.05, True), (0.9, False)])
def test_a_median_that_stays_unknown_is_in_doubt(clock, spread, sure):
    found = measure(clock.work(noisy(spread)), budget_seconds=1.0)
    assert (found.doubt == "") is sure
    assert sure or "known to" in found.doubt


@pytest.mark.parametrize(("later", "word"), [(1.1, "10 % longer"), (0.9, "10 % less"), (1.02, "")])
def test_halves_that_disagree_are_in_doubt(later, word):
    doubt = timing._figure([1.0] * 50 + [later] * 50, 1.0, 0.0).doubt
    assert (word in doubt) if word else doubt == ""


def test_drift_is_waited_for_not_believed(clock):
    """A processor that slows after half a second, as hot ones do."""
    found = measure(clock.work(lambda _: 0.001 if clock.now < 0.15 else 0.0011))
    assert found.value == pytest.approx(0.0011)
    assert found.doubt == ""


@pytest.mark.parametrize(("share", "sure"), [(0.05, True), (0.1, True), (0.4, False)])
def test_others_are_told_of(clock, others, share, sure):
    others.share = share
    found = measure(clock.work(lambda _: 0.01))
    assert (found.doubt == "") is sure
    assert sure or "other processes used 40 % of the processors" in found.doubt
    assert others.asked == [pytest.approx(clock.now - found.first)]


def test_work_elsewhere_does_not_mind_others(clock, others):
    others.share = 0.9
    assert measure(clock.work(lambda _: 0.01), finish=lambda: None).doubt == ""


def test_in_doubt_no_figure_is_printed():
    sure = Measurement(6.21e-3, "s", 6.18e-3, 6.25e-3, 9)
    assert str(sure) == "6.21 ms (6.18 ms to 6.25 ms)"
    unsure = Measurement(6.21e-3, "s", 5.9e-3, 8.1e-3, 9, doubt="the machine is too noisy (why)")
    assert str(unsure) == "5.9 ms to 8.1 ms, not reliable: the machine is too noisy (why)"
    assert str(Measurement(2e9, "B", 2e9, 2e9, 1)) == "2 GB"


def test_a_rate_is_the_amount_over_the_time_and_its_quartiles_change_places():
    rate = Measurement(2.0, "s", 1.0, 4.0, 7, 0.5, 9.0, 2, "noise").rate_of(8.0, "FLOP/s")
    assert rate == Measurement(4.0, "FLOP/s", 2.0, 8.0, 7, 16.0, 9.0, 2, "noise")


@pytest.mark.parametrize("bad", [{"budget_seconds": 0}, {"at_least": 0}, {"within": 0}])
def test_measuring_nothing_is_refused(bad):
    with pytest.raises(LabError):
        measure(lambda: None, **bad)


@pytest.mark.parametrize("work", [None, 3.0, "work"])
def test_what_cant_be_called_is_refused(work):
    with pytest.raises(LabError, match="work must be a function"):
        measure(work)


SAMPLES = st.lists(st.floats(1e-9, 1e6), min_size=1, max_size=60)


@given(SAMPLES)
def test_figures_are_in_order(taken):
    found = timing._figure(taken, 1.0, 0.0)
    assert found.best <= found.low <= found.value <= found.high <= max(taken)
    assert 0 <= found.outliers <= found.n / 2
    assert found.rate_of(1.0, "1/s").low <= found.rate_of(1.0, "1/s").best


@given(SAMPLES, st.floats(1e-3, 1e3))
def test_figures_follow_the_unit_of_time(taken, k):
    found = timing._figure(taken, 1.0, 0.0)
    scaled = timing._figure([k * one for one in taken], k, 0.0)
    for name in ("value", "low", "high", "best", "first"):
        assert getattr(scaled, name) == pytest.approx(k * getattr(found, name))


@given(SAMPLES)
def test_the_order_of_samples_matters_to_drift_alone(taken):
    backwards = timing._figure(taken[::-1], 1.0, 0.0)
    assert backwards.value == timing._figure(taken, 1.0, 0.0).value


@pytest.mark.parametrize("n", [*range(6, 80), 200, 1000])
def test_the_interval_holds_the_median_19_times_in_20(n):
    """The ranks hold it where the number of heads in n throws lies between them."""
    low, high = interval_of_median(range(1, n + 1))
    assert low + high == n + 1
    assert sum(math.comb(n, heads) for heads in range(low, high)) / 2**n >= 0.95


@pytest.mark.parametrize("n", range(1, 13))
def test_the_interval_of_up_to_ten_is_their_range(n):
    assert (interval_of_median(range(n)) == (0, n - 1)) is (n <= 10)


@pytest.mark.parametrize("n", [1, 3, 5, 10])
def test_the_range_holds_the_median_as_often_as_said(n):
    drawn = np.random.default_rng(n).exponential(size=(20_000, n))
    found = [interval_of_median(one) for one in np.sort(drawn).tolist()]
    held = sum(low <= math.log(2) <= high for low, high in found) / len(found)
    assert held == pytest.approx(1 - 2 ** (1 - n), abs=0.01)


Times = namedtuple("Times", "user nice system irq softirq steal idle", defaults=[0.0] * 7)
Own = namedtuple("Own", "user system children_user children_system", defaults=[0.0] * 4)


class FakePsutil:
    """A machine of four processors, of which this process may run on two."""

    Error, LINUX = psutil.Error, True

    def __init__(self):
        self.processors, self.own, self.children = [Times()] * 4, Own(), []

    def cpu_times(self, percpu):
        assert percpu
        return self.processors

    def Process(self):
        return SimpleNamespace(
            cpu_affinity=lambda: [0, 2],
            cpu_times=lambda: self.own,
            children=lambda recursive: self.children if recursive else [],
        )


@pytest.fixture
def machine(monkeypatch):
    found = FakePsutil()
    monkeypatch.setattr(other_processes, "psutil", found)
    return found


@pytest.mark.parametrize(
    ("processors", "own", "share"),
    [
        ([Times(user=5)] * 4, Own(), 0.5),
        ([Times(idle=10)] * 4, Own(), 0.0),
        ([Times(user=5), Times(user=9), Times(steal=3), Times()], Own(), 0.4),
        ([Times(user=8), Times(), Times(system=2), Times()], Own(user=6, system=1), 0.15),
        ([Times(user=10)] * 4, Own(user=10, children_user=9, children_system=1), 0.0),
    ],
    ids=["half", "idle", "stolen, and not where it may run", "beside its own", "children"],
)
def test_others_are_what_is_not_ones_own(machine, processors, own, share):
    others = OtherProcesses()
    machine.processors, machine.own = processors, own
    assert others.share(10.0) == pytest.approx(share, abs=0.005)


def test_living_children_are_no_others(machine):
    others = OtherProcesses()
    machine.processors = [Times(user=10)] * 4
    machine.own = Own(user=5)

    def gone():
        raise psutil.NoSuchProcess(1)

    machine.children = [SimpleNamespace(cpu_times=lambda: Own(user=5)),
                        SimpleNamespace(cpu_times=gone)]  # fmt: skip
    assert others.share(10.0) == pytest.approx(0.5, abs=0.005)


def test_too_short_to_be_counted_nothing_is_claimed(machine):
    others = OtherProcesses()
    machine.processors = [Times(user=0.02)] * 4
    assert others.share(0.02) == 0.0


def test_where_it_is_not_known_nothing_is_claimed(machine):
    others = OtherProcesses()
    machine.processors = [Times(user=10)]  # fewer than there should be
    assert others.share(10.0) == 0.0
    machine.LINUX = False
    assert OtherProcesses().share(10.0) == 0.0


def test_a_share_of_this_machine_is_a_share():
    assert 0.0 <= OtherProcesses().share(1.0) <= 1.0
