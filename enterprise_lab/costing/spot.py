"""The bill of a run on the spot market."""

from __future__ import annotations

from enterprise_lab import catalog
from enterprise_lab.costing.on_demand import MOST_INSTANCES
from enterprise_lab.errors import InvalidValueError, require_positive, require_whole
from enterprise_lab.estimate import Estimate
from enterprise_lab.units import HOUR


def spot(seconds: Estimate, instance: str, *, instances: int = 1) -> Estimate:
    """Dollars for `instances` EC2 instances during `seconds`, at the spot price.

    The value is at the median price over the region's availability zones. The range is from the
    least time in the cheapest zone to the most time in the dearest, on the day of the prices:
    it is as sure as the seconds' own, whatever the zone. Seconds without a range are taken as
    exact, and the source says so.

    A spot instance may be taken away at two minutes' notice: what is then run again has to be in
    `seconds`. Storage, traffic and taxes are not in the bill.

    Raises LabError for an unknown instance or one without a known spot price.
    """
    if not isinstance(seconds, Estimate) or seconds.unit != "s":
        raise InvalidValueError(
            f"A bill is for estimated seconds, not for {seconds!r}.",
            "Give training_seconds of an estimate, or estimate.Estimate(3600, 's', 'why').",
        )
    require_positive(seconds=seconds.value)
    require_whole("instances", instances, MOST_INSTANCES)
    price = catalog.spot_price(instance)
    hours = instances / HOUR
    low, high = (seconds.value if end is None else end for end in (seconds.low, seconds.high))
    return Estimate(
        seconds.value * hours * price.median_usd_per_hour,
        "USD",
        _source(seconds, price, instances),
        low * hours * price.low_usd_per_hour,
        high * hours * price.high_usd_per_hour,
    )


def _source(seconds: Estimate, price: catalog.SpotPrice, instances: int) -> str:
    mark = ", unverified" if price.unverified else ""
    exact = "" if seconds.range else "; the range is that of the price alone"
    return (
        f"{instances} x {price.instance} at a spot price of ${price.median_usd_per_hour:,.4g}"
        f" an hour, ${price.low_usd_per_hour:,.4g} to ${price.high_usd_per_hour:,.4g} over"
        f" {price.zones} zones ({price.region}, {price.date}{mark}){exact}"
    )
