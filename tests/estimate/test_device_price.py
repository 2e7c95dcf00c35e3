"""What an hour of a device costs: the catalogue's cheapest share of an instance."""

import pytest

from enterprise_lab import catalog
from enterprise_lab.estimate.device_price import device_price


def test_the_cheapest_share_of_an_instance():
    chip = catalog.accelerator("T4")
    shares = {
        instance.name: instance.latest_price.usd_per_hour / instance.accelerator_count
        for instance in catalog.instances()
        if instance.accelerator == "T4"
    }
    assert device_price(chip).usd_per_hour == pytest.approx(min(shares.values()))
    assert min(shares, key=shares.get) in device_price(chip).source


def test_a_node_of_several_is_priced_as_one():
    chip = catalog.accelerator("T4")
    assert "1/8 of g4dn.metal" in device_price(chip, at_least=8).source
    assert device_price(chip, at_least=8).usd_per_hour > device_price(chip).usd_per_hour
    assert device_price(chip, at_least=1000) == device_price(chip, at_least=8)


def test_no_price_for_what_nobody_rents():
    assert device_price(catalog.accelerator("RTX 4090")) is None
