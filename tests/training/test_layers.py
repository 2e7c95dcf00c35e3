"""The network's convolutions, one by one."""

import pytest

from enterprise_lab.course import lab02
from enterprise_lab.training.layers import convolutions, layer_rates
from enterprise_lab.training.small_cnn import SmallCNN

NETWORK = SmallCNN(channels=3, image_size=12, width=8)


def test_the_convolutions_are_those_of_the_shape():
    counted = [op.flops for op in NETWORK.shape.operations(12) if op.kind == "conv"]
    assert [layer.flops for layer in convolutions(NETWORK, 5)] == [5 * flops for flops in counted]


def test_intensity_is_that_of_the_exercise():
    for layer in convolutions(NETWORK, 5):
        assert layer.flops / layer.moved_bytes == pytest.approx(
            lab02.intensity.reference(
                batch=5,
                image_size=layer.image_size,
                in_channels=layer.in_channels,
                out_channels=layer.out_channels,
                kernel=3,
                bytes_per_number=4,
            )
        )


def test_each_is_measured():
    found = layer_rates(NETWORK, 2, "cpu", budget_seconds=0.02)
    assert [one.name for one in found] == [
        "convolution 3 → 8",
        "convolution 8 → 16",
        "convolution 16 → 32",
    ]
    assert all(one.rate.value > 0 and one.rate.unit == "FLOP/s" for one in found)
