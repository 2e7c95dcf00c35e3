"""A stand-in for pynvml: a driver with the GPUs that a test wants."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


@dataclass
class FakeGpu:
    name: str = "NVIDIA H200"
    uuid: str = "GPU-1"
    capability: tuple[int, int] = (9, 0)
    total: int = 150 * 10**9
    free: int = 149 * 10**9
    celsius: int | None = 41
    clock_mhz: int | None = 1980
    milliwatts: int | None = 700_000
    limit_milliwatts: int | None = 700_000
    millijoules: int | None = 5_000


class FakeNvml(ModuleType):
    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM = 1

    def __init__(self, *gpus: FakeGpu, broken: str = "") -> None:
        super().__init__("pynvml")
        self.gpus, self.broken, self.opened = list(gpus), broken, 0

    def nvmlInit(self) -> None:
        if self.broken:
            raise NVMLError(self.broken)
        self.opened += 1

    def nvmlShutdown(self) -> None:
        self.opened -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> FakeGpu:
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> FakeGpu:
        for gpu in self.gpus:
            if gpu.uuid == uuid:
                return gpu
        raise NVMLError("Not Found")

    def nvmlSystemGetDriverVersion(self) -> str:
        return "570.1"

    def nvmlDeviceGetName(self, gpu: FakeGpu) -> str:
        return gpu.name

    def nvmlDeviceGetMemoryInfo(self, gpu: FakeGpu) -> Any:
        return SimpleNamespace(total=gpu.total, free=gpu.free)

    def nvmlDeviceGetCudaComputeCapability(self, gpu: FakeGpu) -> tuple[int, int]:
        return gpu.capability

    def nvmlDeviceGetTemperatureV(self, gpu: FakeGpu, _sensor: int) -> int:
        return self._known(gpu.celsius)

    def nvmlDeviceGetClockInfo(self, gpu: FakeGpu, _clock: int) -> int:
        return self._known(gpu.clock_mhz)

    def nvmlDeviceGetPowerUsage(self, gpu: FakeGpu) -> int:
        return self._known(gpu.milliwatts)

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: FakeGpu) -> int:
        return self._known(gpu.limit_milliwatts)

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: FakeGpu) -> int:
        return self._known(gpu.millijoules)

    def _known(self, value: int | None) -> int:
        assert self.opened, "asked while the library was closed"
        if value is None:
            raise NVMLError("Not Supported")
        return value


def install(monkeypatch: Any, *gpus: FakeGpu, broken: str = "") -> FakeNvml:
    """Put a driver with these GPUs in the place of pynvml."""
    fake = FakeNvml(*gpus, broken=broken)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake
