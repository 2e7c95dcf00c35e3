"""The convolutions of the small CNN one by one: how intense they are, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

from enterprise_lab.measure.timing import Measurement, measure
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.trainer import Kind

FP32_BYTES = 4


@dataclass(frozen=True)
class LayerRate:
    """A convolution's forward pass in fp32: its arithmetic intensity and its measured rate."""

    name: str
    flops_per_byte: float
    flops_per_second: Measurement


def layer_rates(
    network: SmallCNN, batch: int, kind: Kind, *, budget_seconds: float
) -> list[LayerRate]:
    """Measure each convolution, forward, on `batch` images, in `budget_seconds` each.

    Bytes are those that must move: inputs, weights and outputs once. Raises LabError where PyTorch
    or the device isn't here.
    """
    from enterprise_lab.training.torch_cnn import TorchTrainer

    own = TorchTrainer(network, Recipe(batch=batch), kind)
    operations = [op for op in network.shape.operations(network.image_size) if op.kind == "conv"]
    modules = (own.module.first, own.module.second, own.module.third)
    found = []
    for operation, module in zip(operations, modules, strict=True):
        size = round((operation.input_elements / module.in_channels) ** 0.5)
        numbers = batch * (operation.input_elements + operation.output_elements)
        moved = FP32_BYTES * (numbers + operation.weight_elements)
        taken = measure(
            own.layer_work(module, batch, size), budget_seconds=budget_seconds, finish=own.finish
        )
        flops = batch * operation.flops
        found.append(
            LayerRate(
                f"convolution {module.in_channels} → {module.out_channels}",
                flops / moved,
                taken.rate_of(flops, "FLOP/s"),
            )
        )
    return found
