"""The small CNN in PyTorch: eager, or compiled."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.data.pictures import Labels, Pixels
from enterprise_lab.errors import LabError, require_one_of
from enterprise_lab.measure.devices import Kind, machine
from enterprise_lab.measure.libraries import processor_name
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.small_cnn import KERNEL, SmallCNN, Weights
from enterprise_lab.training.trainer import (
    Framework,
    no_such_device,
    no_such_precision,
    not_installed,
    share_right,
)

try:
    import torch
    import torch.nn.functional as F  # noqa: N812  (as everyone calls it)
    from torch import Tensor, nn
except ImportError as error:
    raise not_installed("PyTorch") from error

_AMPERE = (8, 0)
_COMPILERS = {"cpu": ("CXX", "g++", "clang++"), "cuda": ("CC", "gcc", "clang")}


class Network(nn.Module):
    """The small CNN as a module."""

    def __init__(self, network: SmallCNN) -> None:
        super().__init__()
        width = network.width
        self.first = nn.Conv2d(network.channels, width, KERNEL, padding="same")
        self.second = nn.Conv2d(width, 2 * width, KERNEL, padding="same")
        self.third = nn.Conv2d(2 * width, 4 * width, KERNEL, padding="same")
        self.last = nn.Linear(4 * width, network.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return a score for each class: images x classes."""
        x = F.relu(self.first(images))
        x = F.relu(self.second(x))
        x = F.max_pool2d(x, 2)
        x = F.relu(self.third(x))
        scores: Tensor = self.last(x.mean(dim=(2, 3)))
        return scores


class TorchTrainer:
    """The small CNN trained by PyTorch on the processor, a CUDA GPU or an Apple GPU.

    Compiled, the first step takes the seconds that compiling takes, with every cache off: those of
    the first in a process are more, as the compiler is loaded in them (13 s, then 4 s, on two
    cores). Making a compiled trainer drops what earlier ones compiled, and one that takes its first
    step after another was made and compiled finds that done: make each right before it is used.

    Raises LabError for a device or a precision that isn't here, and where a compiler is missing.
    """

    def __init__(
        self, network: SmallCNN, recipe: Recipe, device: Kind = "cpu", *, compiled: bool = False
    ) -> None:
        self.network, self.recipe, self.kind = network, recipe, device
        self.framework: Framework = "PyTorch compiled" if compiled else "PyTorch"
        self.device = _device_name(device)
        self.versions: Mapping[str, str] = _versions(device)
        if recipe.precision not in _precisions(device):
            raise no_such_precision("PyTorch", recipe.precision, self.device)

        self.module = Network(network).to(device)
        start = network.initial_weights(recipe.seed)
        self.module.load_state_dict({name: torch.from_numpy(w) for name, w in start.items()})
        self.optimiser = torch.optim.SGD(
            self.module.parameters(), lr=recipe.learning_rate, momentum=recipe.momentum
        )
        self._forward = _compiled(self.module, device) if compiled else self.module

    def put(self, images: Pixels, labels: Labels) -> tuple[Tensor, Tensor]:
        """Send a batch to the device; a CUDA GPU fetches it while the processor goes on."""
        batch = torch.from_numpy(images), torch.from_numpy(labels)
        if self.kind == "cuda":
            batch = batch[0].pin_memory(), batch[1].pin_memory()
        return batch[0].to(self.kind, non_blocking=True), batch[1].to(self.kind, non_blocking=True)

    def step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Take a step of training; return the loss, on the device, without waiting for it."""
        images, labels = batch
        bf16 = self.recipe.precision == "bf16"
        with _float32_as(self.recipe.precision):
            with torch.autocast(self.kind, torch.bfloat16, enabled=bf16):
                loss = F.cross_entropy(self._forward(images), labels)
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
        return loss.detach()

    def finish(self) -> None:
        """Wait until the device is done."""
        if self.kind == "cuda":
            torch.cuda.synchronize()
        elif self.kind == "mps":
            torch.mps.synchronize()

    @torch.no_grad()
    def accuracy(self, images: Pixels, labels: Labels) -> float:
        """Return the share of images classified as labelled, in fp32, by the eager network."""

        def classify(some: Pixels) -> NDArray[np.int64]:
            found: NDArray[np.int64] = (
                self.module(torch.from_numpy(some).to(self.kind)).argmax(dim=1).cpu().numpy()
            )
            return found

        with _float32_as("fp32"):
            return share_right(classify, images, labels)

    def weights(self) -> Weights:
        """Return a copy of the weights as they are now."""
        return {name: w.numpy(force=True).copy() for name, w in self.module.named_parameters()}


def _compiled(module: nn.Module, device: Kind) -> Any:
    _require_compiler(device)
    torch.compiler.reset()
    warnings.filterwarnings("ignore", "dynamo_pgo force disabled")  # says what the next line does
    torch.compiler.config.force_disable_caches = True
    return torch.compile(module, dynamic=False)


def _require_compiler(device: Kind) -> None:
    """Raise LabError unless torch.compile has what it needs to make code for the device."""
    if device not in _COMPILERS:
        return
    variable, *usual = _COMPILERS[device]
    if not any(shutil.which(name) for name in (os.environ.get(variable, ""), *usual)):
        raise LabError(
            f"torch.compile needs a compiler, and none of {', '.join(usual)} is here.",
            "Install one (Ubuntu: apt install g++), or use the framework 'PyTorch'.",
        )
    if device == "cuda" and not importlib.util.find_spec("triton"):
        raise LabError(
            "torch.compile needs the package triton to use a GPU, and it is not installed.",
            "Install triton, or use the framework 'PyTorch'.",
        )


@contextmanager
def _float32_as(precision: str) -> Iterator[None]:
    """Let a GPU multiply fp32 numbers as tf32, or not, and leave it as it was set before."""
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32 = before[1]


def _device_name(device: Kind) -> str:
    require_one_of("device", device, ("cpu", "cuda", "mps"))
    if device == "cuda":
        if not torch.cuda.is_available():
            raise no_such_device("PyTorch", "CUDA", "torch.cuda.is_available() is False.")
        return torch.cuda.get_device_name()
    if device == "mps" and not torch.backends.mps.is_available():
        raise no_such_device("PyTorch", "MPS", "torch.backends.mps.is_available() is False.")
    here = processor_name(machine())
    return here if device == "cpu" else f"GPU of {here}"


def _precisions(device: Kind) -> tuple[str, ...]:
    if device == "cuda" and torch.cuda.get_device_capability() >= _AMPERE:
        return ("fp32", "tf32", "bf16")
    return ("fp32", "bf16") if device == "cpu" else ("fp32",)


def _versions(device: Kind) -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    if device == "cuda":
        found |= {"cuda": str(torch.version.cuda), "cudnn": _cudnn_version()}
    return found


def _cudnn_version() -> str:
    return str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
