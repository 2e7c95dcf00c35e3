"""How warm and how fast a device is at this moment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import psutil

from enterprise_lab.errors import LabError
from enterprise_lab.measure import nvml
from enterprise_lab.measure.devices import Kind

_MILLI = 1e-3


@dataclass(frozen=True)
class Sensors:
    """What could be read now; None is what could not."""

    celsius: float | None = None
    clock_mhz: float | None = None
    """Of a GPU's multiprocessors; the mean of a processor's cores."""
    watts: float | None = None
    limit_watts: float | None = None

    def parameters(self, when: str) -> dict[str, float]:
        """Return what could be read under the names that records have for it: `celsius_before`."""
        return {
            f"{name}_{when}": value for name, value in asdict(self).items() if value is not None
        }


def sensors(kind: Kind = "cpu") -> Sensors:
    """Read the sensors of the processor, or of the GPU that PyTorch works on; never raises.

    Virtual machines seldom show the processor's.
    """
    if kind == "cpu":
        return Sensors(celsius=_hottest(), clock_mhz=_clock())
    if kind == "cuda":
        try:
            with nvml.gpus() as handles:
                return _of_gpu(handles[nvml.position()])
        except (LabError, IndexError):
            pass
    return Sensors()


def _of_gpu(handle: Any) -> Sensors:
    import pynvml

    def read(question: Any, *about: Any, unit: float = 1.0) -> float | None:
        found = nvml.ask(question, handle, *about)
        return None if found is None else found * unit

    return Sensors(
        celsius=read(pynvml.nvmlDeviceGetTemperatureV, pynvml.NVML_TEMPERATURE_GPU),
        clock_mhz=read(pynvml.nvmlDeviceGetClockInfo, pynvml.NVML_CLOCK_SM),
        watts=read(pynvml.nvmlDeviceGetPowerUsage, unit=_MILLI),
        limit_watts=read(pynvml.nvmlDeviceGetEnforcedPowerLimit, unit=_MILLI),
    )


def _hottest() -> float | None:
    """Return the highest of what Linux shows for the processor's own sensors."""
    try:
        found = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    own = ("coretemp", "k10temp", "zenpower", "cpu_thermal")
    return max((one.current for name in own for one in found.get(name, [])), default=None)


def _clock() -> float | None:
    try:
        found = psutil.cpu_freq()
    except (NotImplementedError, OSError):
        return None
    return float(found.current) if found and found.current else None
