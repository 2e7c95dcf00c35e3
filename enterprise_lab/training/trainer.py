"""What every framework's trainer can do, so that the same can be asked of each and timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.data.pictures import Labels, Pixels
from enterprise_lab.errors import LabError, require_one_of
from enterprise_lab.measure.devices import Kind
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.small_cnn import SmallCNN, Weights

Framework = Literal["PyTorch", "PyTorch compiled", "JAX"]
FRAMEWORKS: tuple[Framework, ...] = ("PyTorch", "PyTorch compiled", "JAX")

EVALUATED_TOGETHER = 512
"""Images classified at a time: more would need memory that a small machine hasn't."""


class Trainer(Protocol):
    """A network on a device, trained by a recipe one step at a time."""

    network: SmallCNN
    recipe: Recipe
    framework: Framework
    kind: Kind
    device: str
    versions: Mapping[str, str]

    def put(self, images: Pixels, labels: Labels) -> Any:
        """Send a batch to the device, and return it as it is there."""

    def step(self, batch: Any) -> Any:
        """Take a step of training; return the loss, on the device, without waiting for it."""

    def finish(self) -> None:
        """Wait until the device is done."""

    def accuracy(self, images: Pixels, labels: Labels) -> float:
        """Return the share of images classified as labelled, in fp32."""

    def weights(self) -> Weights:
        """Return the weights as they are now."""


def trainer(
    framework: Framework, network: SmallCNN, recipe: Recipe, *, device: Kind = "cpu"
) -> Trainer:
    """Return the trainer of a framework on a device.

    Raises LabError where the framework isn't installed, or can't use the device or the precision.
    """
    require_one_of("framework", framework, FRAMEWORKS)
    if framework == "JAX":
        from enterprise_lab.training.jax_cnn import JaxTrainer

        return JaxTrainer(network, recipe, device)
    from enterprise_lab.training.torch_cnn import TorchTrainer

    return TorchTrainer(network, recipe, device, compiled=framework == "PyTorch compiled")


def share_right(
    classify: Callable[[Pixels], NDArray[np.integer[Any]]], images: Pixels, labels: Labels
) -> float:
    """Return the share of images that `classify` gives their label, a few at a time."""
    starts = range(0, len(images), EVALUATED_TOGETHER)
    found = [classify(images[start : start + EVALUATED_TOGETHER]) for start in starts]
    return float((np.concatenate(found) == labels).mean())


def not_installed(name: str) -> LabError:
    """Make the error of a framework that is not there."""
    return LabError(f"{name} is not installed.", "Install it with: pip install -e '.[labs]'")


def no_such_device(framework: str, kind: str, why: str) -> LabError:
    """Make the error of a device that a framework doesn't find."""
    return LabError(
        f"{framework} finds no {kind} device here: {why}",
        'Use device="cpu", or a machine that has one.',
    )


def no_such_precision(framework: str, precision: str, device: str) -> LabError:
    """Make the error of a precision that a device hasn't."""
    return LabError(f"{framework} has no {precision} on {device}.", 'Use precision="fp32".')
