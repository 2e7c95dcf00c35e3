"""What NumPy and PyTorch can be asked to do, so that the same can be timed with any library."""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol

import numpy as np

from enterprise_lab.measure import matmul
from enterprise_lab.measure.devices import Machine, devices, machine

Processor = Literal["cpu", "cuda", "tpu"]
Work = Callable[[], object]

FLOAT32_BYTES = 4
_AMPERE = (8, 0)


class Library(Protocol):
    """What a library can be asked to do on a device."""

    name: str
    processor: Processor
    device: str
    precisions: tuple[str, ...]
    versions: Mapping[str, str]
    finish: Work | None
    """Waits until the device is done; None where the work is done when it returns."""

    @property
    def label(self) -> str:
        """The library and the device's kind, for people."""

    def product(self, edge: int, precision: str) -> Work:
        """Make a product of two square matrices."""

    def copy(self, size_bytes: int) -> Work:
        """Make a copy of fp32 numbers into memory that is already held."""

    def small(self) -> Work:
        """Make the addition of 1 to a single number in place."""


class NumPy:
    """NumPy on the processor: products on its BLAS' threads, copies on as many as there are cores.

    NumPy itself copies on one thread, which does not fill the memory of a server.
    """

    name = "NumPy"
    processor: Processor = "cpu"
    precisions: tuple[str, ...] = ("fp32",)
    finish: Work | None = None
    label = "NumPy on the processor"

    def __init__(self, here: Machine) -> None:
        self.device = processor_name(here)
        self.versions: Mapping[str, str] = _versions(numpy=np.__version__)
        self._pool = ThreadPoolExecutor(here.cores)
        self._cores = here.cores

    def product(self, edge: int, precision: str) -> Work:  # noqa: ARG002  (fp32 is all there is)
        """Make a product of two square matrices."""
        return matmul.product(edge, edge, edge)

    def copy(self, size_bytes: int) -> Work:
        """Make a copy of fp32 numbers into memory that is already held."""
        source = np.ones(size_bytes // FLOAT32_BYTES, np.float32)
        copied = np.zeros_like(source)
        parts = list(
            zip(
                np.array_split(copied, self._cores),
                np.array_split(source, self._cores),
                strict=True,
            )
        )
        return lambda: list(self._pool.map(lambda part: np.copyto(*part), parts))

    def small(self) -> Work:
        """Make the addition of 1 to a single number in place."""
        number = np.zeros(1, np.float32)
        return lambda: np.add(number, 1, out=number)


class Torch:
    """PyTorch on the processor or on a CUDA GPU.

    A processor is asked for fp32 and bf16, since few have instructions for fp16; a GPU for those
    it has of fp32, tf32, fp16 and bf16.
    """

    name = "PyTorch"

    def __init__(self, processor: Processor, here: Machine) -> None:
        import torch

        self._torch = torch
        self.processor = processor
        self.versions: Mapping[str, str] = _versions(torch=torch.__version__)
        self.finish: Work | None = torch.cuda.synchronize if processor == "cuda" else None
        if processor == "cpu":
            self.device = processor_name(here)
            self.precisions: tuple[str, ...] = ("fp32", "bf16")
        else:
            self.device = torch.cuda.get_device_name()
            ampere = torch.cuda.get_device_capability() >= _AMPERE
            self.precisions = ("fp32", "tf32", "fp16", "bf16") if ampere else ("fp32", "fp16")
            self.versions = {**self.versions, "cuda": str(torch.version.cuda)}

    @property
    def label(self) -> str:
        """The library and the device's kind."""
        return f"PyTorch on the {'processor' if self.processor == 'cpu' else 'GPU'}"

    def product(self, edge: int, precision: str) -> Work:
        """Make a product of two square matrices."""
        torch = self._torch
        generator = torch.Generator(self.processor).manual_seed(0)
        dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision, torch.float32)

        def matrix() -> Any:
            made = torch.randn(edge, edge, device=self.processor, generator=generator)
            return made.to(dtype)

        a, b = matrix(), matrix()
        out = torch.empty_like(a)
        inside = "high" if precision == "tf32" else "highest"

        def work() -> None:
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(inside)
            torch.matmul(a, b, out=out)
            torch.set_float32_matmul_precision(before)

        return work

    def copy(self, size_bytes: int) -> Work:
        """Make a copy of fp32 numbers into memory that is already held."""
        source = self._torch.ones(size_bytes // FLOAT32_BYTES, device=self.processor)
        copied = self._torch.zeros_like(source)
        return lambda: copied.copy_(source)

    def small(self) -> Work:
        """Make the addition of 1 to a single number in place."""
        number = self._torch.zeros(1, device=self.processor)
        return lambda: number.add_(1)


def processor_name(here: Machine) -> str:
    """Name a machine's processor with its cores, as records do."""
    return f"{here.cpu}, {here.cores} core{'s' * (here.cores > 1)}"


def libraries() -> list[Library]:
    """List what this machine has: JAX on a TPU, PyTorch on its GPU and processor, NumPy.

    NumPy comes last, because its threads spin for a while when their work is done.
    """
    here = machine()
    found: list[Library] = []
    if any(device.present for device in devices() if device.kind == "tpu"):
        from enterprise_lab.measure.jax_library import Jax

        found.append(Jax("tpu"))
    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            found.append(Torch("cuda", here))
        found.append(Torch("cpu", here))
    return [*found, NumPy(here)]


def _versions(**more: str) -> dict[str, str]:
    return {"python": platform.python_version(), **more}
