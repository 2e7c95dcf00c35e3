"""Shapes of live modules: their parameters, and that nothing of the module changes."""

import pytest
import real_modules as real
import torch
import transformers
from torch import nn

from enterprise_lab import catalog
from enterprise_lab.errors import LabError
from enterprise_lab.measure.modules import shape_of
from enterprise_lab.shapes import shape_from_hf_config


def size_of(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    "build", [lambda: real.bert().bert, real.gpt2, real.llama, real.mixtral, real.falcon, real.t5]
)
def test_a_transformer_is_read_from_its_config(build):
    module = build()
    shape = shape_of(module)
    assert shape.parameters == size_of(module)
    if module.config.model_type != "bert":
        assert shape == shape_from_hf_config(module.config.to_dict())


def test_an_encoder_without_its_pooler_is_read_as_such():
    with torch.device("meta"):
        module = transformers.BertModel(transformers.BertConfig(), add_pooling_layer=False)
    assert shape_of(module).parameters == size_of(module)
    assert not shape_of(module).pooler


def resnet50():
    return real.resnet50()


def convnext():
    config = transformers.ConvNextConfig(
        depths=[3, 3, 27, 3], hidden_sizes=[128, 256, 512, 1024], num_labels=1000
    )
    return real.without_weights("ConvNextForImageClassification", config)


def regnet():
    config = transformers.RegNetConfig(
        depths=[2, 6, 17, 2], hidden_sizes=[48, 120, 336, 888], groups_width=24,
        layer_type="y", num_labels=1000,
    )  # fmt: skip
    return real.without_weights("RegNetForImageClassification", config)


@pytest.mark.parametrize(
    ("name", "build"),
    [("resnet50", resnet50), ("convnext_base", convnext), ("regnet_y_1_6gf", regnet)],
)
def test_a_convolutional_network_is_the_one_of_the_catalogue(name, build):
    module, known = build(), catalog.model(name).shape
    shape = shape_of(module)
    assert shape.parameters == known.parameters == size_of(module)
    for image_size in (224, 160):
        mine, theirs = shape.operations(image_size), known.operations(image_size)
        assert sorted(map(figures, mine)) == sorted(map(figures, theirs))


def figures(operation):
    return operation.kind, operation.flops, operation.output_elements


class Own(nn.Module):
    """Residual, depthwise, squeeze-and-excitation by linear layers, several linear layers."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 8, 5, 2, 2), nn.BatchNorm2d(8), nn.ReLU(True))
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.gate = nn.Sequential(nn.Linear(8, 2), nn.SiLU(), nn.Linear(2, 8), nn.Sigmoid())
        self.norm = nn.GroupNorm(2, 8)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 20), nn.Dropout(), nn.ReLU(),
            nn.Linear(20, 10),
        )  # fmt: skip

    def forward(self, image):
        x = self.stem(image)
        gate = self.gate(x.mean((2, 3)))[:, :, None, None]
        x = self.norm(gate * self.depthwise(x)) + x
        return self.head(self.pool(x))


@pytest.mark.parametrize("training", [True, False])
def test_a_network_of_ones_own(training):
    module = Own().train(training)
    module.head.eval()
    shape = shape_of(module, image_size=64)
    assert shape.parameters == size_of(module)
    for image_size in (64, 28):
        image = torch.zeros(1, 1, image_size, image_size)
        mine = sum(operation.flops for operation in shape.operations(image_size))
        assert mine == real.counted(lambda image=image: module(image))
    assert module.training == training
    assert not module.head.training


def test_reading_a_module_leaves_its_weights_and_running_statistics():
    module = Own().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    shape_of(module, image_size=64)
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


class Concatenating(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, image):
        return torch.cat([self.one(image), self.two(image)], 1)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

    def forward(self, image):
        return self.one(image)


def classifier():
    return real.without_weights("BertForSequenceClassification", transformers.BertConfig())


def vision_transformer():
    config = transformers.ViTConfig(num_hidden_layers=1)
    return real.without_weights("ViTForImageClassification", config)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: "resnet50", "torch.nn.Module"),
        (lambda: nn.Linear(3, 4), "Linear"),
        (lambda: nn.TransformerEncoderLayer(16, 2), "TransformerEncoderLayer"),
        (classifier, "base_model"),
        (vision_transformer, "ViT"),
        (Concatenating, "cat"),
        (Unused, "32 parameters, of which an image passes 16"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, (3, 1))), "convolution"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3, dilation=2)), "convolution"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, ceil_mode=True)), "max_pool2d"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 300)), "224"),
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 1), nn.Linear(5, 5)), "224"),
    ],
)
def test_what_a_shape_cannot_describe_is_refused(build, named):
    with pytest.raises(LabError, match=named):
        shape_of(build())
