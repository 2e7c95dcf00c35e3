"""The on-demand bill of a run."""

from __future__ import annotations

from datetime import date

from enterprise_lab import catalog
from enterprise_lab.errors import InvalidValueError, require_positive, require_whole
from enterprise_lab.estimate import Estimate
from enterprise_lab.units import HOUR

MOST_INSTANCES = 1_000_000


def on_demand(
    seconds: Estimate, instance: str, *, instances: int = 1, on: date | None = None
) -> Estimate:
    """Dollars for `instances` EC2 instances during `seconds`, at the on-demand price.

    The price is for a whole instance with all its accelerators, and the newest one not later
    than `on` (None: the newest). Storage, traffic and taxes are not in it. Linux instances are
    billed by the second: aws.amazon.com/ec2/pricing/on-demand.

    Raises LabError for an unknown instance or one without a known price.
    """
    if not isinstance(seconds, Estimate) or seconds.unit != "s":
        raise InvalidValueError(
            f"A bill is for estimated seconds, not for {seconds!r}.",
            "Give training_seconds of an estimate, or estimate.Estimate(3600, 's', 'why').",
        )
    require_positive(seconds=seconds.value)
    require_whole("instances", instances, MOST_INSTANCES)
    price = catalog.price(instance, on=on)
    mark = ", unverified" if price.unverified else ""
    source = (
        f"{instances} x {catalog.instance(instance).name}"
        f" at ${price.usd_per_hour:,.4g} an hour ({price.region}, {price.date}{mark})"
    )
    return seconds.scaled(instances * price.usd_per_hour / HOUR, "USD", source)
