"""EC2 instances, what an hour of them costs, and what AWS has retired."""

from __future__ import annotations

import difflib
from datetime import date, datetime
from functools import cache
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from enterprise_lab.catalog import names
from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Gibibytes, Listing, Row, read
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.units import GIB


class Price(Row):
    """What an instance cost an hour, on demand with Linux, on a day and in a region."""

    instance: str
    usd_per_hour: PositiveFloat
    date: date
    region: str
    market: Literal["on_demand"]

    identity: ClassVar[tuple[str, ...]] = ("instance", "date", "region", "market")
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Instance", "instance"),
        Figure("Price, USD/h", "usd_per_hour", lambda usd: f"{usd:,.4f}"),
        Figure("On", "date"),
        Figure("Region", "region"),
        Figure("Market", "market", lambda market: market.replace("_", " ")),
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.4g} GiB"


def _dated(price: Price) -> str:
    guess = " (unverified)" if price.unverified else ""
    return f"{price.usd_per_hour:,.4f} on {price.date}{guess}"


class Instance(Row):
    """An EC2 instance type; a figure that is not known is None.

    `accelerator` is the catalogue's name of the chip, or EC2's text where the catalogue has no
    rates of it. `accelerator_count` is below one where the instance has a slice of a chip;
    `accelerator_memory_bytes` is what the instance sees of each.
    """

    name: str
    family: str
    accelerator: str | None = None
    accelerator_count: NonNegativeFloat | None = None
    accelerator_memory_bytes: Gibibytes | None = Field(
        default=None, validation_alias="accelerator_memory_gib"
    )
    vcpus: PositiveInt | None = None
    memory_bytes: Gibibytes | None = Field(default=None, validation_alias="memory_gib")
    network_gbps: PositiveFloat | None = None
    intra_node_link: str | None = None
    status: Literal["current", "retired", "retiring"]
    replaced_by: str | None = None

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Instance", "name"),
        Figure("Family", "family", brief=False),
        Figure("Accelerator", "accelerator"),
        Figure("Count", "accelerator_count", lambda count: f"{count:g}"),
        Figure("Memory of each", "accelerator_memory_bytes", _gib),
        Figure("vCPUs", "vcpus"),
        Figure("Memory", "memory_bytes", _gib),
        Figure("Network", "network_gbps", lambda rate: f"{rate:g} Gbit/s", brief=False),
        Figure("Link between accelerators", "intra_node_link", brief=False),
        Figure("On demand in us-east-1, USD/h", "latest_price", _dated),
        Figure("Status", "status"),
        Figure("Replaced by", "replaced_by", brief=False),
    )

    @property
    def latest_price(self) -> Price | None:
        """The newest on-demand price in us-east-1."""
        return max(prices(self.name), key=lambda price: price.date, default=None)


class Retired(Row):
    """An offering that courses still name: what it was, when it ended, what to use instead."""

    name: str
    was: str
    ended: Annotated[str, Field(min_length=1)]
    replaced_by: str

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Offering", "name"),
        Figure("What it was", "was"),
        Figure("Ended", "ended"),
        Figure("Replaced by", "replaced_by"),
    )

    @property
    def verified(self) -> bool:
        """Whether every statement was read in the source."""
        return not self.unverified


@cache
def _instances() -> dict[str, Instance]:
    return {row.name: row for row in read(DATA / "instances.csv", Instance)}


@cache
def _prices() -> tuple[Price, ...]:
    return read(DATA / "prices.csv", Price)


@cache
def _retired() -> tuple[Retired, ...]:
    return read(DATA / "retired.csv", Retired)


def instance(name: str) -> Instance:
    """Look up an instance type: `instance("p4d")` is p4d.24xlarge, the only size.

    Raises UnknownNameError or AmbiguousNameError, both listing near names.
    """
    return _instances()[names.find("EC2 instance", name, _instances())]


def instances(
    text: str = "",
    family: str | None = None,
    accelerator: str | None = None,
    minimum_accelerators: float = 0,
    include_retired: bool = False,
) -> Listing[Instance]:
    """List the instance types that mention `text` and meet the rest.

    Raises UnknownNameError for a family or accelerator of no instance.
    """
    rows = [
        row
        for row in _instances().values()
        if names.mentions(text, row.name, row.accelerator)
        and (row.accelerator_count or 0) >= minimum_accelerators
        and (include_retired or row.status != "retired")
    ]
    if family is not None:
        family = names.find("instance family", family, {r.family for r in _instances().values()})
        rows = [row for row in rows if row.family == family]
    if accelerator is not None:
        chips = dict.fromkeys(r.accelerator for r in _instances().values() if r.accelerator)
        wanted = names.find_all("accelerator of an EC2 instance", accelerator, chips)
        rows = [row for row in rows if row.accelerator in wanted]
    return Listing(rows)


def prices(instance_name: str, region: str = "us-east-1") -> Listing[Price]:
    """List the known on-demand prices of an instance type in a region, oldest first."""
    name = instance(instance_name).name
    rows = [row for row in _prices() if row.instance == name and row.region == region]
    return Listing(sorted(rows, key=lambda row: row.date))


def price(instance_name: str, on: date | None = None, region: str = "us-east-1") -> Price:
    """Look up the newest on-demand price of an instance type, not later than the day `on`.

    Raises InvalidValueError where `on` is not a date, and LabError where no price is known.
    """
    if on is not None and not isinstance(on, date):
        raise InvalidValueError(f"on must be a date, not {on!r}.", "Give a datetime.date.")
    day = on.date() if isinstance(on, datetime) else on or date.max
    wanted = instance(instance_name)
    known = prices(wanted.name, region)
    if before := [row for row in known if row.date <= day]:
        return before[-1]
    if known:
        raise LabError(
            f"No price of {wanted.name} in {region} is known from {day} or before.",
            f"The oldest one known is of {known[0].date}.",
        )
    raise LabError(
        f"No on-demand price of {wanted.name} in {region} is known.",
        f"Near instances that have one: {', '.join(_near_with_price(wanted, region))}."
        if any(row.region == region for row in _prices())
        else f"Regions with prices: {', '.join(sorted({row.region for row in _prices()}))}.",
    )


def _near_with_price(wanted: Instance, region: str) -> list[str]:
    def nearness(other: str) -> tuple[bool, float]:
        same_chip = _instances()[other].accelerator == wanted.accelerator
        return same_chip, difflib.SequenceMatcher(None, wanted.name, other).ratio()

    priced = {row.instance for row in _prices() if row.region == region}
    return sorted(priced, key=nearness, reverse=True)[:3]


def retired(text: str = "") -> Listing[Retired]:
    """List the retired offerings that mention `text`, and what replaced them."""
    return Listing(row for row in _retired() if names.mentions(text, row.name, row.was))
