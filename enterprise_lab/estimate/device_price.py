"""What an hour of one device costs, from the catalogue's on-demand prices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator
from enterprise_lab.units import format_usd


@dataclass(frozen=True)
class DevicePrice:
    """Dollars for one device and hour, and where the price is from."""

    usd_per_hour: float
    source: str


def device_price(chip: Accelerator, at_least: int = 1) -> DevicePrice | None:
    """Return the cheapest on-demand price of a chip's share of an EC2 instance.

    Instances with fewer than `at_least` of the chip count only where none has as many; of equally
    cheap ones the largest is named. None where the catalogue has no price of such an instance.
    """
    offers = _offers().get(chip.name)
    if not offers:
        return None
    most = max(count for count, _ in offers)
    large = [(count, price) for count, price in offers if count >= min(at_least, most)]
    count, price = min(large, key=lambda offer: (offer[1].usd_per_hour / offer[0], -offer[0]))
    mark = ", unverified" if price.unverified else ""
    return DevicePrice(
        price.usd_per_hour / count,
        f"1/{count:g} of {price.instance}, {format_usd(price.usd_per_hour)} an hour on demand"
        f" ({price.region}, {price.date}{mark})",
    )


@cache
def _offers() -> dict[str, list[tuple[float, catalog.Price]]]:
    """How many of each chip instances have, and their latest prices."""
    offers: dict[str, list[tuple[float, catalog.Price]]] = {}
    for instance in catalog.instances():
        count, price = instance.accelerator_count or 0, instance.latest_price
        if instance.accelerator and count >= 1 and price:
            offers.setdefault(instance.accelerator, []).append((count, price))
    return offers
