"""Seconds of collective communication: latency and bandwidth over links and network."""

from __future__ import annotations

import numpy as np

from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.model_dimensions import Figures
from enterprise_lab.estimate.system import System


def ring_rate(
    devices: Figures, stride: Figures, system: System, fitted: Coefficients, share: Figures
) -> Figures:
    """Bytes/s through a ring of devices that lie `stride` places apart.

    Inside a node the link decides. Beyond it, every device of the ring in a node lends its part
    of the network, up to the link's rate; `share` is what of the network is reached.
    """
    together = np.clip(system.node_devices / stride, 1, devices)
    inside = system.link * fitted.link_share
    beyond = np.minimum(inside, together * system.network * share)
    return np.where(devices * stride <= system.node_devices, inside, beyond)


def all_gather_seconds(
    whole_bytes: Figures, devices: Figures, rate: Figures, fitted: Coefficients
) -> Figures:
    """Seconds until every device of a ring has all of `whole_bytes`, of which each held a part.

    A reduce-scatter takes the same (Thakur et al. 2005).
    """
    others = devices - 1
    return whole_bytes * others / (devices * rate) + others * fitted.hop_seconds


def all_reduce_seconds(
    whole_bytes: Figures, devices: Figures, rate: Figures, fitted: Coefficients
) -> Figures:
    """Seconds until every device has the sum of what each has of `whole_bytes`.

    Moves as much as a reduce-scatter and an all-gather, up and down a tree that is as deep as
    the logarithm of the devices (Sanders et al. 2009).
    """
    moved = 2 * whole_bytes * (devices - 1) / (devices * rate)
    return moved + 2 * np.log2(devices) * fitted.hop_seconds


def exposed(communication: Figures, computation: Figures, fitted: Coefficients) -> Figures:
    """Seconds that communication adds to what it hides behind: the rest, and some of the hidden."""
    hidden = np.minimum(computation, communication)
    return communication - hidden + fitted.overlap_loss * hidden
