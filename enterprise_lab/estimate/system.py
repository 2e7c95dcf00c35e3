"""What devices can do at one precision, and how they are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from enterprise_lab.catalog import Accelerator, accelerator
from enterprise_lab.catalog.nodes import Node, node_of
from enterprise_lab.estimate.model_dimensions import Figures

ELEMENT_BYTES = {"fp32": 4.0, "tf32": 4.0, "fp16": 2.0, "bf16": 2.0, "fp8": 2.0, "int8": 2.0}
"""Bytes of an activation; what is computed in 8 bits is kept in 16 between the products."""
MEASURED_SHARE = 0.87
"""Best measured matrix rate over peak where nobody measured the chip: what an A100 reaches."""

SAME_PROCESS = {
    "T4": "V100-SXM2-16GB",
    "L4": "H100-SXM5-80GB",
    "H100-SXM-96GB-500W (torchtitan)": "H100-SXM5-80GB",
}
"""Chips that can't feed their peak, and one made by the same process that nearly can: the same
energy for an operation (half of it in 8 bits), so the power of the small one bounds its rate."""


@dataclass(frozen=True)
class System:
    """Rates in FLOP/s and bytes/s of one device; each field a number, or one for each case."""

    most_flops: Figures
    """What no product exceeds: the peak; without bound on a processor, whose peak is a measured
    one that other ways to multiply can beat."""
    matmul_flops: Figures
    """Best rate of a large matrix product: the datasheet's peak less what nobody ever reached."""
    attention_flops: Figures
    """The same for attention, which runs in 16 bits where the weights have fewer."""
    vector_flops: Figures
    """fp32 rate of the units that are not for matrices."""
    bandwidth: Figures
    element_bytes: Figures
    streamed_element_bytes: Figures
    """What an element counts in norms, activations and pooling. A processor does them in fp32,
    whatever it keeps, and takes as long in 16 bits."""
    node_devices: Figures
    link: Figures
    """One way, between a device and the others of its node."""
    network: Figures
    """One way, each device's part of what leaves its node."""

    @classmethod
    def of(cls, chip: Accelerator, precision: str, node: Node | None = None) -> System:
        """Return one device's figures; LabError for a precision the chip lacks.

        The node is the maker's usual one for the chip unless another is given.
        """
        joined = node or node_of(chip)
        wide = precision
        if precision in ("fp8", "int8"):
            wide = "bf16" if "bf16" in chip.peak_tflops else "fp16"
        link = chip.link_bytes_per_second or joined.network_bytes_per_second
        return cls(
            most_flops=np.inf if chip.is_processor else chip.peak_flops(precision),
            matmul_flops=_reachable(chip, precision),
            attention_flops=_reachable(chip, wide),
            vector_flops=chip.peak_flops("fp32" if chip.fp32_tflops else precision),
            bandwidth=chip.memory_bandwidth_bytes_per_second,
            element_bytes=ELEMENT_BYTES[precision],
            streamed_element_bytes=ELEMENT_BYTES["fp32" if chip.is_processor else precision],
            node_devices=float(joined.devices),
            link=link,
            network=joined.network_bytes_per_second,
        )

    @classmethod
    def stack(cls, systems: Sequence[System]) -> System:
        """Return many systems' figures as arrays of their length."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.array([getattr(one, name) for one in systems]) for name in names})


def _reachable(chip: Accelerator, precision: str) -> float:
    peak = chip.peak_flops(precision)
    if chip.is_processor:
        return peak
    rate = peak if precision == "fp32" else peak * _best_share(chip)
    if chip.name not in SAME_PROCESS:
        return rate
    large = accelerator(SAME_PROCESS[chip.name])
    assert chip.power_watts
    assert large.power_watts
    narrow = precision in ("fp8", "int8")
    large_rate = 2 * _reachable(large, "fp16") if narrow else _reachable(large, precision)
    return min(rate, large_rate * chip.power_watts / large.power_watts)


def _best_share(chip: Accelerator) -> float:
    if chip.measured_matmul_tflops and chip.bf16_tflops:
        return chip.measured_matmul_tflops / chip.bf16_tflops
    return MEASURED_SHARE
