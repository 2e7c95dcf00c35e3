"""What this machine has: processor, memory, disk, accelerators."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from enterprise_lab.measure.timing import Measurement


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as its driver describes it."""

    name: str
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Machine:
    """What was found; an empty `gpus` says why in `gpu_note`."""

    cpu: str
    cores: int
    memory_bytes: int
    free_memory_bytes: int
    free_disk_bytes: int
    gpus: tuple[Gpu, ...]
    gpu_note: str


def machine(folder: Path = Path()) -> Machine:
    """Look at this machine now; `folder` is where outputs would go."""
    memory = psutil.virtual_memory()
    gpus, note = _gpus()
    return Machine(
        cpu=_cpu_name(),
        cores=len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity")
        else psutil.cpu_count() or 1,
        memory_bytes=memory.total,
        free_memory_bytes=memory.available,
        free_disk_bytes=shutil.disk_usage(folder).free,
        gpus=gpus,
        gpu_note=note,
    )  # fmt: skip


def resident_memory() -> Measurement:
    """Measure the bytes of memory this process holds now."""
    held = float(psutil.Process().memory_info().rss)
    return Measurement(held, "B", held, held, 1)


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _gpus() -> tuple[tuple[Gpu, ...], str]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"no NVIDIA driver ({error})"
    try:
        found = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(Gpu(pynvml.nvmlDeviceGetName(handle), memory.total, memory.free))
        return tuple(found), "" if found else "the NVIDIA driver sees no GPU"
    finally:
        pynvml.nvmlShutdown()
