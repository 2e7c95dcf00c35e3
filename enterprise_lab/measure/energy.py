"""The energy that work took: from a counter where one can be read, or else an estimate.

Counters are of a device, not of a process: they count what others do with it meanwhile, too.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, Self, get_args

from enterprise_lab.errors import LabError, require_one_of
from enterprise_lab.measure import nvml
from enterprise_lab.measure.devices import Kind
from enterprise_lab.measure.processor import usable_cores
from enterprise_lab.measure.records import Origin
from enterprise_lab.measure.sampling import every

IDLE_WATTS = 0.74
BUSY_WATTS = 3.5
"""Of one vCPU of an average AWS server: Cloud Carbon Footprint, MIN_WATTS_AVG and MAX_WATTS_AVG in
packages/aws/src/domain/AwsFootprintEstimationConstants.ts at commit b7a049c7 (2024-03-25), which
averages SPECpower results of the kinds of processors that AWS uses. Between the two it counts
idle watts for the whole time, and the difference for the share of it that was used."""
_PUBLISHED = (
    f"{IDLE_WATTS} W for an idle, {BUSY_WATTS} W for a busy vCPU"
    " (Cloud Carbon Footprint's averages for AWS)"
)

_POWERCAP = Path("/sys/class/powercap")
_WRAPS_SECONDS = 60.0
"""RAPL's counters begin again after some minutes of full power at the soonest."""
_POWER_SECONDS = 0.05
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass(frozen=True)
class Energy:
    """Joules taken in so many seconds; `source` says by what, and how they are known."""

    joules: float
    origin: Origin
    source: str
    seconds: float

    @property
    def watts(self) -> float:
        """The mean power."""
        return self.joules / self.seconds


class EnergyMeter:
    """Meter what is done inside `with EnergyMeter("cuda") as meter:`; then see `meter.energy`.

    "cuda" is the board of the GPU that PyTorch works on, by NVML's counter, or else its power
    summed up: work of less than about a second is lost in their steps. Anything else is the
    processor: RAPL's counters where this system lets them be read, or else published watts for the
    processor time that this process used. That of child processes is not in it.

    Raises InvalidValueError for an unknown kind.
    """

    energy: Energy

    def __init__(self, kind: Kind = "cpu") -> None:
        require_one_of("kind", kind, get_args(Kind))
        self._kind = kind

    def __enter__(self) -> Self:
        self._open, self._sampling = ExitStack(), ExitStack()
        self._gauge = self._open.enter_context(_gauge(self._kind))
        _finish(self._kind)
        self._joules, self._start = self._gauge.joules(), time.perf_counter()
        if self._gauge.period_seconds is not None:
            self._sampling.enter_context(every(self._gauge.period_seconds, self._gauge.joules))
        return self

    def __exit__(self, *_: object) -> None:
        with self._open:
            with self._sampling:
                _finish(self._kind)
            seconds = time.perf_counter() - self._start
            joules = self._gauge.joules() - self._joules
        self.energy = Energy(joules, self._gauge.origin, self._gauge.source, seconds)


class _Gauge(Protocol):
    """What counts joules from some moment on; it is to be read at least every `period_seconds`."""

    origin: Origin
    source: str
    period_seconds: float | None = None

    def joules(self) -> float:
        """Return the joules until now."""


class _Board(_Gauge):
    """NVML's counter of a GPU's board."""

    origin = Origin.MEASURED

    def __init__(self, pynvml: Any, handle: Any, name: str) -> None:
        self._millijoules = partial(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
        self.source = f"NVML's energy counter of {name}, the whole board"

    def joules(self) -> float:
        return float(self._millijoules() * _MILLI)


class _Power(_Gauge):
    """A GPU's power as NVML shows it now and then, summed up over the time between."""

    origin = Origin.ESTIMATED
    period_seconds = _POWER_SECONDS

    def __init__(self, pynvml: Any, handle: Any, name: str) -> None:
        self._milliwatts = partial(pynvml.nvmlDeviceGetPowerUsage, handle)
        self.source = f"NVML's power of {name}, the whole board, summed up"
        self._seen = time.perf_counter(), float(self._milliwatts() * _MILLI)
        self._joules = 0.0

    def joules(self) -> float:
        now = time.perf_counter(), self._watts()
        self._joules += (now[0] - self._seen[0]) * (now[1] + self._seen[1]) / 2
        self._seen = now
        return self._joules

    def _watts(self) -> float:
        """Return the power now; what it was last if the driver doesn't answer this once."""
        asked = nvml.ask(self._milliwatts)
        return self._seen[1] if asked is None else float(asked * _MILLI)


class _Rapl(_Gauge):
    """RAPL's counters of the processor's packages, and of its memory where they have one."""

    origin = Origin.MEASURED
    period_seconds = _WRAPS_SECONDS
    source = "RAPL's counters of the processor, all that runs on it"

    def __init__(self, zones: list[Path]) -> None:
        self._ranges = {zone: _number(zone / "max_energy_range_uj") for zone in zones}
        self._seen = self._look()
        self._joules = 0.0

    def joules(self) -> float:
        now = self._look()
        for zone, largest in self._ranges.items():
            self._joules += (now[zone] - self._seen[zone]) % (largest + 1) * _MICRO
        self._seen = now
        return self._joules

    def _look(self) -> dict[Path, int]:
        return {zone: _number(zone / "energy_uj") for zone in self._ranges}


class _Published(_Gauge):
    """Published watts of a vCPU, for the cores this process may use and the time it used them."""

    origin = Origin.ESTIMATED

    def __init__(self, why: str) -> None:
        self.source = _PUBLISHED + why
        self._cores = usable_cores()

    def joules(self) -> float:
        idle = IDLE_WATTS * self._cores * time.perf_counter()
        return idle + (BUSY_WATTS - IDLE_WATTS) * time.process_time()


@contextmanager
def _gauge(kind: Kind) -> Iterator[_Gauge]:
    gauge: _Gauge | None = None
    with ExitStack() as stack:
        if kind == "cuda":
            with suppress(LabError, IndexError):
                handles = stack.enter_context(nvml.gpus())
                gauge = _of_gpu(handles[nvml.position()])
        elif kind == "cpu":
            gauge = _rapl()
        alone = "" if kind == "cpu" else f"; the processor alone, without the {kind.upper()} device"
        yield gauge or _Published(alone)


def _of_gpu(handle: Any) -> _Gauge | None:
    import pynvml

    name = nvml.ask(pynvml.nvmlDeviceGetName, handle) or "the GPU"
    if nvml.ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle) is not None:
        return _Board(pynvml, handle, name)
    if nvml.ask(pynvml.nvmlDeviceGetPowerUsage, handle) is not None:
        return _Power(pynvml, handle, name)
    return None


def _rapl() -> _Gauge | None:
    """Return the counters there are; None in most virtual machines, and without the right to read.

    The other parts that RAPL shows (cores, an integrated GPU) are inside a package's figure.
    """
    try:
        zones = [
            zone for zone in sorted(_POWERCAP.glob("intel-rapl:*"))
            if (zone / "name").read_text().startswith(("package", "dram"))
        ]  # fmt: skip
        return _Rapl(zones) if zones else None
    except (OSError, ValueError):
        return None


def _number(file: Path) -> int:
    return int(file.read_text())


def _finish(kind: Kind) -> None:
    """Wait until the GPU has done what it was given: PyTorch hands work out ahead."""
    torch = sys.modules.get("torch")
    if kind == "cuda" and torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()
