"""The door to serving estimates: their arithmetic, what they lean on, refuse and look like."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.calibration import calibration
from enterprise_lab.estimate.published_observations import all_observations

A100 = "A100-SXM4-80GB"
BERT = catalog.model("bert-base-uncased").shape
LLAMA = catalog.model("llama-7b").shape


def encode(**changes):
    arguments = {"accelerator": A100, "batch": 8, "input_length": 128}
    return estimate.inference(BERT, **(arguments | changes))


def generate(**changes):
    arguments = {"accelerator": A100, "batch": 1, "input_length": 512, "output_length": 128}
    return estimate.inference(LLAMA, **(arguments | changes))


@pytest.mark.parametrize(
    "rows",
    [r for r in all_observations() if "training" not in r.family],
    ids=lambda rows: rows.family,
)
def test_the_door_says_what_the_fit_was_judged_by(rows):
    predicted = rows.predict(calibration())
    for index in range(0, len(rows), 7):
        row = rows.rows[index]
        e = estimate.inference(
            catalog.model(row.model).shape,
            accelerator=row.accelerator,
            precision=row.precision,
            batch=row.batch,
            input_length=row.input_length,
            output_length=row.output_length,
            tensor=row.tensor,
            weight_bits=row.weight_bits or None,
            **({"image_size": row.image_size} if row.image_size else {}),
        )
        if row.kind == "decode":
            continue
        assert e.batch_seconds.value == pytest.approx(predicted[index], rel=1e-6), row.id


def test_figures_follow_from_the_passes():
    e = generate(batch=4)
    first, each = e.prefill_seconds, e.decode_seconds_per_token
    assert sum(first.terms.values()) == pytest.approx(first.value)
    assert sum(each.terms.values()) == pytest.approx(each.value)
    assert e.batch_seconds.value == pytest.approx(first.value + 127 * each.value)
    assert e.queries_per_second.value == pytest.approx(4 / e.batch_seconds.value)
    assert e.tokens_per_second.value == pytest.approx(4 * 128 / e.batch_seconds.value)
    assert e.parameters == LLAMA.parameters


def test_intervals_turn_round_where_they_must():
    e = generate()
    seconds = (e.prefill_seconds, e.decode_seconds_per_token, e.batch_seconds)
    for figure in (*seconds, e.queries_per_second, e.tokens_per_second, e.memory_bytes_per_device):
        assert figure.low < figure.value < figure.high
    assert e.queries_per_second.low == pytest.approx(1 / e.batch_seconds.high)


@given(st.sampled_from(["T4", "V100-SXM2-16GB", A100, "H100-SXM5-80GB"]),
       st.integers(1, 256), st.integers(1, 512))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_pass_is_faster_than_the_peak(chip, batch, length):
    e = encode(accelerator=chip, batch=batch, input_length=length)
    flops = batch * sum(estimate.forward_flops(BERT, sequence_length=length, predicted_share=0)
                        .values())  # fmt: skip
    peak = catalog.accelerator(chip).peak_flops("fp16")
    assert e.prefill_seconds.value > flops / peak


@given(st.integers(0, 8), st.sampled_from([4, 8, 16]))
@settings(max_examples=30, deadline=None)
def test_no_token_comes_before_the_weights_are_read(power, bits):
    e = generate(batch=2**power, weight_bits=bits)
    # all but the input embedding, of which a token reads one row
    read = (LLAMA.parameters - LLAMA.vocabulary * LLAMA.hidden) * bits / 8
    bandwidth = catalog.accelerator(A100).memory_bandwidth_bytes_per_second
    assert e.decode_seconds_per_token.value > read / bandwidth


def test_fewer_bits_take_less_memory_and_a_longer_request_more():
    assert (
        generate(weight_bits=4).memory_bytes_per_device.value
        < generate(weight_bits=8).memory_bytes_per_device.value
        < generate().memory_bytes_per_device.value
        < generate(batch=16).memory_bytes_per_device.value
    )


def test_what_fits_depends_on_the_requests_at_once():
    assert generate(accelerator="T4").fits
    assert not generate(accelerator="T4", batch=16).fits


def test_an_encoder_generates_nothing():
    with pytest.raises(LabError, match="output_length is 0"):
        _ = encode().decode_seconds_per_token
    with pytest.raises(LabError, match="output_length=0"):
        encode(output_length=1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"batch": 0}, "whole number"),
        ({"input_length": 0}, "whole number"),
        ({"input_length": 513}, "512"),
        ({"output_length": -1}, "whole number"),
        ({"precision": "fp8"}, "A100"),
        ({"precision": "fp64"}, "fp64"),
        ({"weight_bits": 7}, "weight_bits"),
        ({"tensor": 5}, "heads"),
        ({"accelerator": "A1000"}, "Near names"),
    ],
)
def test_what_cannot_be_is_refused_with_the_way_out(changes, says):
    with pytest.raises(LabError, match=says):
        encode(**changes)


def test_images_have_no_lengths():
    resnet = catalog.model("resnet50").shape
    with pytest.raises(LabError, match="image_size"):
        estimate.inference(resnet, accelerator=A100, input_length=128)
    small, large = (
        estimate.inference(resnet, accelerator=A100, batch=64, image_size=size)
        for size in (224, 448)
    )
    assert small.prefill_seconds.value < large.prefill_seconds.value


def test_a_model_is_not_its_shape():
    with pytest.raises(LabError, match=r"\.shape"):
        estimate.inference(catalog.model("gpt2"), accelerator=A100, input_length=8)


def test_it_renders_with_terms_and_intervals():
    assert "latency" in encode()._repr_html_()
    html = generate()._repr_html_()
    for part in ("prefill", "each further token", "requests a second", "four times in five"):
        assert part in html
