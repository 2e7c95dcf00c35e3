"""The network against the real modules, and the recipe."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.torch_cnn import Network

NETWORKS = [SmallCNN(), SmallCNN(channels=3, image_size=32, width=8, classes=100)]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_shape_has_the_parameters_of_the_modules(network):
    real = sum(p.numel() for p in Network(network).parameters())
    assert network.shape.parameters == real


@pytest.mark.parametrize("network", NETWORKS)
def test_the_shape_has_the_flops_of_the_modules(network):
    images = torch.zeros(2, network.channels, network.image_size, network.image_size)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        Network(network)(images)
    operations = network.shape.operations(network.image_size)
    assert 2 * sum(one.flops for one in operations) == forward.get_total_flops()


def test_the_first_weights_are_those_of_he_with_a_seed():
    network = SmallCNN(width=64)
    weights = network.initial_weights(1)
    real = Network(network).state_dict()
    assert {name: w.shape for name, w in weights.items()} == {n: w.shape for n, w in real.items()}
    assert all(w.dtype == np.float32 for w in weights.values())
    assert weights["third.weight"].std() == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    assert not weights["third.bias"].any()
    again, other = network.initial_weights(1), network.initial_weights(2)
    assert np.array_equal(weights["first.weight"], again["first.weight"])
    assert not np.array_equal(weights["first.weight"], other["first.weight"])


@pytest.mark.parametrize(
    "bad", [{"image_size": 7}, {"image_size": 2}, {"width": 0}, {"classes": 1}, {"channels": 1.5}]
)
def test_a_network_that_cant_be_is_refused(bad):
    with pytest.raises(InvalidValueError):
        SmallCNN(**bad)


@pytest.mark.parametrize(
    "bad",
    [{"batch": 0}, {"learning_rate": 0}, {"momentum": 1.1}, {"precision": "fp16"}, {"seed": -1}],
)
def test_a_recipe_that_cant_be_is_refused(bad):
    with pytest.raises(InvalidValueError):
        Recipe(**bad)


@given(st.integers(1, 50), st.integers(0, 200), st.integers(0, 3), st.integers(0, 3))
def test_batches_are_whole_and_show_an_image_once(batch, more, epoch, seed):
    recipe = Recipe(batch=batch, seed=seed)
    samples = batch + more
    batches = list(recipe.batches(samples, epoch))
    seen = np.concatenate(batches)
    assert {len(one) for one in batches} == {batch}
    assert len(batches) == samples // batch
    assert len(set(seen.tolist())) == len(seen)
    assert set(seen.tolist()) <= set(range(samples))
    assert all(map(np.array_equal, batches, recipe.batches(samples, epoch)))


def test_epochs_and_seeds_have_their_own_order():
    def order(seed, epoch):
        return tuple(next(Recipe(seed=seed).batches(1000, epoch)))

    assert len({order(0, 1), order(0, 2), order(1, 1), order(1, 2)}) == 4


def test_too_few_images_for_a_batch_are_refused():
    with pytest.raises(InvalidValueError, match="at most 63"):
        next(Recipe().batches(63, 1))
