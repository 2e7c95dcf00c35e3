"""Fine-tuning on a processor: memory beside real steps, time by what the terms must do."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from enterprise_lab import estimate
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import Implementation, LowRank, Plan
from enterprise_lab.estimate.step_time import OPTIMIZER_BYTES, UNFUSED_OPTIMIZER_BYTES
from enterprise_lab.estimate.trainable import PROJECTIONS
from enterprise_lab.measure.records import recorded
from enterprise_lab.measure.this_machine import accelerator_of
from enterprise_lab.shapes import shape_from_hf_config
from enterprise_lab.training.finetuning.encoder import read_shape

MINILM = shape_from_hf_config(
    {"model_type": "bert", "num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 12,
     "intermediate_size": 1536, "vocab_size": 30522, "max_position_embeddings": 512,
     "type_vocab_size": 2}
)  # fmt: skip
SMALL = {"layers": 3, "hidden": 128, "heads": 4, "vocabulary": 1000}
"""So small a vocabulary that activations, not states, are most of the peak."""
WITHIN = 0.10
PROCESSOR = accelerator_of(recorded("cpu_rates"))


@pytest.fixture(scope="module")
def benchmark():
    folder = Path(__file__).parents[2] / "benchmarks"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        spec = importlib.util.spec_from_file_location("cpu_ft", folder / "cpu_fine_tuning.py")
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "cpu_ft", module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.parametrize(
    "given",
    [
        ("full", "fp32", 8, 128),
        ("full", "bf16", 8, 128),
        ("full", "bf16", 4, 256),
        ("full", "fp32", 8, 128, 0.1),
        ("full", "bf16", 8, 128, 0.1),
        ("full", "bf16", 8, 128, 0.0, True),
        ("lora", "fp32", 8, 128),
        ("lora", "bf16", 8, 128),
        ("lora", "fp32", 8, 128, 0.0, False, PROJECTIONS),
        ("lora", "bf16", 8, 128, 0.0, False, PROJECTIONS),
        ("head", "fp32", 8, 128),
        ("head", "bf16", 8, 128),
    ],
    ids=str,
)
def test_tensors_of_a_real_step_are_predicted(given, benchmark, tmp_path):
    folder = benchmark.write_config(tmp_path, **SMALL)
    shape, case = read_shape(folder), benchmark.Case("small", *given)
    need = benchmark.predicted(shape, case, PROCESSOR).memory_bytes_per_device.value
    measured = benchmark.tensor_bytes(folder, case, shape)
    assert need == pytest.approx(measured, rel=WITHIN)


def fine_tuning(precision="fp32", *, plan=Plan(micro_batch=16), fused=True, **options):  # noqa: B008
    implementation = Implementation.of_trainer(MINILM, precision, processor=True)
    return estimate.training(
        MINILM, sequence_length=128, global_batch=16, accelerator=PROCESSOR,
        precision=precision, plan=plan,
        implementation=replace(implementation, optimizer_copies=0 if fused else 2),
        **{"dropout": False} | options,
    )  # fmt: skip


def test_dropout_costs_time_and_memory():
    plain, dropped = fine_tuning(), fine_tuning(dropout=True)
    masks = dropped.step_terms["dropout masks"]
    assert not plain.step_terms["dropout masks"]
    assert dropped.step_seconds.value == pytest.approx(plain.step_seconds.value + masks)
    assert dropped.memory_bytes_per_device.value > plain.memory_bytes_per_device.value
    again = fine_tuning(dropout=True, plan=Plan(micro_batch=16, recompute="full"))
    assert again.step_terms["dropout masks"] == pytest.approx(2 * masks)
    assert not fine_tuning(dropout=True, trainable="head").step_terms["dropout masks"]


def test_a_fused_optimizer_passes_over_the_weights_once():
    fused, plain = fine_tuning(), fine_tuning(fused=False)
    ratio = UNFUSED_OPTIMIZER_BYTES / OPTIMIZER_BYTES
    assert plain.step_terms["optimizer"] == pytest.approx(ratio * fused.step_terms["optimizer"])


def test_autocast_keeps_states_in_fp32_and_casts_weights_each_step():
    full = fine_tuning("bf16")
    assert full.memory_terms["weights"] == 4 * MINILM.parameters
    assert full.memory_terms["optimizer states"] == 8 * MINILM.parameters
    assert full.step_terms["casts"] > 0
    assert not fine_tuning("fp32").step_terms["casts"]


def test_what_is_not_trained_takes_no_weight_gradients():
    steps = {
        name: fine_tuning(trainable=trainable).step_terms["matrix products"]
        for name, trainable in (("all", "all"), ("lora", LowRank(base_bits=32)), ("head", "head"))
    }
    assert steps["lora"] == pytest.approx(2 / 3 * steps["all"])
    assert steps["head"] == pytest.approx(1 / 3 * steps["all"])


def test_adapters_take_time_by_where_they_are():
    few, many = (
        fine_tuning(trainable=LowRank(targets=targets)).step_terms["adapters"]
        for targets in (("query", "value"), PROJECTIONS)
    )
    # MiniLM's widths: two projections of 1 x 1, against four and 1 x 4 and 4 x 1.
    assert many == pytest.approx(few * (4 + 5) / 2)
    again = fine_tuning(trainable=LowRank(), plan=Plan(micro_batch=16, recompute="full"))
    assert again.step_terms["adapters"] == pytest.approx(few * (7 + 7 + 9) / (7 + 9))
    assert not fine_tuning().step_terms["adapters"]


def test_what_cannot_be_is_refused():
    with pytest.raises(LabError, match="implementation"):
        fine_tuning_with("implementation", "fused")
    with pytest.raises(LabError, match="dropout"):
        fine_tuning_with("dropout", 0.1)


def fine_tuning_with(name, value):
    return estimate.training(
        MINILM, sequence_length=128, global_batch=16, accelerator=PROCESSOR,
        precision="fp32", **{name: value},
    )  # fmt: skip
