"""Seconds of single operations on one device: a roofline with an achievable-rate curve."""

from __future__ import annotations

import numpy as np

from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.model_dimensions import Figures
from enterprise_lab.estimate.system import System


def matmul_seconds(
    m: Figures,
    k: Figures,
    n: Figures,
    system: System,
    fitted: Coefficients,
    *,
    weight_bytes: Figures | None = None,
    input_elements: Figures | None = None,
) -> Figures:
    """Seconds to multiply an m x k matrix of activations by k x n weights.

    The slower of arithmetic and memory traffic (Williams et al. 2009). The arithmetic rate falls
    with every small size, as tiles, waves and pipelines of the chip fill less well:
    rate / (1 + half_size (1/m + 1/k + 1/n)). A convolution reads `input_elements`, fewer than m k.
    """
    rate = np.minimum(system.matmul_flops * fitted.matmul_share, system.most_flops)
    small = 1 + fitted.half_size * (1 / m + 1 / k + 1 / n)
    element = system.element_bytes
    weights = element if weight_bytes is None else weight_bytes
    inputs = m * k if input_elements is None else input_elements
    traffic = element * (inputs + m * n) + weights * (k * n)
    return np.maximum(
        2 * m * k * n * small / rate, traffic / (system.bandwidth * fitted.memory_share)
    )


def streaming_seconds(moved_bytes: Figures, system: System, fitted: Coefficients) -> Figures:
    """Seconds to read and write so many bytes in order."""
    return moved_bytes / (system.bandwidth * fitted.memory_share)
