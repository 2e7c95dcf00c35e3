"""Published convolutional networks, as torchvision builds them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from enterprise_lab.shapes.convolutional import (
    Activation,
    Convolution,
    ConvolutionalShape,
    Join,
    Layer,
    Linear,
    Norm,
    Pool,
    PoolTo,
)

Layers = tuple[Layer, ...]


def alexnet() -> Layers:
    """Krizhevsky 2014, one column."""
    return (
        *_biased(64, 11, stride=4, padding=2),
        Pool(3, 2),
        *_biased(192, 5),
        Pool(3, 2),
        *_biased(384, 3),
        *_biased(256, 3),
        *_biased(256, 3),
        Pool(3, 2),
        PoolTo(6),
        *_classifier(4096, 4096),
    )


def vgg16() -> Layers:
    """Simonyan and Zisserman 2015, table 1, column D."""
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    return (
        *(
            layer
            for channels, depth in stages
            for layer in (*_biased(channels, 3) * depth, Pool(2, 2))
        ),
        PoolTo(7),
        *_classifier(4096, 4096),
    )


def resnet(depths: tuple[int, ...], *, bottleneck: bool) -> Layers:
    """He et al. 2016, table 1; the stride of a bottleneck in its 3x3 convolution (v1.5)."""
    layers = [*_normed(64, 7, stride=2), Pool(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2**stage
        wide = 4 * width if bottleneck else width
        for block in range(depth):
            stride = 2 if stage and not block else 1
            body = (
                (*_normed(width, 1), *_normed(width, 3, stride), *_linear_conv(wide, 1))
                if bottleneck
                else (*_normed(width, 3, stride), *_linear_conv(wide, 3))
            )
            shortcut = _linear_conv(wide, 1, stride) if (channels, stride) != (wide, 1) else ()
            layers += [Join(body, shortcut), Activation()]
            channels = wide
    return (*layers, PoolTo(), *_classifier())


def mobilenet_v2() -> Layers:
    """Sandler et al. 2018, table 2."""
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
              (6, 160, 3, 2), (6, 320, 1, 1))  # fmt: skip
    layers, channels = _normed(32, 3, stride=2), 32
    for expansion, width, depth, stride in stages:
        for block in range(depth):
            layers += _inverted(channels, expansion * channels, width, 3, 1 if block else stride)
            channels = width
    return (*layers, *_normed(1280, 1), PoolTo(), *_classifier())


def mobilenet_v3_large() -> Layers:
    """Howard et al. 2019, table 1."""
    blocks = (
        (3, 16, 16, False, 1), (3, 64, 24, False, 2), (3, 72, 24, False, 1),
        (5, 72, 40, True, 2), (5, 120, 40, True, 1), (5, 120, 40, True, 1),
        (3, 240, 80, False, 2), (3, 200, 80, False, 1), (3, 184, 80, False, 1),
        (3, 184, 80, False, 1), (3, 480, 112, True, 1), (3, 672, 112, True, 1),
        (5, 672, 160, True, 2), (5, 960, 160, True, 1), (5, 960, 160, True, 1),
    )  # fmt: skip
    layers, channels = _normed(16, 3, stride=2), 16
    for kernel, expanded, width, excited, stride in blocks:
        squeezed = _multiple_of_8(expanded / 4) if excited else 0
        layers += _inverted(channels, expanded, width, kernel, stride, squeezed)
        channels = width
    return (*layers, *_normed(960, 1), PoolTo(), *_classifier(1280))


def efficientnet_b0() -> Layers:
    """Tan and Le 2019, table 1."""
    stages = ((1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2),
              (6, 5, 112, 3, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1))  # fmt: skip
    layers, channels = _normed(32, 3, stride=2), 32
    for expansion, kernel, width, depth, stride in stages:
        for block in range(depth):
            layers += _inverted(
                channels, expansion * channels, width, kernel, 1 if block else stride, channels // 4
            )
            channels = width
    return (*layers, *_normed(1280, 1), PoolTo(), *_classifier())


def convnext(depths: tuple[int, ...], widths: tuple[int, ...]) -> Layers:
    """Liu et al. 2022, figure 4; layer scale as in its code."""
    layers: list[Layer] = []
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        patch = Convolution(width, 2 if stage else 4, 2 if stage else 4, bias=True, padding=0)
        layers += [Norm(), patch] if stage else [patch, Norm()]
        body = (
            Convolution(width, 7, groups=width, bias=True),
            Norm(),
            Convolution(4 * width, 1, bias=True),
            Activation(),
            Convolution(width, 1, bias=True),
            Norm(weights=1),
        )
        layers += [Join(body)] * depth
    return (*layers, PoolTo(), Norm(), *_classifier())


def regnet_y(depths: tuple[int, ...], widths: tuple[int, ...], group_width: int) -> Layers:
    """Radosavovic et al. 2020, section 4 and appendix; squeeze-and-excitation of a quarter."""
    layers, channels = list(_normed(32, 3, stride=2)), 32
    for depth, width in zip(depths, widths, strict=True):
        for block in range(depth):
            stride = 1 if block else 2
            body = (
                *_normed(width, 1),
                *_normed(width, 3, stride, width // group_width),
                _excitation(width, round(channels / 4)),
                *_linear_conv(width, 1),
            )
            shortcut = () if block else _linear_conv(width, 1, stride)
            layers += [Join(body, shortcut), Activation()]
            channels = width
    return (*layers, PoolTo(), *_classifier())


def plain(widths: tuple[int, ...], classes: int = 10) -> ConvolutionalShape:
    """Return a small network: for each width a 3x3 convolution, norm, ReLU and halving."""
    stages = (layer for width in widths for layer in (*_normed(width, 3), Pool(2, 2)))
    name = f"plain {'-'.join(map(str, widths))}"
    return ConvolutionalShape(name, (*stages, PoolTo(), *_classifier(classes=classes)))


def _biased(channels: int, kernel: int, stride: int = 1, padding: int | None = None) -> Layers:
    return Convolution(channels, kernel, stride, bias=True, padding=padding), Activation()


def _linear_conv(channels: int, kernel: int, stride: int = 1, groups: int = 1) -> Layers:
    return Convolution(channels, kernel, stride, groups), Norm()


def _normed(channels: int, kernel: int, stride: int = 1, groups: int = 1) -> Layers:
    return (*_linear_conv(channels, kernel, stride, groups), Activation())


def _classifier(*widths: int, classes: int = 1000) -> Layers:
    hidden = (layer for width in widths for layer in (Linear(width), Activation()))
    return (*hidden, Linear(classes))


def _excitation(channels: int, squeezed: int) -> Layer:
    gate = (
        PoolTo(),
        Convolution(squeezed, 1, bias=True),
        Activation(),
        Convolution(channels, 1, bias=True),
        Activation(),
    )
    return Join((), gate)


def _inverted(
    channels: int, expanded: int, width: int, kernel: int, stride: int, squeezed: int = 0
) -> Layers:
    """Expand, filter each channel, weigh the channels (optional), project (MobileNetV2)."""
    body = (
        *(_normed(expanded, 1) if expanded != channels else ()),
        *_normed(expanded, kernel, stride, expanded),
        *([_excitation(expanded, squeezed)] if squeezed else ()),
        *_linear_conv(width, 1),
    )
    return (Join(body),) if (channels, stride) == (width, 1) else body


def _multiple_of_8(value: float) -> int:
    """Round to a multiple of 8, down by a tenth at most."""
    near = max(8, int(value + 4) // 8 * 8)
    return near + 8 if near < 0.9 * value else near


NETWORKS: dict[str, Callable[[], Layers]] = {
    "alexnet": alexnet,
    "vgg16": vgg16,
    "resnet18": partial(resnet, (2, 2, 2, 2), bottleneck=False),
    "resnet34": partial(resnet, (3, 4, 6, 3), bottleneck=False),
    "resnet50": partial(resnet, (3, 4, 6, 3), bottleneck=True),
    "resnet101": partial(resnet, (3, 4, 23, 3), bottleneck=True),
    "resnet152": partial(resnet, (3, 8, 36, 3), bottleneck=True),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3_large": mobilenet_v3_large,
    "efficientnet_b0": efficientnet_b0,
    "convnext_base": partial(convnext, (3, 3, 27, 3), (128, 256, 512, 1024)),
    "regnet_y_1_6gf": partial(regnet_y, (2, 6, 17, 2), (48, 120, 336, 888), 24),
}
"""Layers of each network by its name, for images of three channels and 1,000 classes."""


def network(name: str) -> ConvolutionalShape:
    """Return the shape of one of NETWORKS."""
    return ConvolutionalShape(name, NETWORKS[name]())
