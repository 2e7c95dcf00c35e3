"""The door to training estimates: their arithmetic, what they lean on, refuse and look like."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from enterprise_lab import catalog, estimate
from enterprise_lab.catalog.nodes import node_of
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.calibration import calibration
from enterprise_lab.estimate.published_observations import all_observations

A100 = "A100-SXM4-40GB"
BERT = catalog.model("bert-base-uncased").shape
GPT2 = catalog.model("gpt2").shape


def bert(**changes):
    arguments = {
        "sequence_length": 128,
        "global_batch": 256,
        "accelerator": A100,
        "plan": estimate.Plan(data=8, micro_batch=32),
        "tokens": 1e6 * 256 * 128,
    }
    return estimate.training(BERT, **(arguments | changes))


def gpt(accelerator="A100-SXM4-80GB", devices=8, micro_batch=4, **changes):
    plan = estimate.Plan(data=devices, micro_batch=micro_batch, flash_attention=True)
    arguments = {"sequence_length": 1024, "global_batch": 512, "plan": plan, "precision": "bf16"}
    return estimate.training(GPT2, accelerator=accelerator, **(arguments | changes))


@pytest.mark.parametrize("rows", [r for r in all_observations() if r.stack in
                         ("LLM training", "encoder training")], ids=lambda r: r.family)  # fmt: skip
def test_the_door_says_what_the_fit_was_judged_by(rows):
    predicted = rows.predict(calibration())
    encoder, head = rows.family == "encoder training", estimate.GATHERED_SHARE
    for index in range(0, len(rows), 7):
        row = rows.rows[index]
        shape = catalog.model(row.model).shape
        e = estimate.training(
            shape,
            sequence_length=row.sequence_length,
            global_batch=row.micro_batch * row.accumulation_steps * row.data,
            accelerator=row.accelerator,
            plan=rows.plans.plan(index),
            precision=row.precision,
            predicted_share=head if row.workload == "pretraining" and encoder else None,
        )
        assert e.step_seconds.value == pytest.approx(predicted[index]), row.id
        assert e.case == rows.cases[index]


def test_figures_follow_from_the_step():
    e = bert()
    assert sum(e.step_seconds.terms.values()) == pytest.approx(e.step_seconds.value)
    assert e.steps == pytest.approx(1e6)
    assert e.training_seconds.value == pytest.approx(1e6 * e.step_seconds.value)
    assert e.tokens_per_second.value == pytest.approx(256 * 128 / e.step_seconds.value)
    flops = 256 * sum(
        estimate.training_flops(BERT, sequence_length=128, predicted_share=0).values()
    )
    assert e.model_flops_per_step == flops
    assert e.mfu.value == pytest.approx(flops / (8 * 312e12 * e.step_seconds.value))


def test_intervals_turn_round_where_they_must():
    e = bert()
    figures = (e.step_seconds, e.training_seconds, e.tokens_per_second, e.mfu)
    for figure in (*figures, e.memory_bytes_per_device):
        assert figure.low < figure.value < figure.high
    low, high = (end / e.step_seconds.value for end in (e.step_seconds.low, e.step_seconds.high))
    assert e.mfu.low == pytest.approx(e.mfu.value / high)
    assert e.mfu.high == pytest.approx(e.mfu.value / low)


def width(e):
    return e.step_seconds.high / e.step_seconds.low


def test_an_interval_is_wider_where_no_row_is_alike_and_says_why():
    unseen = gpt(accelerator="TPU v4")
    assert width(unseen) > width(gpt())
    assert "no row with TPU v4" in unseen.step_seconds.source
    many = gpt(devices=512, micro_batch=1)
    assert "devices" in many.step_seconds.source


@given(
    st.sampled_from(["V100-SXM2-16GB", A100, "H100-SXM5-80GB", "T4", "L4"]),
    st.integers(0, 6),
    st.integers(0, 4),
    st.sampled_from([64, 128, 512, 1024]),
    st.sampled_from(["none", "selective", "full"]),
)
@settings(max_examples=60, deadline=None)
def test_no_step_is_faster_than_the_peak(chip, devices, micro_batch, length, recompute):
    plan = estimate.Plan(data=2**devices, micro_batch=2**micro_batch, recompute=recompute)
    e = estimate.training(
        GPT2, sequence_length=length, global_batch=1024, accelerator=chip, plan=plan
    )
    assert e.step_seconds.value > e.hardware_flops_per_step / e.peak_flops
    assert e.mfu.value < 1


@given(st.sampled_from([1, 2, 4, 8]), st.sampled_from([1, 2, 4]))
@settings(max_examples=20, deadline=None)
def test_more_devices_take_less_time_but_not_proportionally_less(devices, micro_batch):
    assume(devices > 1)
    one, many = (gpt(devices=n, micro_batch=micro_batch) for n in (1, devices))
    assert many.model_flops_per_step == one.model_flops_per_step
    ratio = one.step_seconds.value / many.step_seconds.value
    assert 1 < ratio <= devices
    assert many.mfu.value <= one.mfu.value * (1 + 1e-9)


def test_recomputation_adds_operations_and_time_and_takes_memory_away():
    full = estimate.Plan(data=8, micro_batch=32, recompute="full")
    plain, recomputed = bert(), bert(plan=full)
    assert recomputed.model_flops_per_step == plain.model_flops_per_step
    assert recomputed.hardware_flops_per_step > plain.hardware_flops_per_step
    assert recomputed.step_seconds.value > plain.step_seconds.value
    assert recomputed.memory_bytes_per_device.value < plain.memory_bytes_per_device.value


def test_a_slower_network_between_nodes_takes_longer():
    node = node_of(catalog.accelerator("A100-SXM4-80GB"))
    slow = node.model_copy(update={"network_gbps": node.network_gbps / 20})
    alone = node.model_copy(update={"devices": 1})
    fast_step, slow_step, apart = (
        gpt(devices=16, node=it).step_seconds.value for it in (node, slow, alone)
    )
    assert slow_step > fast_step
    assert apart >= fast_step


def test_an_encoder_predicts_nothing_unless_told_and_a_decoder_everything():
    assert not bert().flop_terms["head"]
    assert bert(predicted_share=estimate.GATHERED_SHARE).flop_terms["head"]
    assert gpt().flop_terms["head"] == gpt(predicted_share=1.0).flop_terms["head"]


def test_causal_counts_operations_and_changes_no_time():
    half, full = gpt(causal="half"), gpt(causal="full")
    assert half.model_flops_per_step < full.model_flops_per_step
    assert half.step_seconds.value == full.step_seconds.value


def test_images_take_the_place_of_tokens():
    e = estimate.training(
        catalog.model("resnet50").shape,
        global_batch=256,
        accelerator="V100-SXM2-16GB",
        plan=estimate.Plan(micro_batch=128),
        tokens=1_281_167,
    )
    assert e.tokens_per_step == 256
    assert e.tokens_per_second.unit == "image/s"
    assert e.training_seconds.value == pytest.approx(
        1_281_167 / e.tokens_per_second.value, rel=1e-12
    )


def test_it_renders_with_terms_origin_and_marks():
    html = bert()._repr_html_()
    for part in ("attention scores", "optimizer states", "time in all", "time: overhead",
                 "estimated", "published", "four times in five"):  # fmt: skip
        assert part in html
    assert "unverified" not in html
    assert "unverified" in bert(accelerator="A10G")._repr_html_()


def test_a_single_step_has_no_total():
    with pytest.raises(LabError, match="tokens"):
        _ = bert(tokens=None).training_seconds


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"global_batch": 250}, "nearest global batch that works: 256"),
        ({"global_batch": 0}, "whole number"),
        ({"global_batch": -8}, "whole number"),
        ({"tokens": -1}, "above zero"),
        ({"tokens": float("nan")}, "above zero"),
        ({"sequence_length": 1024}, "at most 512"),
        ({"accelerator": "H1000"}, "Near names"),
        ({"accelerator": "A100"}, "Say which"),
        ({"precision": "fp8"}, "A100"),
        ({"precision": "int8"}, "int8"),
        ({"accelerator": "V100-SXM2-16GB", "precision": "bf16"}, "V100"),
        ({"samples_per_second": 0}, "above zero"),
        ({"plan": estimate.Plan(data=2, tensor=5, micro_batch=1)}, "heads"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(changes, says):
    with pytest.raises(LabError, match=says):
        bert(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": 8},
        {"tokens": "1e9"},
        {"accelerator": None},
        {"global_batch": 256.0},
    ],
)
def test_other_types_than_asked_for_are_refused_with_a_sentence(changes):
    with pytest.raises(LabError):
        bert(**changes)


def test_a_model_is_not_its_shape():
    with pytest.raises(LabError, match=r"\.shape"):
        estimate.training(
            catalog.model("gpt2"), sequence_length=128, global_batch=8, accelerator=A100
        )


@pytest.mark.parametrize("bad", [{"data": 0}, {"micro_batch": -1}, {"data": 1.5}, {"data": True}])
def test_plans_check_themselves(bad):
    with pytest.raises(LabError):
        estimate.Plan(**bad)


def test_a_calibration_of_ones_own_is_used():
    figures = dict(calibration().figures)
    name = "step_overhead_seconds, encoder training"
    slower = replace(calibration(), figures=figures | {name: figures[name] + 1})
    more = bert(fitted=slower).step_seconds.value - bert().step_seconds.value
    assert more == pytest.approx(12 / 24)  # the figure is that of 24 layers
