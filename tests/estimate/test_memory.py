"""Memory of a step against Korthikanti's formulas, published figures and peaks of real steps."""

import importlib.util
import statistics
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.activations import FUSED, Implementation
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.memory import device_memory, largest_micro_batch, training_memory
from enterprise_lab.estimate.peaks import predicted_peak
from enterprise_lab.estimate.plan import OFFLOAD, RECOMPUTE, Plan
from enterprise_lab.estimate.stage_memory import BUCKET_BYTES
from enterprise_lab.estimate.states import StateBytes
from enterprise_lab.estimate.trainable import LowRank
from enterprise_lab.measure.records import recorded
from enterprise_lab.shapes import TransformerShape

GPT3 = catalog.model("gpt-3-175b").shape
BERT = catalog.model("bert-base-uncased").shape
TENSORS_ONLY = {"fragmentation": 0, "framework_bytes": 0}
STATES = ("weights", "gradients", "optimizer states")


def activations(plan: Plan, length: int = 2048, **options) -> float:
    return training_memory(GPT3, sequence_length=length, plan=plan, **options)["activations"]


def test_without_a_plan_it_is_one_device():
    terms = training_memory(BERT, sequence_length=128, micro_batch=8, recompute="full")
    assert terms == training_memory(
        BERT, sequence_length=128, plan=Plan(micro_batch=8, recompute="full")
    )
    assert sum(terms[name] for name in STATES) == 16 * BERT.parameters


SBH = 2048 * GPT3.hidden
ATTENTION = 5 * GPT3.heads * 2048 / GPT3.hidden


@pytest.mark.parametrize(
    ("options", "layer"),
    [
        # Korthikanti et al. 2022, table 2.
        ({"tensor": 8}, SBH * (10 + 24 / 8 + ATTENTION / 8)),
        ({"tensor": 8, "sequence_parallel": True}, SBH * (34 + ATTENTION) / 8),
        ({"tensor": 8, "recompute": "selective"}, SBH * (10 + 24 / 8)),
        ({"tensor": 8, "sequence_parallel": True, "recompute": "selective"}, SBH * 34 / 8),
        ({"recompute": "full"}, SBH * 2),
    ],
)
def test_activations_of_a_layer_are_the_published_ones(options, layer):
    # A first stage of one layer, all its micro-batches in flight: as if it had all layers.
    plan = Plan(pipeline=96, **options)
    divided = 8 if plan.sequence_parallel else 1
    embedding_mask = 96 * SBH / divided
    assert activations(plan) == pytest.approx(96 * layer + embedding_mask, rel=1e-9)


@pytest.mark.parametrize(("stages", "virtual"), [(8, 2), (12, 4), (32, 3)])
def test_interleaved_stages_keep_the_published_factor_more(stages, virtual):
    # Korthikanti et al. 2022, section 4.2.3: L (1 + (p - 1) / (p m)) layers.
    plan = Plan(pipeline=stages, interleave=virtual)
    plain = activations(replace(plan, interleave=1)) - stages * SBH
    more = activations(plan) - stages * SBH
    assert more / plain == pytest.approx(1 + (stages - 1) / (stages * virtual), rel=1e-9)


def test_a_pipeline_keeps_no_more_micro_batches_than_a_step_has():
    plan = Plan(pipeline=8)
    few = activations(plan, global_batch=3)
    assert few == pytest.approx(3 / 8 * activations(plan, global_batch=64))


def test_the_last_stage_can_be_the_fullest():
    # Its head keeps logits of a large vocabulary; with one micro-batch a step stages are alike.
    shape = TransformerShape(
        "decoder", layers=4, hidden=64, heads=1, kv_heads=1, ffn=256, vocabulary=100_000,
        tied_embeddings=False,
    )  # fmt: skip
    plan = Plan(pipeline=4, flash_attention=True, micro_batch=8)
    terms = training_memory(shape, sequence_length=512, plan=plan, global_batch=8)
    assert terms["activations"] > 8 * 512 * 4 * shape.vocabulary


def test_sharded_parameters_are_gathered_a_layer_at_a_time():
    # DeepSpeed's memory documentation: 18 bytes shared, 4 of the largest layer.
    shape = catalog.model("t5-3b").shape
    terms = training_memory(
        shape, sequence_length=1, plan=Plan(data=8, zero=3, flash_attention=True),
        states=StateBytes.of("fp16", gradient_bits=32), dropout=False,
    )  # fmt: skip
    assert sum(terms[name] for name in STATES) == pytest.approx(18 / 8 * shape.parameters)
    decoder_layer = 4 * shape.decoder_layer_parameters
    assert terms["temporary buffers"] - BUCKET_BYTES == pytest.approx(decoder_layer, rel=0.2)


def test_offloaded_states_leave_the_device():
    terms = training_memory(
        GPT3, sequence_length=2048, plan=Plan(data=8, zero=3, offload="parameters")
    )
    assert [terms[name] for name in STATES] == [0, 0, 0]


def test_flash_attention_keeps_what_selective_recomputation_does_and_a_little_more():
    flash = activations(Plan(flash_attention=True))
    selective = activations(Plan(recompute="selective"))
    log_sums = 96 * 2048 * 4 * GPT3.heads
    # Keys and values are there in both; the output is also the next product's input.
    assert flash == pytest.approx(selective + log_sums, rel=1e-3)


def test_low_rank_adapters_of_quantised_weights():
    # Dettmers et al. 2023, section 3: 4 bits and 0.127 for constants.
    shape = catalog.model("llama-2-70b").shape
    terms = training_memory(
        shape, sequence_length=512, precision="bf16", trainable=LowRank(rank=64, base_bits=4)
    )
    ends = 2 * shape.vocabulary * shape.hidden
    base = (shape.parameters - ends) * 4.127 / 8 + 2 * ends
    adapters = LowRank(rank=64).parameters(shape)
    assert terms["weights"] == pytest.approx(base + 2 * adapters, rel=1e-6)
    assert terms["optimizer states"] == 12 * adapters


def test_a_frozen_trunk_keeps_no_layers():
    full = training_memory(BERT, sequence_length=128, micro_batch=8)
    head = training_memory(
        BERT, sequence_length=128, micro_batch=8, trainable="head", predicted_share=0
    )
    assert head["activations"] == 0
    assert head["gradients"] == 2 * (BERT.hidden**2 + BERT.hidden)
    assert head["weights"] == full["weights"]


PLANS = st.builds(
    PlanDimensions,
    data=st.integers(1, 64),
    tensor=st.sampled_from([2, 4, 8]),
    pipeline=st.sampled_from([1, 2, 4, 8]),
    context=st.integers(1, 4),
    micro_batch=st.integers(1, 8),
    zero=st.integers(0, 3),
    sequence_parallel=st.integers(0, 1),
    recompute=st.integers(0, 2),
    flash_attention=st.integers(0, 1),
    interleave=st.integers(1, 3),
    offload=st.integers(0, 1),
)


def needs(plan: PlanDimensions, **options):
    return device_memory(
        GPT3, plan, sequence_length=2048, precision="bf16", states=StateBytes(),
        **TENSORS_ONLY, **options,
    )  # fmt: skip


@given(plans=st.lists(PLANS, min_size=1, max_size=8), batch=st.integers(1, 512))
def test_many_plans_at_once_are_each_plan_alone(plans, batch):
    arrays = {name: np.array([getattr(p, name) for p in plans]) for name in asdict(plans[0])}
    together = needs(PlanDimensions(**arrays), global_batch=batch)
    for index, plan in enumerate(plans):
        for name, size in needs(plan, global_batch=batch).items():
            assert np.broadcast_to(together[name], len(plans))[index] == pytest.approx(float(size))


@given(plan=PLANS)
def test_what_saves_memory_never_costs_any(plan):
    def need(**changes):
        return float(sum(needs(replace(plan, **changes)).values()))

    stages = [need(zero=stage) for stage in range(3)]
    assert stages == sorted(stages, reverse=True)
    assert need(sequence_parallel=1) <= need(sequence_parallel=0)
    assert need(recompute=RECOMPUTE.index("selective")) <= need(recompute=0)
    assert need(offload=OFFLOAD.index("optimizer")) <= need(offload=0)
    assert need() <= need(micro_batch=plan.micro_batch + 1)
    assert min(needs(plan).values()) >= 0


@given(memory_gb=st.integers(4, 400), at_most=st.integers(1, 512))
def test_largest_micro_batch_is_the_largest_that_fits(memory_gb, at_most):
    def need(micro_batch):
        terms = training_memory(
            BERT, sequence_length=128, micro_batch=micro_batch, global_batch=at_most
        )
        return sum(terms.values())

    found = largest_micro_batch(
        BERT, memory_bytes=memory_gb * 1e9, sequence_length=128, at_most=at_most
    )
    assert at_most % found == 0
    assert need(found) <= memory_gb * 1e9
    larger = [n for n in range(found + 1, at_most + 1) if at_most % n == 0]
    assert all(need(n) > memory_gb * 1e9 for n in larger)


def test_the_largest_micro_batch_knows_plans():
    given_arguments = {"memory_bytes": 80e9, "sequence_length": 2048, "at_most": 64}
    plan = Plan(tensor=8, pipeline=16, sequence_parallel=True, recompute="selective")
    lean = replace(plan, recompute="full")
    assert largest_micro_batch(GPT3, plan=plan, **given_arguments) < largest_micro_batch(
        GPT3, plan=lean, **given_arguments
    )


def test_the_largest_micro_batch_takes_the_options_of_a_step():
    given_arguments = {"memory_bytes": 16e9, "sequence_length": 512, "at_most": 10**6}
    plain = largest_micro_batch(BERT, **given_arguments)
    lean = largest_micro_batch(BERT, trainable=LowRank(), optimizer="sgd", **given_arguments)
    heavy = largest_micro_batch(BERT, states=StateBytes(4, 4, 40), **given_arguments)
    assert heavy < plain < lean


def test_too_little_memory_says_what_is_needed():
    with pytest.raises(LabError, match=r"One sequence needs .* GB"):
        largest_micro_batch(
            catalog.model("bert-large-uncased").shape,
            memory_bytes=4e9,
            sequence_length=512,
            at_most=8,
        )


def test_images_of_a_convolutional_network():
    shape = catalog.model("resnet50").shape
    small = training_memory(shape, micro_batch=8, precision="fp32", image_size=112)
    large = training_memory(shape, micro_batch=8, precision="fp32", image_size=224)
    lean = training_memory(shape, micro_batch=8, precision="fp32", recompute="full")
    assert large["activations"] == pytest.approx(4 * small["activations"], rel=0.02)
    assert sum(lean[n] for n in ("activations", "temporary buffers")) < large["activations"]
    assert large["optimizer states"] == 8 * shape.parameters


@pytest.mark.parametrize(
    "arguments",
    [
        {"plan": Plan(), "precision": "int8"},
        {"sequence_length": 0},
        {"global_batch": 0},
        {"predicted_share": 1.5},
        {"optimizer": "lion"},
        {"micro_batch": 0},
        {"recompute": "some"},
    ],
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(LabError):
        training_memory(BERT, **{"sequence_length": 128} | arguments)


PEAKS = recorded("cpu_memory_peaks")


def error(parameters, measured: float) -> float:
    return abs(measured / sum(predicted_peak(parameters).values()) - 1)


def test_predictions_of_recorded_peaks():
    errors = [error(peak.parameters, peak.value) for peak in PEAKS]
    assert len(errors) > 140
    assert statistics.median(errors) < 0.10
    assert max(errors) < 0.20


FAMILIES = sorted({peak.parameters["model"] for peak in PEAKS})


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_of_each_familys_recorded_peaks(family):
    mine = [peak for peak in PEAKS if peak.parameters["model"] == family]
    assert statistics.median(error(p.parameters, p.value) for p in mine) < 0.05


def test_a_prediction_does_not_look_at_what_was_measured():
    for peak in PEAKS[::20]:
        assert not {"value", "peak", "measured"} & set(peak.parameters)


def test_a_step_measured_now():
    path = Path(__file__).parents[2] / "benchmarks" / "memory_peaks.py"
    spec = importlib.util.spec_from_file_location("memory_peaks", path)
    benchmark = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = benchmark
    spec.loader.exec_module(benchmark)
    peak = benchmark.record(benchmark.Case("gpt2", batch=2, length=64, optimizer="sgd"), "now")
    assert error(peak.parameters, peak.value) < 0.10


def test_real_modules_keep_more_than_fused_kernels():
    shape = catalog.model("gpt2").shape
    given_arguments = {"sequence_length": 1024, "micro_batch": 4}
    written = training_memory(
        shape, implementation=Implementation.of_transformers(shape), **given_arguments
    )
    fused = training_memory(shape, implementation=FUSED, **given_arguments)
    assert written["activations"] > fused["activations"]
