"""What drivers call accelerators, where the catalogue says it otherwise."""

from __future__ import annotations

from enterprise_lab.catalog.hardware import Accelerator, accelerator
from enterprise_lab.errors import LabError

_CHIPS = {
    "H100 80GB HBM3": "H100-SXM5-80GB",
    "H100 PCIe": "H100-PCIe-80GB",
    "H200": "H200-SXM-141GB",
    "B200": "B200-SXM",
    "A100 80GB PCIe": "A100-PCIe-80GB",
    "GeForce RTX 4090": "RTX 4090",
    "TPU v5 lite": "TPU v5e",
    "TPU v5": "TPU v5p",
    "TPU v6 lite": "TPU v6e",
}


def by_driver_name(name: str) -> Accelerator | None:
    """Return the accelerator that a driver calls so; None where the catalogue has none."""
    short = name.removeprefix("NVIDIA ").removeprefix("Tesla ")
    try:
        return accelerator(_CHIPS.get(short, short))
    except LabError:
        return None
