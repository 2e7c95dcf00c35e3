"""The network of the hardware comparison: small enough to train on a laptop in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.errors import InvalidValueError, keep_whole, require_whole
from enterprise_lab.shapes import LARGEST_IMAGE, ConvolutionalShape
from enterprise_lab.shapes.convolutional import (
    Activation,
    Convolution,
    Layer,
    Linear,
    Pool,
    PoolTo,
)

KERNEL = 3
"""Pixels along the side of every convolution's window."""

Weights = dict[str, NDArray[np.float32]]
"""The weights and biases by name, as PyTorch names and lays them out: OIHW, and out x in."""


@dataclass(frozen=True)
class SmallCNN:
    """Three convolutions, a mean over what is left of the image, and a linear layer.

    `width` is the channels of the first convolution; the second has twice and the third four times
    as many. The second is followed by pooling, which halves the image. All layers have biases.

    Raises InvalidValueError for sizes below one and for an `image_size` that is odd or below 4.
    """

    channels: int = 1
    image_size: int = 8
    width: int = 32
    classes: int = 10

    def __post_init__(self) -> None:
        keep_whole(self, "channels", 1000)
        keep_whole(self, "image_size", LARGEST_IMAGE, smallest=4)
        keep_whole(self, "width", 10_000)
        keep_whole(self, "classes", 1_000_000, smallest=2)
        if self.image_size % 2:
            raise InvalidValueError(
                f"An image_size of {self.image_size} can't be halved, as the pooling does.",
                f"Give an even one, such as {self.image_size + 1}.",
            )

    @property
    def shape(self) -> ConvolutionalShape:
        """The same network, for the estimator."""
        layers: tuple[Layer, ...] = (
            Convolution(self.width, KERNEL, bias=True),
            Activation(),
            Convolution(2 * self.width, KERNEL, bias=True),
            Activation(),
            Pool(2, 2),
            Convolution(4 * self.width, KERNEL, bias=True),
            Activation(),
            PoolTo(),
            Linear(self.classes),
        )
        return ConvolutionalShape(f"small CNN, {self.width} wide", layers, self.channels)

    def initial_weights(self, seed: int = 0) -> Weights:
        """Draw the weights that every framework starts from; biases are zero.

        They are normal with a variance of 2 / inputs (He et al. 2015, equation 10), so that the
        signal neither grows nor fades from layer to layer.
        """
        rng = np.random.default_rng(require_whole("seed", seed, 2**63 - 1, smallest=0))
        width = self.width
        sizes: dict[str, tuple[int, ...]] = {
            "first": (width, self.channels, KERNEL, KERNEL),
            "second": (2 * width, width, KERNEL, KERNEL),
            "third": (4 * width, 2 * width, KERNEL, KERNEL),
            "last": (self.classes, 4 * width),
        }
        weights: Weights = {}
        for name, size in sizes.items():
            drawn = rng.standard_normal(size, dtype=np.float32)
            weights[f"{name}.weight"] = drawn * np.float32(math.sqrt(2 / math.prod(size[1:])))
            weights[f"{name}.bias"] = np.zeros(size[0], np.float32)
        return weights
