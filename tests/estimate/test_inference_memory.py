"""Memory of serving against published figures and peaks of real answers."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.inference_memory import inference_memory
from enterprise_lab.estimate.peaks import predicted_peak
from enterprise_lab.measure.records import recorded

FIGURES = {row.id: row for row in catalog.memory_figures()}
UNITS = {"MiB": 2**20, "GiB": 2**30}


@pytest.mark.parametrize("id_", ["mm119", "mm120", "mm125", "mm126", "mm127"])
def test_weights_as_published(id_):
    # The figures of ResNet-50 have the running statistics of its norms, 0.2 %.
    row = FIGURES[id_]
    bits = 16 if row.precision == "fp16" else 32
    terms = inference_memory(
        catalog.model(row.model).shape, batch=1, input_length=1, weight_bits=bits
    )
    assert terms["weights"] / UNITS[row.unit] == pytest.approx(row.value, rel=0.003)


@pytest.mark.parametrize(
    ("model", "bytes_per_token"),
    [
        ("gpt-3-175b", 2 * 2 * 96 * 12288),
        # Eight of 64 heads have keys and values.
        ("llama-2-70b", 2 * 2 * 80 * 1024),
        ("bert-base-uncased", 0),
    ],
)
def test_the_cache_has_keys_and_values_of_every_token(model, bytes_per_token):
    terms = inference_memory(
        catalog.model(model).shape, batch=3, input_length=100, output_length=20
    )
    assert terms["KV cache"] == 3 * 120 * bytes_per_token


def test_an_encoder_decoder_keeps_its_inputs_keys_too():
    shape = catalog.model("t5-3b").shape
    terms = inference_memory(shape, batch=1, input_length=100, output_length=20)
    assert terms["KV cache"] == 2 * 2 * 24 * 32 * 128 * 120


def test_cache_and_weights_shrink_with_bits_and_devices():
    shape = catalog.model("llama-2-70b").shape
    given_arguments = {"batch": 8, "input_length": 1000, "output_length": 200}
    whole = inference_memory(shape, **given_arguments)
    halves = inference_memory(shape, tensor=2, **given_arguments)
    sixteen = inference_memory(shape, tensor=16, **given_arguments)
    small = inference_memory(shape, weight_bits=4, cache_bits=8, **given_arguments)
    assert halves["weights"] == whole["weights"] / 2
    assert halves["KV cache"] == whole["KV cache"] / 2
    # Eight heads of keys can't be split over sixteen devices: each has one.
    assert sixteen["KV cache"] == whole["KV cache"] / 8
    assert small["KV cache"] == whole["KV cache"] / 2
    ends = 2 * shape.vocabulary * shape.hidden
    quantised = (shape.parameters - ends) * 4.127 / 8 + 2 * ends
    assert small["weights"] == pytest.approx(quantised, rel=1e-9)


@given(
    batch=st.integers(1, 512),
    input_length=st.integers(1, 4096),
    output_length=st.integers(0, 4096),
    tensor=st.sampled_from([1, 2, 4, 8]),
)
def test_more_work_never_needs_less(batch, input_length, output_length, tensor):
    shape = catalog.model("llama-2-7b").shape

    def need(**changes):
        options = {"batch": batch, "input_length": input_length, "output_length": output_length,
                   "tensor": tensor} | changes  # fmt: skip
        return sum(inference_memory(shape, **options).values())

    assert need() <= need(batch=batch + 1)
    assert need() <= need(input_length=input_length + 1)
    assert need() <= need(output_length=output_length + 1)
    assert need() >= need(tensor=8)


def test_images():
    shape = catalog.model("resnet50").shape
    terms = inference_memory(shape, batch=8)
    assert terms["KV cache"] == 0
    assert terms["activations"] == 8 * inference_memory(shape, batch=1)["activations"]


def test_predictions_of_recorded_peaks_of_answers():
    peaks = [p for p in recorded("cpu_memory_peaks") if p.parameters["work"] == "inference"]
    errors = [abs(p.value / sum(predicted_peak(p.parameters).values()) - 1) for p in peaks]
    assert len(errors) > 20
    assert statistics.median(errors) < 0.10
    assert max(errors) < 0.20


@pytest.mark.parametrize(
    "arguments",
    [
        {"batch": 0},
        {"input_length": 0},
        {"output_length": -1},
        {"tensor": 0},
        {"weight_bits": 5},
        {"cache_bits": 2},
    ],
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(LabError):
        inference_memory(catalog.model("gpt2").shape, **{"batch": 1, "input_length": 8} | arguments)
