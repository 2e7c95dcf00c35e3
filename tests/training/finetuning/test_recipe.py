"""Recipes that can't be are refused, and the machine's best precision is found."""

import pytest
import torch

from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.estimate import LowRank
from enterprise_lab.estimate.trainable import PROJECTIONS
from enterprise_lab.measure.devices import machine
from enterprise_lab.training.finetuning import recipe
from enterprise_lab.training.finetuning.recipe import METHODS, FineTuning, best_precision, usual


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"method": "all"}, "method"),
        ({"precision": "tf32"}, "precision"),
        ({"padding": "none"}, "padding"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"head_learning_rate": -1}, "head_learning_rate"),
        ({"epochs": 0}, "epochs"),
        ({"batch": 1.5}, "batch"),
        ({"accumulation": 0}, "accumulation"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"dropout": 1}, "leaves nothing"),
        ({"warmup_share": 2}, "warmup_share"),
        ({"patience": -1}, "patience"),
        ({"seed": -1}, "seed"),
        ({"recompute": 1}, "recompute"),
        ({"rank": 0}, "rank"),
        ({"targets": ("queries",)}, "targets"),
        ({"targets": ()}, "No projection"),
        ({"class_weights": True, "balanced_sampling": True}, "twice"),
    ],
)
def test_what_cant_be_is_refused(wrong, said):
    with pytest.raises(InvalidValueError, match=said):
        FineTuning(**wrong)


def test_the_estimator_is_told_what_is_trained():
    assert [usual(method).trainable for method in METHODS] == [
        "all",
        "head",
        LowRank(8, PROJECTIONS, base_bits=32),
    ]


@pytest.mark.parametrize(
    ("capability", "best"), [((9, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")]
)
def test_a_gpu_gets_what_it_has_tensor_cores_for(monkeypatch, capability, best):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert best_precision("cuda") == best


def test_without_a_gpu_it_has_no_best_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LabError, match="finds no CUDA"):
        best_precision("cuda")


@pytest.mark.parametrize(("has", "best"), [(("fp32", "bf16"), "bf16"), (("fp32",), "fp32")])
def test_a_processor_gets_bf16_where_it_has_instructions_for_it(monkeypatch, has, best):
    monkeypatch.setattr(recipe, "precisions", lambda _: has)
    assert best_precision("cpu") == best


def test_a_machine_has_a_best_precision():
    assert machine().cores >= 1
    assert best_precision() in ("fp32", "bf16")
