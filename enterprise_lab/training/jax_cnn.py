"""The small CNN in JAX: the same code for a processor, a GPU and a TPU, compiled by XLA."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.data.pictures import Labels, Pixels
from enterprise_lab.errors import require_one_of
from enterprise_lab.measure.devices import Kind, machine
from enterprise_lab.measure.libraries import processor_name
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.small_cnn import SmallCNN, Weights
from enterprise_lab.training.trainer import (
    Framework,
    no_such_device,
    no_such_precision,
    not_installed,
    share_right,
)

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # or JAX takes most of a GPU
try:
    import jax
    import jax.numpy as jnp
    from jax import Array, lax
except ImportError as error:
    raise not_installed("JAX") from error

_AMPERE = 8.0

Parameters = dict[str, Array]
"""The weights and biases, or as many gradients or velocities, by name."""


def forward(weights: Parameters, images: Array, precision: str = "fp32") -> Array:
    """Return a score for each class: images x classes."""
    if precision == "bf16":
        weights = {name: w.astype(jnp.bfloat16) for name, w in weights.items()}
        images = images.astype(jnp.bfloat16)
    # Without HIGHEST a GPU multiplies fp32 numbers as tf32, and a TPU as bf16.
    exactly = lax.Precision.HIGHEST if precision == "fp32" else lax.Precision.DEFAULT

    def convolution(x: Array, name: str) -> Array:
        x = lax.conv_general_dilated(
            x,
            weights[f"{name}.weight"],
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
            precision=exactly,
        )
        return x + weights[f"{name}.bias"][:, None, None]

    x = jax.nn.relu(convolution(images, "first"))
    x = jax.nn.relu(convolution(x, "second"))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = jax.nn.relu(convolution(x, "third"))
    x = x.mean(axis=(2, 3))
    return jnp.matmul(x, weights["last.weight"].T, precision=exactly) + weights["last.bias"]


def loss_of(weights: Parameters, images: Array, labels: Array, precision: str = "fp32") -> Array:
    """Return the mean cross-entropy of the scores, in fp32."""
    scores = forward(weights, images, precision).astype(jnp.float32)
    right = jnp.take_along_axis(jax.nn.log_softmax(scores), labels[:, None], axis=1)
    return -right.mean()


def descend(
    recipe: Recipe, weights: Parameters, velocity: Parameters, images: Array, labels: Array
) -> tuple[Parameters, Parameters, Array]:
    """Return the weights and their velocity after a step, and the loss before it."""
    loss, gradient = jax.value_and_grad(loss_of)(weights, images, labels, recipe.precision)
    velocity = jax.tree.map(lambda v, g: recipe.momentum * v + g, velocity, gradient)
    weights = jax.tree.map(lambda w, v: w - recipe.learning_rate * v, weights, velocity)
    return weights, velocity, loss


class JaxTrainer:
    """The small CNN trained by JAX on the processor, a CUDA GPU or a TPU.

    The first step takes the seconds that compiling takes, and so does the first of another batch
    size. Raises LabError for a device or a precision that isn't here.
    """

    framework: Framework = "JAX"

    def __init__(self, network: SmallCNN, recipe: Recipe, device: Kind = "cpu") -> None:
        self.network, self.recipe, self.kind = network, recipe, device
        self._at = _find(device)
        self.device = processor_name(machine()) if device == "cpu" else self._at.device_kind
        self.versions: Mapping[str, str] = {
            "python": platform.python_version(),
            "jax": jax.__version__,
            "platform": self._at.client.platform_version.splitlines()[0],
        }
        if recipe.precision not in _precisions(self._at, device):
            raise no_such_precision("JAX", recipe.precision, self.device)

        start = network.initial_weights(recipe.seed)
        self._weights: Parameters = jax.device_put(start, self._at)
        self.velocity: Parameters = jax.tree.map(jnp.zeros_like, self._weights)
        # Both are given away, so that their memory is used for the new ones.
        self._descend: Callable[..., tuple[Parameters, Parameters, Array]] = jax.jit(
            partial(descend, recipe), donate_argnums=(0, 1)
        )
        self._scores = jax.jit(forward)

    def put(self, images: Pixels, labels: Labels) -> tuple[Array, Array]:
        """Send a batch to the device, which fetches it while the processor goes on."""
        batch: tuple[Array, Array] = jax.device_put((images, labels.astype(np.int32)), self._at)
        return batch

    def step(self, batch: tuple[Array, Array]) -> Array:
        """Take a step of training; return the loss, on the device, without waiting for it."""
        self._weights, self.velocity, loss = self._descend(self._weights, self.velocity, *batch)
        return loss

    def finish(self) -> None:
        """Wait until the device is done."""
        jax.block_until_ready(self._weights)  # type: ignore[no-untyped-call]

    def accuracy(self, images: Pixels, labels: Labels) -> float:
        """Return the share of images classified as labelled, in fp32."""

        def classify(some: Pixels) -> NDArray[np.int32]:
            return np.asarray(self._scores(self._weights, some).argmax(axis=1))

        return share_right(classify, images, labels)

    def weights(self) -> Weights:
        """Return a copy of the weights as they are now."""
        return {name: np.array(w) for name, w in self._weights.items()}


def _find(device: Kind) -> Any:
    require_one_of("device", device, ("cpu", "cuda", "tpu"))
    try:
        return jax.devices(device)[0]
    except RuntimeError as error:
        raise no_such_device("JAX", device.upper(), str(error).splitlines()[0]) from error


def _precisions(at: Any, device: Kind) -> tuple[str, ...]:
    if device == "cuda":
        ampere = float(at.compute_capability) >= _AMPERE
        return ("fp32", "tf32", "bf16") if ampere else ("fp32",)
    return ("fp32", "bf16")
