"""Convolutional networks against published counts and real modules without weights."""

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from enterprise_lab import catalog
from enterprise_lab.errors import LabError
from enterprise_lab.shapes.convolutional import (
    Activation,
    Convolution,
    ConvolutionalShape,
    Join,
    Linear,
    Norm,
    Pool,
    PoolTo,
)


def resnet(depths, widths, layer_type):
    config = transformers.ResNetConfig(
        depths=depths, hidden_sizes=widths, layer_type=layer_type, num_labels=1000
    )
    return transformers.ResNetForImageClassification(config)


def mobilenet():
    config = transformers.MobileNetV2Config(num_labels=1000, tf_padding=False)
    return transformers.MobileNetV2ForImageClassification(config)


def convnext():
    config = transformers.ConvNextConfig(
        depths=[3, 3, 27, 3], hidden_sizes=[128, 256, 512, 1024], num_labels=1000
    )
    return transformers.ConvNextForImageClassification(config)


def regnet():
    config = transformers.RegNetConfig(
        depths=[2, 6, 17, 2], hidden_sizes=[48, 120, 336, 888], groups_width=24,
        layer_type="y", num_labels=1000,
    )  # fmt: skip
    return transformers.RegNetForImageClassification(config)


WIDE = [256, 512, 1024, 2048]
REAL = {
    "resnet18": lambda: resnet([2, 2, 2, 2], [64, 128, 256, 512], "basic"),
    "resnet34": lambda: resnet([3, 4, 6, 3], [64, 128, 256, 512], "basic"),
    "resnet50": lambda: resnet([3, 4, 6, 3], WIDE, "bottleneck"),
    "resnet101": lambda: resnet([3, 4, 23, 3], WIDE, "bottleneck"),
    "resnet152": lambda: resnet([3, 8, 36, 3], WIDE, "bottleneck"),
    "mobilenet_v2": mobilenet,
    "convnext_base": convnext,
    "regnet_y_1_6gf": regnet,
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("image_size", [224, 160])
def test_parameters_and_flops_of_a_real_module(name, image_size):
    shape = catalog.model(name).shape
    with torch.device("meta"):
        module = REAL[name]().eval()
        counter = FlopCounterMode(display=False)
        with counter:
            module(torch.zeros(1, 3, image_size, image_size))
    assert shape.parameters == sum(p.numel() for p in module.parameters())
    mine = sum(operation.flops for operation in shape.operations(image_size))
    assert mine == pytest.approx(counter.get_total_flops(), rel=0.001)


@pytest.mark.parametrize(
    ("name", "gmac"),
    # sovrasov/flops-counter.pytorch, README.md, lines 107-128: multiply-adds at 224x224, with
    # norms and activations counted too.
    [
        ("alexnet", 0.71), ("vgg16", 15.48), ("resnet18", 1.81), ("resnet50", 4.09),
        ("mobilenet_v2", 0.32), ("mobilenet_v3_large", 0.23), ("efficientnet_b0", 0.41),
        ("convnext_base", 15.38), ("regnet_y_1_6gf", 1.65),
    ],
)  # fmt: skip
def test_published_multiply_adds(name, gmac):
    operations = catalog.model(name).shape.operations(224)
    matrix = sum(operation.flops for operation in operations) / 2
    elementwise = sum(o.output_elements for o in operations if not o.flops)
    assert matrix <= (gmac + 0.005) * 1e9
    assert matrix + 2 * elementwise >= (gmac - 0.005) * 1e9


TINY = ConvolutionalShape(
    "tiny",
    (
        Convolution(4, 3, stride=2),
        Norm(),
        Activation(),
        Join((Convolution(4, 3, groups=4, bias=True),)),
        Pool(2, 2),
        PoolTo(),
        Linear(5),
    ),
)


def test_a_tiny_network_by_hand():
    assert TINY.parameters == 3 * 4 * 9 + 8 + (4 * 9 + 4) + (4 * 5 + 5)
    seen = [
        (o.kind, o.flops, o.weight_elements, o.input_elements, o.output_elements)
        for o in TINY.operations(8)
    ]
    assert seen == [
        ("conv", 2 * 108 * 16, 108, 192, 64),
        ("norm", 0, 8, 64, 64),
        ("activation", 0, 0, 64, 64),
        ("conv", 2 * 36 * 16, 40, 64, 64),
        ("add", 0, 0, 128, 64),
        ("pool", 0, 0, 64, 16),
        ("pool", 0, 0, 16, 4),
        ("linear", 40, 25, 4, 5),
    ]


@given(
    st.sampled_from(["resnet18", "resnet50", "mobilenet_v2", "convnext_base"]), st.integers(1, 8)
)
def test_flops_of_convolutions_grow_with_the_area(name, times):
    shape = catalog.model(name).shape
    small, large = (
        sum(o.flops for o in shape.operations(size) if o.kind == "conv")
        for size in (64, 64 * times)
    )
    assert large == times**2 * small


def test_an_image_too_small_names_the_smallest():
    with pytest.raises(LabError, match="at least 63"):
        catalog.model("alexnet").shape.operations(62)
    assert catalog.model("alexnet").shape.operations(63)


@pytest.mark.parametrize("image_size", [0, -1, 2.5, True, 10**9])
def test_what_is_no_image_is_refused(image_size):
    with pytest.raises(LabError):
        catalog.model("resnet50").shape.operations(image_size)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        ((Convolution(5, 3, groups=2),), "groups"),
        ((Convolution(0, 3),), "channels"),
        ((Convolution(8, 3, stride=0),), "stride"),
        ((Join((Convolution(8, 3),)),), "joined"),
        ((Join((Convolution(3, 3, stride=2),)),), "joined"),
        ((Linear(-1),), "width"),
        ((Linear("8"),), "width"),
        ((Linear(8, bias="yes"),), "bias"),
        ((Convolution(8, None),), "kernel"),
        ((PoolTo(None),), "size"),
        ((Pool(2, 2, padding=None),), "padding"),
        ((Join(None),), "layers"),
        ((), "no layers"),
        (None, "layers"),
        ([Linear(8)], "layers"),
        (("conv",), "layer"),
        ((Convolution(4, 3, padding=0), Pool(200_000, 1)), "reaches"),
    ],
)
def test_what_cannot_be_a_network_is_refused(layers, named):
    with pytest.raises(LabError, match=named):
        ConvolutionalShape("wrong", layers)
