"""Convolutional networks: their layers, exact parameter counts and operations for an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property, lru_cache
from typing import Literal

from enterprise_lab.errors import (
    InvalidValueError,
    keep_whole,
    require_flag,
    require_kind,
    require_whole,
)

OperationKind = Literal["conv", "linear", "norm", "activation", "pool", "add"]
LARGEST_IMAGE = 100_000


@dataclass(frozen=True)
class Operation:
    """One operation on one image: its FLOPs, and how many elements it reads and writes.

    FLOPs are those of matrix products; what is bound by memory (norms, activations, pooling,
    sums) has none.
    """

    name: str
    kind: OperationKind
    flops: int
    weight_elements: int
    input_elements: int
    output_elements: int


@dataclass(frozen=True)
class Convolution:
    """A square convolution to `channels`; by default padded so that stride 1 keeps the size."""

    channels: int
    kernel: int
    stride: int = 1
    groups: int = 1
    bias: bool = False
    padding: int | None = None


@dataclass(frozen=True)
class Linear:
    """A fully connected layer to `width`, over all pixels of all channels."""

    width: int
    bias: bool = True


@dataclass(frozen=True)
class Norm:
    """A batch or layer norm: `weights` of each channel, a scale and a shift."""

    weights: int = 2


@dataclass(frozen=True)
class Activation:
    """A function of each element."""


@dataclass(frozen=True)
class Pool:
    """Maximum or mean over windows."""

    kernel: int
    stride: int
    padding: int = 0


@dataclass(frozen=True)
class PoolTo:
    """Mean over as many windows as give an image of `size`; 1 is global pooling."""

    size: int = 1


@dataclass(frozen=True)
class Join:
    """Two branches from one input, joined element by element: added, or one gating the other.

    A residual block adds its body to its shortcut, squeeze-and-excitation multiplies each channel
    with what its branch says. A branch without layers is the input itself.
    """

    body: tuple[Layer, ...]
    other: tuple[Layer, ...] = ()


Layer = Convolution | Linear | Norm | Activation | Pool | PoolTo | Join


@dataclass(frozen=True)
class ConvolutionalShape:
    """A convolutional network for square images of `channels`, layer after layer.

    Raises InvalidValueError for sizes below one and for groups that don't divide the channels.
    """

    name: str
    layers: tuple[Layer, ...] = field(repr=False)
    channels: int = 3

    def __post_init__(self) -> None:
        keep_whole(self, "channels", 1_000_000)
        require_kind("name", self.name, str, "'resnet50'")
        if not self.layers:
            raise InvalidValueError(f"{self.name} has no layers.", "Give at least one.")
        for layer in _flat(self.layers):
            _check_layer(layer)
        if not _fits(self, LARGEST_IMAGE):
            raise InvalidValueError(
                f"No image reaches the last layer of {self.name}.", "Use smaller strides."
            )

    @property
    def kind(self) -> Literal["convolutional"]:
        """Tells it from Transformers, whose kind is encoder, decoder or encoder-decoder."""
        return "convolutional"

    @cached_property
    def smallest_image(self) -> int:
        """Pixels along the side of the smallest image that leaves something to the last layer."""
        small, large = 1, LARGEST_IMAGE
        while small < large:
            middle = (small + large) // 2
            if _fits(self, middle):
                large = middle
            else:
                small = middle + 1
        return small

    def operations(self, image_size: int) -> tuple[Operation, ...]:
        """List the operations on one image of `image_size` by `image_size` pixels, in order.

        Raises InvalidValueError for an image too small to reach the last layer.
        """
        image_size = require_whole("image_size", image_size, LARGEST_IMAGE)
        if image_size < self.smallest_image:
            raise InvalidValueError(
                f"An image of {image_size} pixels is too small for {self.name}.",
                f"Give an image_size of at least {self.smallest_image}.",
            )
        return _walk(self, image_size)

    @cached_property
    def parameters(self) -> int:
        """Exact number of parameters, without the running statistics of batch norms."""
        return sum(operation.weight_elements for operation in _walk(self, self.smallest_image))


class _TooSmallError(Exception):
    """The image vanishes on the way."""


def _flat(layers: tuple[Layer, ...]) -> Iterator[Layer]:
    require_kind("layers", layers, tuple, "(Convolution(64, 3), PoolTo(), Linear(10))")
    for layer in layers:
        require_kind("a layer", layer, Layer, "Convolution(64, 3)")
        yield layer
        if isinstance(layer, Join):
            yield from _flat(layer.body)
            yield from _flat(layer.other)


def _check_layer(layer: Layer) -> None:
    for one in fields(layer):
        value = getattr(layer, one.name)
        if one.name == "bias":
            require_flag(bias=value)
        elif one.name == "padding" and isinstance(layer, Convolution) and value is None:
            continue
        elif not isinstance(layer, Join):
            smallest = 0 if one.name in ("padding", "weights") else 1
            keep_whole(layer, one.name, 100_000_000, smallest)


def _fits(shape: ConvolutionalShape, image_size: int) -> bool:
    try:
        _walk(shape, image_size)
    except _TooSmallError:
        return False
    return True


@lru_cache(maxsize=256)
def _walk(shape: ConvolutionalShape, image_size: int) -> tuple[Operation, ...]:
    operations: list[Operation] = []
    _apply(shape.layers, (shape.channels, image_size), operations)
    return tuple(operations)


def _apply(
    layers: tuple[Layer, ...], image: tuple[int, int], operations: list[Operation]
) -> tuple[int, int]:
    """Append the operations of the layers on an image of (channels, size); return what is left."""
    for layer in layers:
        match layer:
            case Join(body, other):
                left = _apply(body, image, operations)
                right = _apply(other, image, operations)
                operations.append(_join(left, right))
                image = left
            case Linear(width, bias):
                operations.append(_linear(image, width, bias))
                image = (width, 1)
            case _:
                after = _after(layer, image)
                operations.append(_operation(layer, image, after))
                image = after
    return image


def _after(layer: Layer, image: tuple[int, int]) -> tuple[int, int]:
    channels, size = image
    match layer:
        case Convolution():
            padding = (layer.kernel - 1) // 2 if layer.padding is None else layer.padding
            after = (layer.channels, (size + 2 * padding - layer.kernel) // layer.stride + 1)
        case Pool(kernel, stride, padding):
            after = (channels, (size + 2 * padding - kernel) // stride + 1)
        case PoolTo(to):
            after = (channels, to)
        case _:
            after = image
    if after[1] < 1:
        raise _TooSmallError
    return after


def _elements(image: tuple[int, int]) -> int:
    channels, size = image
    return channels * size * size


def _operation(layer: Layer, before: tuple[int, int], after: tuple[int, int]) -> Operation:
    sizes = _elements(before), _elements(after)
    match layer:
        case Convolution():
            _require_groups(layer, before[0])
            weights = layer.kernel**2 * before[0] // layer.groups * layer.channels
            flops = 2 * weights * after[1] ** 2
            weights += layer.channels if layer.bias else 0
            grouped = f", {layer.groups} groups" if layer.groups > 1 else ""
            name = f"{layer.kernel}x{layer.kernel} convolution, {before[0]} to {after[0]}{grouped}"
            return Operation(name, "conv", flops, weights, *sizes)
        case Norm(weights):
            return Operation("norm", "norm", 0, weights * before[0], *sizes)
        case Activation():
            return Operation("activation", "activation", 0, 0, *sizes)
        case _:
            return Operation("pooling", "pool", 0, 0, *sizes)


def _linear(image: tuple[int, int], width: int, bias: bool) -> Operation:
    inputs = _elements(image)
    weights = inputs * width
    name = f"linear, {inputs} to {width}"
    return Operation(name, "linear", 2 * weights, weights + bias * width, inputs, width)


def _join(left: tuple[int, int], right: tuple[int, int]) -> Operation:
    if left[0] != right[0] or right[1] not in (1, left[1]):
        raise InvalidValueError(
            f"Branches of {left[0]} channels, {left[1]} pixels and of {right[0]}, {right[1]}"
            " can't be joined.",
            "Give the shortcut a convolution of the same channels and stride.",
        )
    read = _elements(left) + _elements(right)
    return Operation("join of branches", "add", 0, 0, read, _elements(left))


def _require_groups(layer: Convolution, channels: int) -> None:
    for given in (channels, layer.channels):
        if given % layer.groups:
            near = max(layer.groups, round(given / layer.groups) * layer.groups)
            raise InvalidValueError(
                f"{given} channels are not divisible by {layer.groups} groups.",
                f"The nearest number of channels that is: {near}.",
            )
