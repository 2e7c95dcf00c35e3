"""Every framework trains the same network on the same batches."""

import shutil
import sys

import numpy as np
import pytest
import torch

from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.training import torch_cnn
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.sweep import made_up_batch
from enterprise_lab.training.trainer import FRAMEWORKS, trainer

LOSSES_WITHIN = 1e-4
"""Relative, over the first 20 steps in fp32: 2e-7 was seen on x86 processors."""
GRADIENTS_WITHIN = 1e-4
"""Length of the difference to that of the gradient, in the first step: 1e-6 was seen."""
BF16_WITHIN = 0.01
"""As for losses, of bf16 beside fp32: 7e-4 was seen."""
STEPS = 20


def images(network):
    return made_up_batch(network, 8 * 64)


def first_steps(framework, network, recipe):
    """Return the trainer, the losses of its first steps, and the gradient of the first."""
    made = trainer(framework, network, recipe)
    pictures, labels = images(network)
    losses, gradient = [], {}
    for chosen in [*recipe.batches(len(pictures), 1), *recipe.batches(len(pictures), 2),
                   *recipe.batches(len(pictures), 3)][:STEPS]:  # fmt: skip
        losses.append(made.step(made.put(pictures[chosen], labels[chosen])))
        gradient = gradient or gradients(made)
    made.finish()
    return made, np.array([float(loss) for loss in losses]), gradient


def gradients(made):
    """Return the gradients of the first step, to which the velocity is equal then."""
    if made.framework == "JAX":
        return {name: np.array(v) for name, v in made.velocity.items()}
    return {name: w.grad.numpy().copy() for name, w in made.module.named_parameters()}


@pytest.fixture(scope="module")
def network():
    return SmallCNN()


@pytest.fixture(scope="module")
def eager(network):
    return first_steps("PyTorch", network, Recipe())


@pytest.mark.parametrize("framework", FRAMEWORKS[1:])
def test_frameworks_agree(framework, network, eager):
    made, losses, gradient = first_steps(framework, network, Recipe())
    reference, expected, expected_gradient = eager
    assert losses.shape == (STEPS,)
    assert losses == pytest.approx(expected, rel=LOSSES_WITHIN)
    for name, one in expected_gradient.items():
        apart = np.linalg.norm(gradient[name] - one) / np.linalg.norm(one)
        assert apart < GRADIENTS_WITHIN, name
    assert made.weights().keys() == reference.weights().keys()
    pictures, labels = images(network)
    assert made.accuracy(pictures, labels) == pytest.approx(
        reference.accuracy(pictures, labels), abs=0.01
    )


@pytest.mark.parametrize("framework", ["PyTorch", "JAX"])
def test_bf16_stays_near_fp32_and_keeps_its_weights_in_fp32(framework, network, eager):
    made, losses, _ = first_steps(framework, network, Recipe(precision="bf16"))
    assert losses == pytest.approx(eager[1], rel=BF16_WITHIN)
    assert not np.array_equal(losses, eager[1])
    assert {w.dtype for w in made.weights().values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("framework", ["PyTorch", "JAX"])
def test_a_seed_makes_the_same_steps_again(framework, network):
    one = first_steps(framework, network, Recipe(seed=3))[1]
    again = first_steps(framework, network, Recipe(seed=3))[1]
    other = first_steps(framework, network, Recipe(seed=4))[1]
    assert one == pytest.approx(again, rel=1e-5)
    assert one[0] != pytest.approx(other[0], rel=1e-5)


@pytest.mark.parametrize("framework", ["PyTorch", "JAX"])
def test_a_trainer_says_what_it_is(framework, network):
    made = trainer(framework, network, Recipe())
    assert (made.framework, made.kind) == (framework, "cpu")
    assert "core" in made.device
    assert {"python", framework.removeprefix("Py").casefold()} <= set(made.versions)


@pytest.mark.parametrize("framework", ["PyTorch", "JAX"])
@pytest.mark.parametrize("device", ["cuda", "mps", "tpu", "npu"])
def test_a_device_that_isnt_here_is_said(framework, device, network):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(LabError):
        trainer(framework, network, Recipe(), device=device)


@pytest.mark.parametrize("framework", ["PyTorch", "JAX"])
def test_a_processor_has_no_tf32(framework, network):
    with pytest.raises(LabError, match="has no tf32"):
        trainer(framework, network, Recipe(precision="tf32"))


def test_an_unknown_framework_is_refused(network):
    with pytest.raises(InvalidValueError, match="PyTorch compiled"):
        trainer("Keras", network, Recipe())


def test_compiling_without_a_compiler_is_refused(network, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)  # noqa: ARG005
    with pytest.raises(LabError, match="needs a compiler"):
        trainer("PyTorch compiled", network, Recipe())


@pytest.mark.parametrize(("framework", "module"), [("PyTorch", "torch"), ("JAX", "jax")])
def test_a_framework_that_isnt_installed_is_said(framework, module, network, monkeypatch):
    name = f"enterprise_lab.training.{module}_cnn"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(LabError, match=r"pip install -e '.\[labs\]'"):
        trainer(framework, network, Recipe())


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_tf32_is_set_for_a_step_alone(precision):
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    expected = ("high", True) if precision == "tf32" else ("highest", False)
    with torch_cnn._float32_as(precision):
        assert (torch.get_float32_matmul_precision(), cudnn.allow_tf32) == expected
    assert (torch.get_float32_matmul_precision(), cudnn.allow_tf32) == before


@pytest.mark.parametrize(
    ("capability", "has"),
    [((7, 0), ("fp32",)), ((8, 0), ("fp32", "tf32", "bf16")), ((9, 0), ("fp32", "tf32", "bf16"))],
)
def test_gpus_since_ampere_have_tf32_and_bf16(capability, has, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert torch_cnn._precisions("cuda") == has


def test_compiling_for_a_gpu_needs_triton(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch_cnn.importlib.util, "find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(LabError, match="triton"):
        torch_cnn._require_compiler("cuda")
