"""What an hour of an EC2 instance costs on the spot market, and how far zones differ.

The source is a snapshot that prints no day of its own. It is of July 2026, so its rows are dated
to the day of the on-demand prices they are held against, and that date is marked unverified.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import ClassVar

from pydantic import PositiveFloat, PositiveInt, model_validator

from enterprise_lab.catalog.ec2 import instance
from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, Row, read
from enterprise_lab.errors import LabError


def _usd(price: float) -> str:
    return f"{price:,.4f}"


class SpotPrice(Row):
    """What an instance cost an hour on the spot market with Linux, over a region's zones.

    `zones` is how many availability zones had a price: the lowest, the median (of an even number
    the mean of the middle two) and the highest are over these.
    """

    instance: str
    low_usd_per_hour: PositiveFloat
    median_usd_per_hour: PositiveFloat
    high_usd_per_hour: PositiveFloat
    zones: PositiveInt
    date: date
    region: str

    identity: ClassVar[tuple[str, ...]] = ("instance",)
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Instance", "instance"),
        Figure("Spot price, lowest zone, USD/h", "low_usd_per_hour", _usd),
        Figure("Median zone, USD/h", "median_usd_per_hour", _usd),
        Figure("Highest zone, USD/h", "high_usd_per_hour", _usd),
        Figure("Zones", "zones"),
        Figure("On", "date"),
        Figure("Region", "region"),
    )

    @model_validator(mode="after")
    def _check_order(self) -> SpotPrice:
        if not self.low_usd_per_hour <= self.median_usd_per_hour <= self.high_usd_per_hour:
            raise ValueError("the lowest, the median and the highest price are not in this order")
        return self


@cache
def _spot_prices() -> dict[str, SpotPrice]:
    return {row.instance: row for row in read(DATA / "spot_prices.csv", SpotPrice)}


def spot_prices() -> Listing[SpotPrice]:
    """List the instance types whose spot prices are known, with the spread over zones."""
    return Listing(_spot_prices().values())


def spot_price(instance_name: str) -> SpotPrice:
    """Look up the spot price of an instance type with its spread over availability zones.

    It is a snapshot: spot prices follow supply and demand, and move within days.

    Raises UnknownNameError or AmbiguousNameError for a name of no or several instance types, and
    LabError for one whose spot price is not known.
    """
    name = instance(instance_name).name
    if name not in _spot_prices():
        raise LabError(
            f"Spot prices of {name} are not in the catalogue.",
            "Look them up in the EC2 console under Spot Requests, Pricing history, or with"
            f" `aws ec2 describe-spot-price-history --instance-types {name}"
            " --product-descriptions Linux/UNIX`.",
        )
    return _spot_prices()[name]
