"""The time model: limits it must keep whatever is fitted, and what it must say of known cases."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from enterprise_lab import catalog, estimate
from enterprise_lab.estimate.calibration import STACKS, calibration
from enterprise_lab.estimate.collectives import all_gather_seconds, all_reduce_seconds, ring
from enterprise_lab.estimate.kernels import matmul_seconds
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.system import System

A100 = catalog.accelerator("A100-SXM4-80GB")
SYSTEM = System.of(A100, "bf16")
FITTED = calibration().coefficients("LLM training", "bf16")
SIZES = st.integers(1, 65536)


@given(SIZES, SIZES, SIZES)
def test_a_product_is_no_faster_than_peak_and_memory(m, k, n):
    seconds = matmul_seconds(m, k, n, SYSTEM, FITTED)
    assert seconds >= 2 * m * k * n / A100.peak_flops("bf16")
    assert seconds >= 2 * (m * k + k * n + m * n) / SYSTEM.bandwidth


@given(SIZES, SIZES, SIZES, st.integers(2, 8))
def test_a_larger_product_takes_longer_but_less_for_each_operation(m, k, n, times):
    small, large = (matmul_seconds(r, k, n, SYSTEM, FITTED) for r in (m, m * times))
    assert small < large <= small * times * (1 + 1e-9)


@pytest.mark.parametrize("chip", catalog.accelerators(), ids=lambda chip: chip.name)
def test_no_chip_multiplies_faster_than_its_peak(chip):
    for precision, stack in itertools.product(chip.peak_tflops, STACKS):
        fitted = calibration().coefficients(stack, precision)
        size = 2.0**17
        seconds = matmul_seconds(size, size, size, System.of(chip, precision), fitted)
        assert seconds >= 2 * size**3 / chip.peak_flops(precision), (precision, stack)


def test_a_chip_that_power_holds_back_is_slower_than_its_peak_says():
    t4, v100 = (catalog.accelerator(name) for name in ("T4", "V100-SXM2-16GB"))
    rates = [System.of(chip, "fp16").matmul_flops for chip in (t4, v100)]
    assert rates[0] / rates[1] == pytest.approx(t4.power_watts / v100.power_watts)


@given(st.integers(2, 512), st.floats(1e3, 1e11))
def test_a_ring_needs_the_bytes_over_its_slowest_link(devices, size):
    seconds = all_gather_seconds(size, ring(devices, 1, SYSTEM, FITTED, FITTED.network_share))
    assert seconds >= size * (devices - 1) / devices / SYSTEM.link


def test_a_ring_between_nodes_is_slower_than_inside_one():
    inside, beyond = (
        ring(n, 1, SYSTEM, FITTED, FITTED.network_share)
        for n in (int(SYSTEM.node_devices), 8 * int(SYSTEM.node_devices))
    )
    assert beyond.rate < inside.rate
    assert beyond.step_seconds > inside.step_seconds
    assert all_reduce_seconds(0.0, beyond) > all_reduce_seconds(0.0, inside)
    assert all_reduce_seconds(0.0, beyond) < 2 * all_gather_seconds(0.0, beyond)


def gpt(**given_arguments):
    wanted = {
        "sequence_length": 2048, "global_batch": 512, "accelerator": "A100-SXM4-80GB",
        "precision": "bf16", "plan": Plan(data=8, tensor=8, pipeline=8),
    } | given_arguments  # fmt: skip
    return estimate.training(catalog.model("gpt3-175b").shape, **wanted)


def test_terms_sum_to_the_step_and_intervals_hold_the_value():
    for found in (gpt(), gpt(plan=Plan(data=512, zero=3, recompute="full", flash_attention=True))):
        step = found.step_seconds
        assert sum(step.terms.values()) == pytest.approx(step.value)
        for figure in (step, found.mfu, found.tokens_per_second, found.memory_bytes_per_device):
            assert figure.low < figure.value < figure.high
        assert found.mfu.value == pytest.approx(
            found.model_flops_per_step / (step.value * 312e12 * 512)
        )
        assert found.tokens_per_second.value * step.value == pytest.approx(2048 * 512)


@pytest.mark.parametrize(
    ("plain", "changed", "term"),
    [
        (Plan(data=8, tensor=8, pipeline=8), {"recompute": "full"}, "recomputation"),
        (Plan(data=64, tensor=8), {"data": 8, "pipeline": 8}, "pipeline bubble"),
        (Plan(data=512), {"data": 64, "tensor": 8}, "tensor parallel"),
        (Plan(data=512), {"zero": 3}, "sharded parameters"),
    ],
)
def test_each_way_of_saving_memory_costs_time_of_its_own(plain, changed, term):
    before, after = gpt(plan=plain), gpt(plan=replace(plain, **changed))
    assert not before.step_terms.get(term, 0.0)
    assert after.step_terms[term] > 0
    assert after.memory_bytes_per_device.value < before.memory_bytes_per_device.value


def test_interleaving_shortens_the_bubble():
    plain = gpt(plan=Plan(data=8, tensor=8, pipeline=8))
    interleaved = gpt(plan=Plan(data=8, tensor=8, pipeline=8, interleave=4))
    bubbles = [e.step_terms["pipeline bubble"] for e in (plain, interleaved)]
    assert bubbles[1] == pytest.approx(bubbles[0] / 4)


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([128, 512, 2048]))
def test_a_step_is_longer_than_its_flops_at_peak(data, length):
    shape = catalog.model("gpt2").shape
    assume(length <= shape.max_positions)
    found = estimate.training(
        shape, sequence_length=length, global_batch=64, accelerator="V100-SXM2-16GB",
        plan=Plan(data=data, micro_batch=8), precision="fp16", causal="half",
    )  # fmt: skip
    assert 0 < found.mfu.value < 1


def test_training_fewer_weights_takes_less_time_and_memory():
    shape = catalog.model("llama-2-7b").shape

    def found(trainable):
        return estimate.training(
            shape, sequence_length=1024, global_batch=16, accelerator="A100-SXM4-80GB",
            precision="bf16", plan=Plan(data=8, flash_attention=True), trainable=trainable,
        )  # fmt: skip

    whole, lora, head = (found(t) for t in ("all", estimate.LowRank(rank=8), "head"))
    assert head.step_seconds.value < lora.step_seconds.value < whole.step_seconds.value
    memory = [e.memory_bytes_per_device.value for e in (head, lora, whole)]
    assert memory[0] < memory[1] < memory[2]


def test_a_slow_input_pipeline_decides_the_step():
    found = gpt(samples_per_second=1.0)
    assert found.step_seconds.value == pytest.approx(512)
    assert "input" in found.step_terms


def test_checkpoints_are_shared_by_the_steps_between_them():
    saving = estimate.Checkpoints(every_steps=100, bytes_per_second=10e9)
    extra = gpt(checkpoints=saving).step_seconds.value - gpt().step_seconds.value
    assert extra == pytest.approx(12 * catalog.model("gpt3-175b").shape.parameters / 10e9 / 100)


def test_checkpoints_of_adapters_hold_what_is_trained():
    saving, adapters = estimate.Checkpoints(1, 1e9), estimate.LowRank(rank=8)
    shape = catalog.model("llama-2-7b").shape
    found = estimate.training(
        shape, sequence_length=512, global_batch=4, accelerator="A100-SXM4-80GB",
        precision="bf16", trainable=adapters, checkpoints=saving,
    )  # fmt: skip
    assert found.step_terms["checkpoints"] == pytest.approx(12 * adapters.parameters(shape) / 1e9)


def served(**given_arguments):
    wanted = {
        "accelerator": "A100-SXM4-80GB", "precision": "bf16", "input_length": 512,
        "output_length": 128,
    } | given_arguments  # fmt: skip
    return estimate.inference(catalog.model("llama-2-7b").shape, **wanted)


def test_one_request_waits_for_the_weights_and_never_has_the_whole_bandwidth():
    found = served()
    weights = 2 * found.parameters
    reading = weights / A100.memory_bandwidth_bytes_per_second
    assert reading / 0.95 < found.decode_seconds_per_token.value < 2.5 * reading


def test_batches_serve_more_requests_but_each_waits_longer():
    one, many = served(), served(batch=32)
    assert many.queries_per_second.value > 4 * one.queries_per_second.value
    assert many.decode_seconds_per_token.value > one.decode_seconds_per_token.value
    assert many.prefill_seconds.value > one.prefill_seconds.value


def test_fewer_bits_and_more_devices_speed_decoding_up():
    plain = served().decode_seconds_per_token.value
    assert served(weight_bits=4).decode_seconds_per_token.value < plain
    assert served(tensor=4).decode_seconds_per_token.value < plain


def test_a_request_is_its_prompt_and_every_further_token():
    found = served(batch=4)
    seconds = found.prefill_seconds.value + 127 * found.decode_seconds_per_token.value
    assert found.queries_per_second.value == pytest.approx(4 / seconds)


def test_images_are_counted_where_there_are_no_tokens():
    shape = catalog.model("resnet50").shape
    found = estimate.training(
        shape, sequence_length=0, global_batch=256, accelerator="V100-SXM2-16GB",
        precision="fp16", plan=Plan(data=8, micro_batch=32),
    )  # fmt: skip
    assert found.tokens_per_second.unit == "image/s"
    assert found.tokens_per_second.value * found.step_seconds.value == pytest.approx(256)
    assert np.isclose(found.model_flops_per_step / 256, 3 * 8.2e9, rtol=0.05)
