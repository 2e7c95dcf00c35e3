"""Training estimates: their arithmetic, their ranges, what they refuse, how they look."""

import pytest

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import LabError

A100 = "A100-SXM4-40GB"
FORTY = estimate.Efficiency(0.4, "a test", low=0.2, high=0.5)


def bert(**changes):
    arguments = {
        "sequence_length": 128,
        "global_batch": 256,
        "accelerator": A100,
        "efficiency": FORTY,
        "plan": estimate.Plan(data=8, micro_batch=32),
        "tokens": 1e6 * 256 * 128,
    }
    return estimate.training(catalog.model("bert-base-uncased").shape, **(arguments | changes))


def test_time_is_flops_over_peak_times_efficiency():
    e = bert()
    assert e.step_seconds.value == pytest.approx(e.model_flops_per_step / (8 * 312e12 * 0.4))
    assert e.training_seconds.value == pytest.approx(1e6 * e.step_seconds.value)
    assert e.tokens_per_second.value == pytest.approx(256 * 128 / e.step_seconds.value)
    assert e.mfu.value == pytest.approx(0.4)


def test_ranges_turn_round_where_they_must():
    e = bert()
    for figure in (e.step_seconds, e.training_seconds, e.tokens_per_second, e.mfu):
        assert figure.low < figure.value < figure.high
    assert e.step_seconds.high == pytest.approx(2 * e.step_seconds.value)


def test_recomputation_lowers_mfu_and_not_hardware_efficiency():
    plan = estimate.Plan(data=8, micro_batch=32, recompute="full")
    e = bert(plan=plan)
    assert e.hardware_flops_per_step > e.model_flops_per_step
    assert e.mfu.value == pytest.approx(0.4 * e.model_flops_per_step / e.hardware_flops_per_step)


def test_more_devices_take_less_time_and_the_same_work():
    one = bert(plan=estimate.Plan(micro_batch=32))
    assert one.step_seconds.value == pytest.approx(8 * bert().step_seconds.value)
    assert one.model_flops_per_step == bert().model_flops_per_step


def test_it_renders_with_terms_origin_and_marks():
    html = bert()._repr_html_()
    for part in ("attention scores", "optimizer states", "time in all", "estimated", "published"):
        assert part in html
    assert "unverified" not in html
    assert "unverified" in bert(accelerator="A10G")._repr_html_()


def test_a_single_step_has_no_total():
    with pytest.raises(LabError, match="tokens"):
        _ = bert(tokens=None).training_seconds


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"global_batch": 250}, "nearest batch that can: 256"),
        ({"global_batch": 0}, "whole number"),
        ({"global_batch": -8}, "whole number"),
        ({"tokens": -1}, "above zero"),
        ({"tokens": float("nan")}, "above zero"),
        ({"sequence_length": 1024}, "at most 512"),
        ({"accelerator": "H1000"}, "Near names"),
        ({"accelerator": "A100"}, "Say which"),
        ({"precision": "fp8"}, "A100"),
        ({"accelerator": "V100-SXM2-16GB", "precision": "bf16"}, "V100"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(changes, says):
    with pytest.raises(LabError, match=says):
        bert(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"efficiency": 0.5},
        {"efficiency": None},
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
            catalog.model("gpt2"),
            sequence_length=128,
            global_batch=8,
            accelerator=A100,
            efficiency=FORTY,
        )


@pytest.mark.parametrize("bad", [{"data": 0}, {"micro_batch": -1}, {"data": 1.5}, {"data": True}])
def test_plans_check_themselves(bad):
    with pytest.raises(LabError):
        estimate.Plan(**bad)


@pytest.mark.parametrize("bad", [(0, None, None), (1.1, None, None), (0.4, 0.5, 0.6)])
def test_efficiencies_check_themselves(bad):
    value, low, high = bad
    with pytest.raises(LabError):
        estimate.Efficiency(value, "a test", low, high)
