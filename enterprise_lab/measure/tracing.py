"""Convolutional networks followed operation by operation while they run on sizes alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from enterprise_lab.errors import LabError, require_whole
from enterprise_lab.shapes import ConvolutionalShape
from enterprise_lab.shapes.convolutional import (
    LARGEST_IMAGE,
    Activation,
    Convolution,
    Join,
    Layer,
    Linear,
    Norm,
    Pool,
    PoolTo,
)

_SAME = {
    "_reshape_alias", "_unsafe_view", "alias", "clone", "contiguous", "detach", "dropout",
    "expand", "flatten", "lift_fresh", "permute", "reshape", "squeeze", "t", "transpose",
    "unsqueeze", "view", "_to_copy",
}  # fmt: skip
_FUNCTIONS = {
    "clamp", "clamp_min", "elu", "exp", "gelu", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "mish", "pow", "relu", "sigmoid", "silu", "_softmax", "_log_softmax", "tanh",
}  # fmt: skip
_NORMS = {
    "native_batch_norm", "cudnn_batch_norm", "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training", "_native_batch_norm_legit_functional",
    "native_layer_norm", "native_group_norm",
}  # fmt: skip


class _Step:
    """A layer at its place: two equal layers are two steps."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer


Path = tuple[_Step, ...]


class _Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps, for every tensor that comes of the image, the path of layers that made it."""

    def __init__(self, image: torch.Tensor, name: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name
        self._made: dict[int, tuple[torch.Tensor, Path]] = {id(image): (image, ())}

    def path(self, value: object) -> Path | None:
        """Return the layers that made a value, None where it doesn't come of the image."""
        return self._made[id(value)][1] if id(value) in self._made else None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation, and note the path of what it makes."""
        result = func(*args, **(kwargs or {}))
        given = [one for one in tree_leaves((args, kwargs)) if self.path(one) is not None]
        made = result[0] if isinstance(result, (list, tuple)) else result
        if given and isinstance(made, torch.Tensor):
            name = func.overloadpacket.__name__.rstrip("_")
            self._made[id(made)] = (made, self._after(name, args, given))
        return result

    def _after(self, name: str, args: tuple[Any, ...], given: list[torch.Tensor]) -> Path:
        if len(given) == 2 and name in ("add", "mul"):
            wide, other = sorted(given, key=torch.Tensor.numel, reverse=True)
            return _joined(self._made[id(wide)][1], self._made[id(other)][1])
        path = self._made[id(given[0])][1]
        layer = _layer(name, args, given[0]) if len(given) == 1 else None
        if layer is None:
            raise LabError(
                f"{self.name} has an operation that is not read here: {name}.",
                "Give its shape by hand: ConvolutionalShape(...).",
            )
        return path if layer == "same" else (*path, _Step(layer))


def traced_shape(module: torch.nn.Module, image_size: int, parameters: int) -> ConvolutionalShape:
    """Return the layers that one image of `image_size` pixels passes, with as many parameters.

    Raises LabError for what can't be run on images, for operations that are not read, and where
    the layers passed don't have all the parameters.
    """
    require_whole("image_size", image_size, LARGEST_IMAGE)
    name = type(module).__name__
    first = next(part for part in module.modules() if isinstance(part, torch.nn.Conv2d))
    image = torch.empty((1, first.in_channels, image_size, image_size), device="meta")
    path = _run(module, image, name)
    shape = ConvolutionalShape(name, tuple(step.layer for step in path), first.in_channels)
    if shape.parameters != parameters:
        raise LabError(
            f"{name} has {parameters:,} parameters, of which an image passes {shape.parameters:,}.",
            "Remove what is not used, or give the shape by hand: ConvolutionalShape(...).",
        )
    return shape


def _run(module: torch.nn.Module, image: torch.Tensor, name: str) -> Path:
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    sizes = {key: tensor.detach().to("meta") for key, tensor in state.items()}
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), _Trace(image, name) as trace:
            output = torch.func.functional_call(module, sizes, (image,))
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        size = " x ".join(map(str, image.shape[1:]))
        raise LabError(
            f"{name} can't be run on an image of {size}: {error}".splitlines()[0],
            "Give a module that takes one batch of images, and the image_size it is made for.",
        ) from error
    finally:
        for part, training in modes.items():
            part.training = training
    paths = [trace.path(leaf) or () for leaf in tree_leaves(output)]
    return max(paths, key=len, default=())


def _joined(one: Path, other: Path) -> Path:
    """Join two paths where they part: before it they are the same steps."""
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] is other[shared]:
        shared += 1
    branches = (tuple(step.layer for step in path[shared:]) for path in (one, other))
    return (*one[:shared], _Step(Join(*branches)))


def _layer(name: str, args: tuple[Any, ...], image: torch.Tensor) -> Layer | Literal["same"] | None:
    """Return what one operation on one image is as a layer; None for what is not read."""
    if name in _SAME:
        return "same"
    if name in _FUNCTIONS:
        return Activation()
    if name in _NORMS:
        given = args[2:4] if name == "native_layer_norm" else args[1:3]
        return Norm(sum(isinstance(one, torch.Tensor) for one in given))
    if name in ("add", "sub", "mul", "div"):
        return _scaled(args, image)
    reader = _READERS.get(name)
    return reader(*args) if reader else None


def _scaled(args: tuple[Any, ...], image: torch.Tensor) -> Layer | Literal["same"]:
    """Return a scale or shift by a parameter as a norm of one weight, by a number as nothing."""
    other = args[1] if args[0] is image else args[0]
    return Norm(1) if isinstance(other, torch.Tensor) and other.numel() > 1 else "same"


def _convolution(
    _: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], transposed: bool, __: Any, groups: int,
) -> Layer | None:  # fmt: skip
    kernel = weight.shape[2:]
    square = len(kernel) == 2 and all(len({*one}) == 1 for one in (kernel, stride, padding))
    if not square or transposed or {*dilation} != {1}:
        return None
    return Convolution(weight.shape[0], kernel[0], stride[0], groups, bias is not None, padding[0])


def _addmm(bias: torch.Tensor, rows: torch.Tensor, weight: torch.Tensor) -> Layer:
    return _product(rows, weight, bias is not None)


def _product(rows: torch.Tensor, weight: torch.Tensor, bias: bool = False) -> Layer:
    """Return a linear layer of one row, or of every pixel, which is a convolution of one pixel."""
    width = weight.shape[1]
    return Linear(width, bias) if rows.shape[0] == 1 else Convolution(width, 1, bias=bias)


def _pool(
    _: torch.Tensor, kernel: Sequence[int], stride: Sequence[int] = (),
    padding: Sequence[int] = (0,), *further: Any,
) -> Layer | None:  # fmt: skip
    stride = stride or kernel
    square = all(len({*one}) == 1 for one in (kernel, stride, padding))
    ceiling_or_dilated = any(one is True or one not in (1, [1, 1], False) for one in further[:2])
    return Pool(kernel[0], stride[0], padding[0]) if square and not ceiling_or_dilated else None


def _pool_to(_: torch.Tensor, size: Sequence[int]) -> Layer | None:
    return PoolTo(size[0]) if len({*size}) == 1 else None


def _mean(image: torch.Tensor, axes: Sequence[int], *_: Any) -> Layer | None:
    return PoolTo() if {axis % image.dim() for axis in axes} == {2, 3} else None


_READERS: dict[str, Callable[..., Layer | None]] = {
    "convolution": _convolution,
    "addmm": _addmm,
    "mm": _product,
    "max_pool2d_with_indices": _pool,
    "avg_pool2d": _pool,
    "_adaptive_avg_pool2d": _pool_to,
    "mean": _mean,
}
