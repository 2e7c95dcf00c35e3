"""The search for plans against looking at each plan on its own."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.catalog.nodes import node_of, node_of_instance
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.estimate import legality
from enterprise_lab.estimate.calibration import calibration, training_stack
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.memory import training_memory
from enterprise_lab.estimate.model_dimensions import ModelDimensions
from enterprise_lab.estimate.plan import RECOMPUTE, Plan
from enterprise_lab.estimate.plan_table import pareto_front
from enterprise_lab.estimate.search import plans
from enterprise_lab.estimate.step_time import training_step_seconds
from enterprise_lab.estimate.system import System

GPT2, GPT3 = (catalog.model(name).shape for name in ("gpt2", "gpt-3-175b"))
A100 = catalog.accelerator("A100-SXM4-40GB")
SMALL = {"accelerator": "A100-SXM4-40GB", "global_batch": 12, "sequence_length": 1024}
MEGATRON = {"accelerator": "A100-SXM4-80GB", "global_batch": 1536, "sequence_length": 2048}


def combinations(devices, layers, batch):
    """Every plan for so many devices, from loops over whole numbers."""
    degrees = [n for n in range(1, devices + 1) if devices % n == 0]
    for data, tensor, pipeline in product(degrees, repeat=3):
        if data * tensor * pipeline != devices:
            continue
        for zero, recompute, micro_batch, together, interleave in product(
            range(4),
            RECOMPUTE,
            [n for n in range(1, batch + 1) if batch % n == 0],
            (False, True) if tensor > 1 else (False,),
            [n for n in range(1, layers + 1) if layers % n == 0] if pipeline > 1 else (1,),
        ):
            yield Plan(data=data, tensor=tensor, pipeline=pipeline, zero=zero,
                       recompute=recompute, micro_batch=micro_batch, interleave=interleave,
                       sequence_parallel=together, flash_attention=True)  # fmt: skip


def is_possible(plan, batch, length):
    if node_of(A100).devices % plan.tensor:
        return False
    try:
        legality.check(GPT2, plan, global_batch=batch, sequence_length=length)
    except InvalidValueError:
        return False
    return True


def seconds_of(plan, batch, length):
    terms = training_step_seconds(
        ModelDimensions.of(GPT2),
        PlanDimensions.of(plan),
        System.of(A100, "bf16"),
        calibration().coefficients(training_stack(GPT2, True, A100), "bf16"),
        sequence_length=length,
        global_batch=batch,
        predicted_share=1.0,
    )
    return float(sum(terms.values()))


def test_the_search_finds_what_looking_at_each_plan_finds():
    batch, length, share = 12, 1024, 0.03
    considered = list(combinations(16, GPT2.layers, batch))
    possible = [plan for plan in considered if is_possible(plan, batch, length)]
    needs = {
        plan: sum(
            training_memory(
                GPT2, sequence_length=length, plan=plan, global_batch=batch, precision="bf16"
            ).values()
        )
        for plan in possible
    }
    fitting = {
        plan: seconds_of(plan, batch, length)
        for plan, need in needs.items()
        if need <= share * A100.memory_bytes
    }
    too_large = [need for need in needs.values() if need > share * A100.memory_bytes]

    found = plans(GPT2, devices=16, memory_share=share, **SMALL)
    assert found.considered == len(considered)
    assert found.possible == len(possible)
    assert found.fitting == len(fitting) > 0
    assert found.fastest.step_seconds.value == pytest.approx(min(fitting.values()), rel=1e-9)
    assert fitting[found.fastest.plan] == pytest.approx(min(fitting.values()), rel=1e-9)
    assert {found.dimensions.plan(index) for index in range(found.fitting)} == fitting.keys()
    least, plan = found.least_too_large
    assert least == pytest.approx(min(too_large), rel=1e-9)
    assert needs[plan] == pytest.approx(least, rel=1e-9)
    for index in range(0, found.fitting, 50):
        plan = found.dimensions.plan(index)
        assert found.seconds[index] == pytest.approx(fitting[plan], rel=1e-9)
        assert found.needed_bytes[index] == pytest.approx(needs[plan], rel=1e-9)


@given(st.lists(st.tuples(*[st.integers(0, 6)] * 3), min_size=1, max_size=60))
def test_a_front_is_what_nothing_beats(points):
    figures = np.array(points).T
    front = [points[index] for index in pareto_front(figures)]

    def beats(one, other):
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    assert not any(beats(one, other) for one in front for other in front)
    assert all(point in front or any(beats(one, point) for one in front) for point in points)
    assert front == sorted(set(front))


def test_the_front_over_several_numbers_of_devices():
    found = plans(GPT3, devices=[1024, 64, 256, 64], **MEGATRON)
    figures = np.stack([found.seconds, found.device_seconds, found.devices])
    front = [
        (one.step_seconds.value, one.devices * one.step_seconds.value, one.devices)
        for one in found.pareto
    ]
    assert len(front) == 3
    for point in front:
        column = np.array(point)[:, None]
        as_good = (figures <= column * (1 + 1e-9)).all(axis=0)
        better = (figures < column * (1 - 1e-9)).any(axis=0)
        assert not (as_good & better).any()
    assert found.fastest.plan == found.pareto[0].plan
    assert found.fastest.devices == 1024
    assert found.cheapest.usd_per_step.value == min(o.usd_per_step.value for o in found.pareto)
    assert found.cheapest.devices < 1024


@pytest.mark.parametrize("devices", [8, 96, [64, 100, 128]])
@pytest.mark.parametrize("context_parallel", [False, True])
def test_every_plan_that_was_considered_is_accounted_for(devices, context_parallel):
    found = plans(GPT2, devices=devices, context_parallel=context_parallel, accelerator="T4",
                  precision="fp16", global_batch=96, sequence_length=1024)  # fmt: skip
    assert found.considered == found.fitting + sum(found.reasons.values())
    assert min(found.reasons.values()) > 0
    assert (found.needed_bytes <= found.limit_bytes).all()
    contexts = np.unique(found.dimensions.context)
    assert (contexts.max() > 1) == context_parallel
    for index in range(0, found.fitting, 97):
        plan = found.dimensions.plan(index)
        legality.check(GPT2, plan, global_batch=96, sequence_length=1024)
        assert plan.devices in (devices if isinstance(devices, list) else [devices])


def test_a_chosen_plan_comes_with_its_whole_estimate():
    best = plans(GPT3, devices=512, tokens=300e9, **MEGATRON).fastest
    assert best.devices == best.plan.devices == 512
    assert sum(best.step_seconds.terms.values()) == pytest.approx(best.step_seconds.value)
    assert best.memory_bytes_per_device.value <= 0.9 * 80e9
    steps = 300e9 / (1536 * 2048)
    assert best.training_seconds.value == pytest.approx(steps * best.step_seconds.value)
    assert 0.2 < best.mfu.value < 0.7
    dollars = 512 * best.price.usd_per_hour * best.step_seconds.value / 3600
    assert best.usd_per_step.value == pytest.approx(dollars)
    assert best.training_usd.value == pytest.approx(steps * dollars)
    assert best.device_hours.value == pytest.approx(512 * best.training_seconds.value / 3600)


def test_what_a_device_costs():
    found = plans(GPT2, devices=8, **SMALL)
    assert "p4d.24xlarge" in found.price.source
    assert found.fastest.usd_per_hour == pytest.approx(catalog.price("p4d.24xlarge").usd_per_hour)
    given_price = plans(GPT2, devices=8, usd_per_device_hour=1.5, **SMALL)
    assert given_price.fastest.usd_per_hour == 12
    unpriced = plans(GPT2, devices=8, **SMALL | {"accelerator": "A100-PCIe-80GB"})
    assert unpriced.fastest.usd_per_hour is None
    assert unpriced.fastest.usd_per_step is None
    assert unpriced.cheapest.device_hours_per_step.value > 0
    assert "device-hours" in str(unpriced)


def test_ranked_plans_split_the_devices_differently():
    found = plans(GPT3, devices=1024, **MEGATRON)
    ranked = found.ranked(5)
    times = [one.step_seconds.value for one in ranked]
    assert times == sorted(times)
    assert ranked[0].plan == found.fastest.plan
    assert len({(one.plan.data, one.plan.tensor, one.plan.pipeline) for one in ranked}) == 5


def test_tensor_groups_stay_in_the_node():
    def tensors(**node):
        return set(plans(GPT2, devices=8, **SMALL, **node).dimensions.tensor)

    assert tensors() == {1, 2, 4}
    alone = node_of(A100).model_copy(update={"devices": 1})
    assert tensors(node=alone) == {1}
    assert tensors(node=node_of_instance(catalog.instance("p4d.24xlarge"))) == {1, 2, 4}


def test_networks_of_images_are_spread_by_data():
    found = plans(catalog.model("resnet50").shape, devices=8, accelerator="V100-SXM2-16GB",
                  precision="fp16", global_batch=1024)  # fmt: skip
    assert found.considered == found.fitting + sum(found.reasons.values())
    assert found.possible == len(range(4)) * len(legality.divisors(128))
    best = found.fastest
    assert (best.plan.data, best.plan.tensor, best.plan.pipeline) == (8, 1, 1)
    assert best.step_seconds.value == pytest.approx(found.seconds.min(), rel=1e-9)
    assert best.memory_bytes_per_device.value <= 0.9 * 16e9
    assert not best.plan.flash_attention


def test_encoders_without_fused_attention():
    found = plans(catalog.model("bert-large-uncased").shape, devices=4, accelerator="T4",
                  precision="fp16", global_batch=256, sequence_length=128,
                  flash_attention=False)  # fmt: skip
    best = found.fastest
    assert not best.plan.flash_attention
    assert best.step_seconds.value == pytest.approx(found.seconds.min(), rel=1e-9)
    assert best.memory_bytes_per_device.value == pytest.approx(
        found.needed_bytes[found.seconds.argmin()], rel=1e-9
    )


def test_how_it_shows_itself():
    found = plans(GPT3, devices=1024, tokens=300e9, **MEGATRON)
    for text in (str(found), found._repr_html_()):
        assert f"{found.considered:,}" in text
        assert "p4de.24xlarge" in text
        assert "batch not divisible" in text
        assert "cost in all" in text
    assert "stages don&#x27;t divide the layers" in found._repr_html_()
    lines = str(found).splitlines()
    assert len({len(line) for line in lines[1:12]}) == 1


@pytest.mark.parametrize(
    ("changes", "problem", "mend"),
    [
        ({"devices": 0}, "devices must be a whole number", "bounds"),
        ({"devices": 2.5}, "devices must be a whole number", "bounds"),
        ({"devices": []}, "No number of devices", "several"),
        ({"global_batch": 0}, "global_batch", "bounds"),
        ({"accelerator": "Z9000"}, "no accelerator", "Near names"),
        ({"precision": "fp8"}, "'fp8'", "bf16"),
        ({"memory_share": 0}, "memory_share", "share"),
        ({"usd_per_device_hour": 0}, "above zero", "usd_per_device_hour"),
        ({"tokens": -1}, "above zero", "tokens"),
        ({"devices": 1023}, "No plan is possible for 1,023 devices", "works: 1,024 devices"),
        ({"devices": 4}, "the least that any needs is", "Use 64 devices"),
    ],
)
def test_what_cannot_be_is_refused_with_what_is_nearest(changes, problem, mend):
    with pytest.raises(LabError) as refused:
        plans(GPT3, **{"devices": 1024} | MEGATRON | changes)
    assert problem in refused.value.problem
    assert mend in refused.value.remedy


def test_the_nearest_batch_is_named_where_there_is_one():
    with pytest.raises(LabError) as refused:
        plans(catalog.model("vgg16").shape, devices=16, accelerator="T4", precision="fp16",
              global_batch=1000)  # fmt: skip
    assert "20 devices, or a global batch of 992 on 16 devices" in refused.value.remedy
    assert plans(catalog.model("vgg16").shape, devices=16, accelerator="T4", precision="fp16",
                 global_batch=992).fitting  # fmt: skip


def test_a_mend_for_too_little_memory_works():
    with pytest.raises(LabError) as refused:
        plans(GPT2, devices=1, accelerator="V100-SXM2-16GB", precision="fp16", global_batch=1,
              sequence_length=1024, memory_share=0.15)  # fmt: skip
    assert "chips with more memory, such as the" in refused.value.remedy
    chip = refused.value.remedy.rstrip(".").split("such as the ")[1]
    assert plans(GPT2, devices=1, accelerator=chip, precision="fp16", global_batch=1,
                 sequence_length=1024, memory_share=0.15).fitting  # fmt: skip
