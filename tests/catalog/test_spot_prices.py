"""Spot prices: what is known, how it lies to on-demand prices, and what is said where it isn't."""

from datetime import date

import pytest

from enterprise_lab import catalog
from enterprise_lab.errors import LabError, UnknownNameError


def test_a_spot_price_has_its_spread_over_zones_with_date_and_source():
    row = catalog.spot_price("p4d")
    assert row.instance == "p4d.24xlarge"
    prices = (row.low_usd_per_hour, row.median_usd_per_hour, row.high_usd_per_hour)
    assert prices == (6.5323, 9.8979, 13.9933)
    assert (row.zones, row.region, row.date) == (4, "us-east-1", date(2026, 7, 20))
    assert row.unverified == {"date"}
    assert "https://" in row.source


@pytest.mark.parametrize("row", catalog.spot_prices(), ids=lambda row: row.instance)
def test_prices_are_in_order_and_none_is_above_on_demand(row):
    assert row.low_usd_per_hour <= row.median_usd_per_hour <= row.high_usd_per_hour
    assert catalog.instance(row.instance).name == row.instance
    known = catalog.prices(row.instance, row.region)
    if not known:
        assert "No on-demand price" in row.note
    elif row.high_usd_per_hour < known[-1].usd_per_hour:
        assert "on-demand" not in row.note
    else:
        assert row.high_usd_per_hour == known[-1].usd_per_hour
        assert "The highest is the on-demand price" in row.note


def test_a_zone_may_give_no_discount():
    row = catalog.spot_price("p5.48xlarge")
    assert row.high_usd_per_hour == catalog.price("p5.48xlarge").usd_per_hour
    assert row.high_usd_per_hour / row.low_usd_per_hour == pytest.approx(3.25, abs=0.01)


def test_a_family_that_is_retiring_is_noted():
    retiring = [
        row for row in catalog.spot_prices() if catalog.instance(row.instance).status == "retiring"
    ]
    assert [row.instance for row in retiring] == ["p3.2xlarge", "p3.8xlarge", "p3.16xlarge"]
    assert all("retiring" in row.note for row in retiring)


def test_where_no_spot_price_is_known_it_says_where_to_look():
    with pytest.raises(LabError) as refused:
        catalog.spot_price("g4dn.4xlarge")
    assert refused.value.problem == "Spot prices of g4dn.4xlarge are not in the catalogue."
    assert "describe-spot-price-history --instance-types g4dn.4xlarge" in refused.value.remedy


def test_an_unknown_instance_is_refused_with_near_names():
    with pytest.raises(UnknownNameError, match="Near names"):
        catalog.spot_price("p9.huge")


def test_an_instance_s_card_shows_its_spot_price(capsys):
    from rich.console import Console

    from enterprise_lab.catalog.console import RowCard

    Console(width=120).print(RowCard(catalog.instance("g5.2xlarge")))
    shown = capsys.readouterr().out
    assert "Spot price, lowest zone, USD/h" in shown
    assert "0.4859" in shown
