"""The bill on the spot market: its value, its range, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog, costing
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import Estimate
from enterprise_lab.units import HOUR

PRICED = [row.instance for row in catalog.spot_prices()]
SECONDS = st.floats(1e-3, 1e9)


def test_the_bill_is_the_median_price_and_the_range_of_time_and_price_together():
    ten_hours = Estimate(10 * HOUR, "s", "a test", 5 * HOUR, 20 * HOUR)
    cost = costing.spot(ten_hours, "p4d", instances=3)
    assert (cost.low, cost.value, cost.high) == pytest.approx(
        (15 * 6.5323, 30 * 9.8979, 60 * 13.9933)
    )
    assert cost.unit == "USD"
    assert cost.source == (
        "3 x p4d.24xlarge at a spot price of $9.898 an hour, $6.532 to $13.99 over 4 zones"
        " (us-east-1, 2026-07-20, unverified)"
    )


def test_exact_seconds_leave_the_range_of_the_price():
    cost = costing.spot(Estimate(HOUR, "s", "a test"), "p5.48xlarge")
    assert (cost.low, cost.value, cost.high) == pytest.approx((16.9508, 18.6838, 55.04))
    assert cost.source.endswith("the range is that of the price alone")


@given(st.sampled_from(PRICED), st.tuples(SECONDS, SECONDS, SECONDS), st.integers(1, 1000))
def test_the_range_holds_the_bill_of_every_zone_and_grows_with_the_instances(name, ends, instances):
    low, value, high = sorted(ends)
    seconds = Estimate(value, "s", "a test", low, high)
    cost, one = costing.spot(seconds, name, instances=instances), costing.spot(seconds, name)
    price = catalog.spot_price(name)
    for usd_per_hour in (price.low_usd_per_hour, price.median_usd_per_hour):
        for duration in (low, value, high):
            bill = instances * duration / HOUR * usd_per_hour
            assert cost.low * (1 - 1e-9) <= bill <= cost.high * (1 + 1e-9)
    assert cost.low <= cost.value <= cost.high
    for end in ("low", "value", "high"):
        assert getattr(cost, end) == pytest.approx(instances * getattr(one, end))


@given(st.sampled_from([name for name in PRICED if catalog.prices(name)]), SECONDS)
def test_a_spot_bill_is_never_above_the_on_demand_one(name, duration):
    seconds = Estimate(duration, "s", "a test")
    assert costing.spot(seconds, name).high <= costing.on_demand(seconds, name).value * (1 + 1e-9)


@pytest.mark.parametrize(
    ("seconds", "name", "instances", "problem"),
    [
        (HOUR, "p9.huge", 1, "no EC2 instance"),
        (HOUR, "g4dn.4xlarge", 1, "not in the catalogue"),
        (HOUR, "p4d", 0, "instances must be"),
        (HOUR, "p4d", 1.5, "instances must be"),
        (-1, "p4d", 1, "seconds must be"),
    ],
)
def test_a_bill_that_cannot_be_is_refused(seconds, name, instances, problem):
    with pytest.raises(LabError, match=problem):
        costing.spot(Estimate(seconds, "s", "a test"), name, instances=instances)


@pytest.mark.parametrize("seconds", [3600, None, Estimate(16e9, "B", "memory, by mistake")])
def test_a_bill_is_for_estimated_seconds(seconds):
    with pytest.raises(LabError, match="training_seconds"):
        costing.spot(seconds, "p4d.24xlarge")
