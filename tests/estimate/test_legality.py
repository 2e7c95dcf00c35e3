"""Which plans are possible: the same answer for one plan and for many."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.errors import InvalidValueError
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.legality import broken, check, divisors
from enterprise_lab.estimate.plan import Plan

GPT3 = catalog.model("gpt-3-175b").shape
SHAPES = [
    catalog.model(name).shape for name in ("gpt-3-175b", "llama-2-70b", "t5-base", "resnet50")
]
DEGREES = st.sampled_from([1, 1, 2, 3, 4, 6, 8, 16])


@st.composite
def plans(draw):
    try:
        return Plan(
            data=draw(DEGREES),
            tensor=draw(DEGREES),
            pipeline=draw(DEGREES),
            zero=draw(st.integers(0, 3)),
            sequence_parallel=draw(st.booleans()),
            recompute=draw(st.sampled_from(["none", "selective", "full"])),
            micro_batch=draw(DEGREES),
            flash_attention=draw(st.booleans()),
            context=draw(DEGREES),
            interleave=draw(DEGREES),
            offload=draw(st.sampled_from(["none", "optimizer", "parameters"])),
        )
    except InvalidValueError:
        assume(False)


def refusal(shape, plan, **batch):
    with pytest.raises(InvalidValueError) as refused:
        check(shape, plan, **batch)
    return refused.value


@given(st.sampled_from(SHAPES), st.lists(plans(), min_size=1, max_size=5),
       st.sampled_from([1, 12, 48, 96, 1536]), st.sampled_from([128, 100, 2048]))  # fmt: skip
def test_one_plan_and_arrays_of_plans_are_judged_alike(shape, many, batch, length):
    each = [PlanDimensions.of(plan) for plan in many]
    stacked = PlanDimensions(
        **{name: np.array([getattr(one, name) for one in each]) for name in vars(each[0])}
    )
    masks = [mask for _, mask in broken(shape, stacked, global_batch=batch, sequence_length=length)]
    possible = ~np.any(np.broadcast_arrays(*masks, np.zeros(len(many), bool)), axis=0)
    for plan, expected in zip(many, possible, strict=True):
        try:
            check(shape, plan, global_batch=batch, sequence_length=length)
        except InvalidValueError:
            assert not expected
        else:
            assert expected


@given(st.sampled_from(SHAPES), plans(), st.sampled_from([12, 48, 96, 1536]))
def test_a_mend_that_names_one_field_can_be_followed(shape, plan, batch):
    """Whatever is mended, the same complaint doesn't come back; following mends ends well."""
    for _ in range(12):
        try:
            check(shape, plan, global_batch=batch, sequence_length=2048)
            return
        except InvalidValueError as refused:
            mend = refused.remedy
        if mend.startswith("The nearest global batch"):
            batch = int(mend.rstrip(".").split(": ")[1].replace(",", ""))
        else:
            plan = replace(plan, **eval(f"dict({mend.rstrip('.').split(': ')[1]})"))
    pytest.fail(f"mends lead nowhere: {plan}")


@pytest.mark.parametrize(
    "plan",
    [
        Plan(data=16, tensor=8, pipeline=8, micro_batch=1, interleave=3),
        Plan(data=128, tensor=8, zero=3, recompute="full", sequence_parallel=True),
        Plan(data=6, tensor=8, pipeline=32),
    ],
)
def test_plans_as_published_are_possible(plan):
    check(GPT3, plan, global_batch=1536, sequence_length=2048, devices=plan.devices)


@pytest.mark.parametrize(
    ("plan", "problem", "mend"),
    [
        (Plan(tensor=5), "96 heads", "tensor=4"),
        (Plan(tensor=5, sequence_parallel=True), "96 heads", "tensor=4"),
        (Plan(pipeline=10), "96 layers", "pipeline=8"),
        (Plan(pipeline=8, interleave=5), "5 virtual", "pipeline=1, interleave=1"),
        (Plan(pipeline=8, zero=2), "ZeRO stage 2", "zero=1"),
        (Plan(pipeline=8, zero=3, offload="parameters"), "ZeRO", "zero=1, offload='optimizer'"),
        (Plan(context=4), "flash attention", "flash_attention=True"),
        (Plan(context=3, flash_attention=True), "2,048", "context=2"),
        (Plan(tensor=3, sequence_parallel=True), "2,048", "sequence_parallel=False"),
        (Plan(micro_batch=7), "1,536", "micro_batch=6"),
        (Plan(data=5), "1,536", "batch that works: 1,535"),
        (Plan(data=96, pipeline=32, interleave=3), "16 are not divisible by 32", "3,072"),
    ],
)
def test_refusals_say_why_and_what_is_nearest(plan, problem, mend):
    refused = refusal(GPT3, plan, global_batch=1536, sequence_length=2048)
    assert problem in refused.problem
    assert mend in refused.remedy


def test_grouped_keys_are_split_or_repeated():
    grouped = replace(GPT3, heads=96, kv_heads=8)
    for tensor in (2, 8, 16, 32):
        check(grouped, Plan(tensor=tensor), global_batch=8, sequence_length=2048)
    refused = refusal(grouped, Plan(tensor=12), global_batch=8, sequence_length=2048)
    assert "8 key and value heads" in refused.problem
    assert "tensor=8" in refused.remedy or "tensor=16" in refused.remedy


def test_an_encoder_and_a_decoder_are_not_pipelined():
    t5 = catalog.model("t5-base").shape
    assert "pipeline=1" in refusal(t5, Plan(pipeline=2), global_batch=8, sequence_length=64).remedy


@pytest.mark.parametrize(
    ("plan", "mend"),
    [
        (Plan(tensor=2, sequence_parallel=True), "tensor=1, sequence_parallel=False"),
        (Plan(pipeline=2, interleave=2), "pipeline=1, interleave=1"),
        (Plan(context=2), "context=1"),
        (Plan(recompute="selective"), "recompute='none'"),
        (Plan(flash_attention=True), "flash_attention=False"),
    ],
)
def test_convolutional_networks_are_split_by_data_only(plan, mend):
    resnet = catalog.model("resnet50").shape
    check(resnet, Plan(data=8, zero=3, micro_batch=32), global_batch=256)
    assert mend in refusal(resnet, plan, global_batch=256).remedy


def test_a_plan_uses_the_devices_there_are():
    plan = Plan(data=4, tensor=8, pipeline=3)
    check(GPT3, plan, global_batch=1536, sequence_length=2048, devices=96)
    refused = refusal(GPT3, plan, global_batch=1536, sequence_length=2048, devices=100)
    assert "96 devices, and there are 100" in refused.problem
    assert "data=4, for 96 devices" in refused.remedy


@pytest.mark.parametrize("batch", [0, -1, 1.5])
def test_batches_are_positive_whole_numbers(batch):
    assert "global_batch" in refusal(GPT3, Plan(), global_batch=batch).problem


@given(st.integers(1, 5000))
def test_divisors_are_all_and_only_the_divisors(number):
    assert divisors(number) == [n for n in range(1, number + 1) if number % n == 0]
