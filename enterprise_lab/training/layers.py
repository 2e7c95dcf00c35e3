"""The convolutions of the small CNN one by one: how intense they are, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from enterprise_lab.measure.devices import Kind
from enterprise_lab.measure.timing import Measurement, measure
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.small_cnn import KERNEL, SmallCNN

FP32_BYTES = 4


@dataclass(frozen=True)
class Convolution:
    """One of the network's convolutions on a batch: the channels it reads and writes, and where."""

    in_channels: int
    out_channels: int
    image_size: int
    batch: int

    @property
    def flops(self) -> int:
        """FLOPs of the forward pass; a multiply-add is two."""
        return 2 * self._places * self._weights

    @property
    def moved_bytes(self) -> int:
        """Bytes in fp32 that must move: inputs, weights and outputs once each."""
        numbers = self._places * (self.in_channels + self.out_channels) + self._weights
        return FP32_BYTES * numbers

    @property
    def _places(self) -> int:
        return self.batch * self.image_size**2

    @property
    def _weights(self) -> int:
        return self.in_channels * self.out_channels * KERNEL**2


@dataclass(frozen=True)
class LayerRate:
    """A convolution's forward pass in fp32: its FLOPs a byte, and its measured FLOP/s."""

    name: str
    flops_per_byte: float
    rate: Measurement


def convolutions(network: SmallCNN, batch: int) -> tuple[Convolution, ...]:
    """List the network's convolutions in their order."""
    width, size = network.width, network.image_size
    return (
        Convolution(network.channels, width, size, batch),
        Convolution(width, 2 * width, size, batch),
        Convolution(2 * width, 4 * width, size // 2, batch),
    )


def layer_rates(
    network: SmallCNN, batch: int, kind: Kind, *, budget_seconds: float
) -> list[LayerRate]:
    """Measure each convolution in PyTorch, forward, on a batch, in `budget_seconds` each.

    Raises LabError where PyTorch isn't installed or doesn't find the device.
    """
    from enterprise_lab.training.torch_cnn import TorchTrainer

    finish = None if kind == "cpu" else TorchTrainer(network, Recipe(batch=batch), kind).finish
    found = []
    for layer in convolutions(network, batch):
        taken = measure(_work(layer, kind), budget_seconds=budget_seconds, finish=finish)
        name = f"convolution {layer.in_channels} → {layer.out_channels}"
        intensity = layer.flops / layer.moved_bytes
        found.append(LayerRate(name, intensity, taken.rate_of(layer.flops, "FLOP/s")))
    return found


def _work(layer: Convolution, kind: Kind) -> Callable[[], object]:
    import torch
    from torch.nn.functional import conv2d

    size, channels = layer.image_size, layer.in_channels
    images = torch.rand(layer.batch, channels, size, size, device=kind)
    weights = torch.rand(layer.out_channels, channels, KERNEL, KERNEL, device=kind)

    @torch.inference_mode()
    def work() -> torch.Tensor:
        # Left to itself, cuDNN would round to tf32 on GPUs that have it.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return conv2d(images, weights, padding="same")

    return work
