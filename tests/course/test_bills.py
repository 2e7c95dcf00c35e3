"""Bills of a training here and elsewhere."""

import pytest

from enterprise_lab import catalog
from enterprise_lab.course import bills
from enterprise_lab.errors import LabError
from enterprise_lab.measure.energy import Energy
from enterprise_lab.measure.records import Origin
from enterprise_lab.training.run import Epoch, Run
from enterprise_lab.training.small_cnn import SmallCNN

CNN = SmallCNN().shape


def elsewhere(chip, steps=300, batch=64):
    return bills.elsewhere(CNN, chip, image_size=8, batch=batch, steps=steps)


def test_elsewhere_is_so_many_steps_at_the_price_of_the_smallest_instance():
    one = elsewhere("A100-SXM4-40GB", steps=10**6)
    step, precision = bills.step_elsewhere(CNN, "A100-SXM4-40GB", image_size=8, batch=64)
    assert (one.origin, precision, one.instance.name) == (Origin.ESTIMATED, "bf16", "p4d.24xlarge")
    assert one.seconds == pytest.approx([1e6 * s for s in (step.value, step.low, step.high)])
    usd_per_hour = catalog.price("p4d.24xlarge").usd_per_hour
    assert one.usd.value == pytest.approx(one.seconds.value / 3600 * usd_per_hour)
    _, joules, low, high, origin = one.joules
    assert joules == pytest.approx(400 * one.seconds.value)  # the board's watts
    assert low < joules < high
    assert origin == Origin.ESTIMATED


def test_a_minute_is_billed_at_least():
    one = elsewhere("T4", steps=1)
    assert one.seconds.high < 60
    assert one.usd == pytest.approx([catalog.price("g4dn.xlarge").usd_per_hour / 60] * 3)


def test_a_chip_that_ec2_has_not_costs_no_dollars_there():
    one = elsewhere("TPU v3")
    assert one.instance is one.usd is None
    assert bills.dollars([one]) == []


@pytest.mark.parametrize("steps", [0, -1, 2.5])
def test_steps_that_cannot_be_are_refused(steps):
    with pytest.raises(LabError):
        elsewhere("T4", steps=steps)


def test_the_bill_of_a_run_is_that_of_the_clock():
    run = Run("PyTorch", "a processor", 0.9, (Epoch(1, 90.0, 0.95, 0.1),), 0.1, 22, 64)
    energy = Energy(joules=630.0, origin=Origin.ESTIMATED, source="test", seconds=90.0)
    one = bills.of_run(run, energy, catalog.instance("c5.large"))
    assert one.origin == Origin.MEASURED
    assert one.usd.value == pytest.approx(90 / 3600 * catalog.price("c5.large").usd_per_hour)
    assert bills.joules([one]) == [("a processor", 630.0, 630.0, 630.0, Origin.ESTIMATED)]
    assert bills.dollars([one])[0][0] == "a processor (c5.large)"


@pytest.mark.parametrize(
    ("cores", "name"), [(1, "c5.large"), (2, "c5.large"), (3, "c5.xlarge"), (50, "c5.18xlarge")]
)
def test_a_processor_is_matched_by_the_cheapest_steady_instance_with_its_cores(cores, name):
    assert bills.matching_instance(cores).name == name


def test_more_cores_than_any_instance_has_are_not_for_rent():
    assert bills.matching_instance(1000) is None
