"""Nodes: how many accelerators share a chassis, and what network each has out of it."""

from __future__ import annotations

from functools import cache
from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from enterprise_lab.catalog.ec2 import Instance
from enterprise_lab.catalog.hardware import Accelerator
from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Row, read
from enterprise_lab.errors import LabError

BITS = 8


class Node(Row):
    """Accelerators in one chassis; `network_gbps` is each one's part of the network, one way."""

    accelerator: str
    devices: PositiveInt
    network_gbps: PositiveFloat = Field(description="Gbit/s for each accelerator")

    identity: ClassVar[tuple[str, ...]] = ("accelerator",)
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Accelerator", "accelerator"),
        Figure("Devices in a node", "devices"),
        Figure("Network a device, Gbit/s", "network_gbps", lambda rate: f"{rate:g}"),
    )

    @property
    def network_bytes_per_second(self) -> float:
        """Bytes/s each device can send out of the node."""
        return self.network_gbps * 1e9 / BITS


@cache
def _all() -> dict[str, Node]:
    return {row.accelerator: row for row in read(DATA / "nodes.csv", Node)}


def node_of(chip: Accelerator) -> Node:
    """Return the usual node of a chip: the maker's own, or the largest EC2 instance with it.

    A chip of no catalogue is alone in its node, on a network of 10 Gbit/s.
    """
    alone = Node(accelerator=chip.name, devices=1, network_gbps=10, source="assumed")
    return _all().get(chip.name, alone)


def node_of_instance(instance: Instance) -> Node:
    """Return an EC2 instance as a node; LabError without a whole accelerator."""
    count = instance.accelerator_count
    if not instance.accelerator or not count or count < 1:
        raise LabError(
            f"{instance.name} has no whole accelerator the catalogue knows.",
            "Choose an instance with at least one.",
        )
    return Node(
        accelerator=instance.accelerator,
        devices=int(count),
        network_gbps=(instance.network_gbps or 10) / count,
        source=instance.source,
    )
