"""What this machine has: processor, memory, disk, accelerators."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil

from enterprise_lab.errors import LabError
from enterprise_lab.measure import nvml, processor
from enterprise_lab.measure.timing import Measurement

Kind = Literal["cpu", "cuda", "mps", "tpu"]
KIND_NAMES: Mapping[str, str] = {
    "cpu": "processor",
    "cuda": "NVIDIA GPU",
    "mps": "Apple GPU",
    "tpu": "TPU",
}

_CUDA_PRECISIONS = (
    ("tf32", (8, 0)),
    ("fp16", (5, 3)),
    ("bf16", (8, 0)),
    ("int8", (6, 1)),
    ("fp8", (8, 9)),
    ("fp4", (10, 0)),
)
"""The first compute capability with instructions for each: CUDA C++ Programming Guide."""
_QUIET = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as its driver describes it."""

    name: str
    memory_bytes: int
    free_bytes: int
    capability: tuple[int, int] = (0, 0)
    driver: str = ""


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
    instructions: tuple[str, ...] = ()
    """Instruction sets of the processor that matter to matrix products."""


@dataclass(frozen=True)
class Device:
    """What could run a lab, or a row that says in `note` why there is none of its kind.

    `precisions` are those it has instructions for; other ones run by way of these, slowly.
    """

    kind: Kind
    name: str
    memory_bytes: int | None
    free_bytes: int | None
    precisions: tuple[str, ...]
    note: str
    usable: bool = True
    """Whether the libraries installed here can use it, as far as PyTorch and JAX say."""

    @property
    def present(self) -> bool:
        """Whether it is there."""
        return bool(self.name)


def machine(folder: Path = Path()) -> Machine:
    """Look at this machine now; `folder` is where outputs would go."""
    memory = psutil.virtual_memory()
    cpu, instructions = processor.processor()
    gpus, note = _gpus()
    return Machine(
        cpu=cpu,
        cores=processor.usable_cores(),
        memory_bytes=memory.total,
        free_memory_bytes=memory.available,
        free_disk_bytes=shutil.disk_usage(folder).free,
        gpus=gpus,
        gpu_note=note,
        instructions=instructions,
    )


def devices() -> tuple[Device, ...]:
    """List the processor, every NVIDIA GPU, an Apple GPU and TPUs: at least a row of each kind.

    Nothing here raises: what can't be asked is a row that says so. Imports PyTorch where it is
    installed, and JAX where a TPU can be expected.
    """
    looks: dict[Kind, Callable[[], list[Device]]] = {
        "cpu": _processors, "cuda": _nvidia, "mps": _apple, "tpu": _tpus,
    }  # fmt: skip
    found: list[Device] = []
    for kind, look in looks.items():
        try:
            found += look()
        except LabError as error:
            found.append(_missing(kind, error.problem))
        except Exception as error:  # whatever a driver or a library may raise when it is asked
            found.append(_missing(kind, f"{type(error).__name__}: {error}"))
    return tuple(found)


def resident_memory() -> Measurement:
    """Measure the bytes of memory this process holds now."""
    held = float(psutil.Process().memory_info().rss)
    return Measurement(held, "B", held, held, 1)


def _gpus() -> tuple[tuple[Gpu, ...], str]:
    import pynvml

    try:
        with nvml.gpus() as handles:
            driver = nvml.ask(pynvml.nvmlSystemGetDriverVersion) or ""
            return tuple(_gpu(pynvml, handle, driver) for handle in handles), ""
    except LabError as error:
        return (), error.problem.rstrip(".").split(": ", 1)[-1]


def _gpu(pynvml: Any, handle: Any, driver: str) -> Gpu:
    memory = nvml.ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    capability = nvml.ask(pynvml.nvmlDeviceGetCudaComputeCapability, handle) or (0, 0)
    return Gpu(
        name=nvml.ask(pynvml.nvmlDeviceGetName, handle) or "NVIDIA GPU",
        memory_bytes=memory.total if memory else 0,
        free_bytes=memory.free if memory else 0,
        capability=(int(capability[0]), int(capability[1])),
        driver=driver,
    )


def _processors() -> list[Device]:
    here = machine()
    return [
        Device(
            kind="cpu",
            name=here.cpu,
            memory_bytes=here.memory_bytes,
            free_bytes=here.free_memory_bytes,
            precisions=processor.precisions(here.instructions),
            note="; ".join(
                [f"{here.cores} core{'s' * (here.cores > 1)}", ", ".join(here.instructions)]
            ).rstrip("; "),
        )
    ]


def _nvidia() -> list[Device]:
    gpus, note = _gpus()
    if not gpus:
        return [_missing("cuda", note)]
    unusable = _why_torch_has_none()
    return [
        Device(
            kind="cuda",
            name=gpu.name,
            memory_bytes=gpu.memory_bytes or None,
            free_bytes=gpu.free_bytes if gpu.memory_bytes else None,
            precisions=(
                "fp32", *(name for name, first in _CUDA_PRECISIONS if gpu.capability >= first),
            ),
            note=unusable or (
                f"compute capability {gpu.capability[0]}.{gpu.capability[1]},"
                f" driver {gpu.driver or 'unknown'}"
            ),
            usable=not unusable,
        )
        for gpu in gpus
    ]  # fmt: skip


def _installed(library: str) -> Any:
    return importlib.import_module(library) if importlib.util.find_spec(library) else None


def _why_torch_has_none() -> str:
    torch = _installed("torch")
    if torch is None:
        return "PyTorch isn't installed, so nothing here uses it"
    if torch.version.cuda is None:
        return "this PyTorch was built without CUDA, so it can't use it"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return "" if torch.cuda.is_available() else "PyTorch can't use it with this driver"


def _apple() -> list[Device]:
    torch = _installed("torch")
    if torch is None:
        return [_missing("mps", "PyTorch isn't installed")]
    if not torch.backends.mps.is_built():
        return [_missing("mps", "this PyTorch is not one for Apple's GPUs")]
    if not torch.backends.mps.is_available():
        return [_missing("mps", "no Apple GPU, or a macOS too old for PyTorch")]
    size = int(torch.mps.recommended_max_memory())
    return [
        Device(
            kind="mps",
            name=f"{processor.processor()[0]} GPU",
            memory_bytes=size,
            free_bytes=max(0, size - int(torch.mps.driver_allocated_memory())),
            precisions=("fp32", "fp16", "bf16"),
            note="shares the processor's memory",
        )
    ]


def _tpus() -> list[Device]:
    if not importlib.util.find_spec("jax"):
        return [_missing("tpu", "JAX isn't installed")]
    if not (importlib.util.find_spec("libtpu") or os.environ.get("TPU_LIBRARY_PATH")):
        return [_missing("tpu", "JAX is installed without libtpu, which drives TPUs")]
    with _quiet_jax():
        chips = importlib.import_module("jax").devices("tpu")
    return [_tpu(chip) for chip in chips]


def _tpu(chip: Any) -> Device:
    memory = chip.memory_stats() or {}
    size, used = memory.get("bytes_limit"), memory.get("bytes_in_use", 0)
    return Device(
        kind="tpu",
        name=chip.device_kind,
        memory_bytes=size,
        free_bytes=None if size is None else size - used,
        precisions=("fp32", "bf16"),
        note="matrix products of fp32 are made of passes in bf16",
    )


@contextmanager
def _quiet_jax() -> Iterator[None]:
    """Keep JAX from printing, and from taking all memory of a GPU, while it looks around."""
    added = {name: value for name, value in _QUIET.items() if name not in os.environ}
    os.environ.update(added)
    log = logging.getLogger("jax")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
        for name in added:
            del os.environ[name]


def _missing(kind: Kind, why: str) -> Device:
    return Device(kind, "", None, None, (), why, usable=False)
