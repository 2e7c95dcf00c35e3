"""Fitting the time model to speeds that were published or measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from enterprise_lab.estimate.calibration import BY_STACK, Calibration
from enterprise_lab.estimate.observations import Observations

Floats = npt.NDArray[np.float64]
ROW_SPREAD = 0.05
"""Typical error, as a logarithm, of the time model on a row: what priors are weighed against."""
OUTLIER = 0.2
"""Logarithmic error from which on a row pulls ever less: sources contradict each other by that."""


@dataclass(frozen=True)
class Prior:
    """What is known of a figure before any speed is seen: its value, and a factor either way."""

    value: float
    factor: float


_MATMUL = {"fp32": Prior(0.95, 1.05), "tf32": Prior(0.95, 1.05), "16 bit": Prior(0.9, 1.1),
           "8 bit": Prior(0.85, 1.15)}  # fmt: skip
_STACK = {
    "LLM training": (Prior(1.0, 1.05), Prior(50e-6, 3), Prior(20e-3, 3)),
    "encoder training": (Prior(1.5, 1.5), Prior(200e-6, 3), Prior(20e-3, 3)),
    "CNN training": (Prior(1.0, 1.5), Prior(20e-6, 3), Prior(10e-3, 3)),
    "encoder inference": (Prior(1.5, 1.5), Prior(200e-6, 3), Prior(1e-3, 3)),
    "CNN inference": (Prior(1.0, 1.5), Prior(60e-6, 3), Prior(1e-3, 3)),
    "generation": (Prior(1.0, 1.5), Prior(50e-6, 3), Prior(1e-3, 3)),
    "Neuron": (Prior(0.5, 3), Prior(50e-6, 3), Prior(1e-3, 3)),
    "CPU training": (Prior(1.0, 3), Prior(100e-6, 3), Prior(1e-3, 3)),
    "CPU inference": (Prior(1.0, 3), Prior(100e-6, 3), Prior(1e-3, 3)),
    "CPU decoding": (Prior(1.0, 3), Prior(100e-6, 3), Prior(1e-3, 3)),
    "CPU image training": (Prior(1.0, 3), Prior(20e-6, 3), Prior(1e-3, 3)),
    "CPU image inference": (Prior(1.0, 3), Prior(20e-6, 3), Prior(1e-3, 3)),
}
_PROCESSOR = {"matmul_share": Prior(0.8, 1.5), "half_size": Prior(20, 3),
              "memory_share": Prior(1.0, 1.5), "flash_share": Prior(0.3, 2),
              "score_traffic": Prior(1.0, 2)}  # fmt: skip
PRIORS: Mapping[str, Prior] = {
    "half_size": Prior(60, 2),
    "memory_share": Prior(0.83, 1.08),
    "flash_share": Prior(0.45, 1.5),
    "score_traffic": Prior(1.0, 1.3),
    "cache_share": Prior(0.75, 1.15),
    "vector_share": Prior(0.3, 3),
    "link_share": Prior(0.75, 1.15),
    "network_share": Prior(0.75, 1.3),
    "gather_share": Prior(0.4, 3),
    "overlap_loss": Prior(0.3, 3),
    "link_hop_seconds": Prior(3e-6, 2),
    "network_hop_seconds": Prior(8e-6, 2),
    "matmul_share, Neuron": Prior(0.6, 1.5),
    "memory_share, Neuron": Prior(5.0, 3),
    **{
        f"{name}, CPU {work}": prior
        for work in ("training", "inference", "decoding", "image training", "image inference")
        for name, prior in _PROCESSOR.items()
    },
    "mask_seconds, CPU training": Prior(5e-9, 3),
    **{f"matmul_share, {name}": prior for name, prior in _MATMUL.items()},
    **{
        f"{name}, {stack}": prior
        for stack, priors in _STACK.items()
        for name, prior in zip(BY_STACK, priors, strict=True)
    },
}
"""From data sheets, the counts of memory traffic, and what collectives and kernels usually reach;
wide where nothing is known. They decide what no row speaks of."""


def fit(
    observations: Sequence[Observations],
    usable: Sequence[npt.NDArray[np.bool_] | None] | None = None,
    start: Calibration | None = None,
) -> Calibration:
    """Fit every figure to the usable rows of the observations, by least squares with priors.

    Errors are logarithms of predicted over observed seconds, weighed less and less beyond
    `OUTLIER`. With no row at all the priors come back. A `start` near the answer saves time.
    """
    names = list(PRIORS)
    middle = np.log([PRIORS[name].value for name in names])
    spread = np.log([PRIORS[name].factor for name in names])

    def residuals(point: Floats) -> Floats:
        calibration = Calibration(dict(zip(names, np.exp(point), strict=True)))
        errors = [
            np.log(rows.predict(calibration) / rows.observed)[slice(None) if use is None else use]
            for rows, use in zip(observations, usable or [None] * len(observations), strict=True)
            if use is None or use.any()
        ]
        bounded = OUTLIER / ROW_SPREAD * np.arctan(np.concatenate(errors) / OUTLIER)
        return np.concatenate([bounded, (point - middle) / spread])

    from scipy.optimize import least_squares

    first = np.log([start.figures[name] for name in names]) if start else middle
    found = least_squares(residuals, first, x_scale=spread, ftol=1e-6)
    return Calibration(dict(zip(names, np.exp(found.x).tolist(), strict=True)))
