"""Seconds of collective communication: latency and bandwidth over links and network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.model_dimensions import Figures
from enterprise_lab.estimate.system import System


@dataclass(frozen=True)
class Ring:
    """Devices that exchange what they have, one after another or up and down a tree."""

    devices: Figures
    rate: Figures
    """Bytes/s through each device."""
    step_seconds: Figures
    """Latency from one device to the next, on average round the ring."""
    tree_seconds: Figures
    """Latency from the leaves of a tree of them to its root."""


def ring(
    devices: Figures, stride: Figures, system: System, fitted: Coefficients, share: Figures
) -> Ring:
    """Return a ring of devices that lie `stride` places apart.

    Inside a node the link decides. Beyond it, every device of the ring in a node lends its part
    of the network, up to the link's rate; `share` is what of the network is reached. One step in
    as many as a node has of the ring's devices goes over the network.
    """
    together = np.clip(system.node_devices / stride, 1, devices)
    crosses = devices * stride > system.node_devices
    inside = system.link * fitted.link_share
    beyond = np.minimum(inside, together * system.network * share)
    link, network = fitted.link_hop_seconds, fitted.network_hop_seconds
    return Ring(
        devices=devices,
        rate=np.where(crosses, beyond, inside),
        step_seconds=link + np.where(crosses, (network - link) / together, 0.0),
        tree_seconds=np.log2(together) * link + np.log2(devices / together) * network,
    )


def all_gather_seconds(whole_bytes: Figures, ring: Ring) -> Figures:
    """Seconds until every device of a ring has all of `whole_bytes`, of which each held a part.

    A reduce-scatter takes the same (Thakur et al. 2005).
    """
    others = ring.devices - 1
    return whole_bytes * others / (ring.devices * ring.rate) + others * ring.step_seconds


def all_reduce_seconds(whole_bytes: Figures, ring: Ring) -> Figures:
    """Seconds until every device has the sum of what each has of `whole_bytes`.

    Moves as much as a reduce-scatter and an all-gather, up and down a tree that is as deep as
    the logarithm of the devices (Sanders et al. 2009).
    """
    moved = 2 * whole_bytes * (ring.devices - 1) / (ring.devices * ring.rate)
    return moved + 2 * ring.tree_seconds


def exposed(communication: Figures, computation: Figures, fitted: Coefficients) -> Figures:
    """Seconds that communication adds to what it hides behind: the rest, and some of the hidden."""
    hidden = np.minimum(computation, communication)
    return communication - hidden + fitted.overlap_loss * hidden
