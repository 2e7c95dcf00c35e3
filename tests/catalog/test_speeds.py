"""Published speeds, runs and memory figures: that they fit each other and the rest of us."""

import re
from collections import Counter

import numpy as np
import pytest

from enterprise_lab import catalog
from enterprise_lab.catalog import CatalogError, TrainingSpeed
from enterprise_lab.catalog.rows import DATA, read
from enterprise_lab.errors import LabError

TRAINING = catalog.training_speeds()
INFERENCE = catalog.inference_speeds()
RUNS = catalog.training_runs()
MEMORY = catalog.memory_figures()
NO_SHAPE = "The catalogue has no shape of this model."


def usable(rows):
    return [row for row in rows if not row.excluded]


def known(name):
    try:
        return catalog.model(name).name == name
    except LabError:
        return False


def parameters(row):
    return catalog.model(row.model).shape.parameters


def share_of_peak(row, flops_per_parameter, tokens_per_second):
    peak = catalog.accelerator(row.accelerator).peak_flops(row.precision)
    return flops_per_parameter * parameters(row) * tokens_per_second / row.devices / peak


def test_every_row_has_a_source_and_none_is_lost():
    counts = [len(rows) for rows in (TRAINING, INFERENCE, RUNS, MEMORY)]
    assert counts == [387, 302, 46, 90]
    for row in (*TRAINING, *INFERENCE, *RUNS, *MEMORY):
        assert "https://" in row.source or row.unverified, row.id


@pytest.mark.parametrize("rows", [TRAINING, INFERENCE, RUNS], ids=["speed", "inference", "run"])
def test_accelerators_have_their_catalogue_names_and_the_precision(rows):
    for row in rows:
        chip = catalog.accelerator(row.accelerator)
        assert chip.name == row.accelerator, row.id
        assert row.precision is None or row.precision in chip.peak_tflops, row.id


@pytest.mark.parametrize("rows", [TRAINING, INFERENCE, RUNS, MEMORY])
def test_models_without_shape_are_those_that_are_excluded_for_it(rows):
    unknown = {r.id for r in rows if not known(r.model) and not getattr(r, "parameters", None)}
    assert unknown == {row.id for row in rows if row.excluded == NO_SHAPE}


@pytest.mark.parametrize("rows", [TRAINING, INFERENCE, RUNS, MEMORY])
def test_no_two_usable_rows_are_alike(rows):
    own = {"id", "source", "note", "date", "unverified"}
    counts = Counter(str(row.model_dump(exclude=own)) for row in usable(rows))
    assert [row for row, count in counts.items() if count > 1] == []


def test_rows_as_good_as_repeated_are_excluded_by_the_row_they_repeat():
    by_id = {row.id: row for row in TRAINING}
    repeats = [(row, re.search(r"[Rr]ow (tp\d+)", row.excluded)) for row in TRAINING]
    pairs = [(row, by_id[named[1]]) for row, named in repeats if named]
    assert len(pairs) == 7
    for row, other in pairs:
        assert row.samples_per_second == other.samples_per_second
        assert (row.devices, row.sequence_length) == (other.devices, other.sequence_length)


def test_the_training_speeds_above_the_peak_are_those_that_say_so():
    text = [row for row in TRAINING if row.sequence_length]
    shares = {
        row.id: share_of_peak(row, 6, row.samples_per_second * row.sequence_length) for row in text
    }
    impossible = {name for name, share in shares.items() if share > 1}
    assert impossible == {"tp0290", "tp0292", "tp1344"}
    assert impossible == {row.id for row in TRAINING if row.excluded.startswith("Above the chip's")}
    assert all(0.001 < shares[row.id] < 0.9 for row in usable(text))


def test_no_image_training_speed_is_above_the_peak():
    rows = [row for row in TRAINING if row.image_size]
    assert len(rows) == 12
    for row in rows:
        operations = catalog.model(row.model).shape.operations(row.image_size)
        flops = 3 * sum(one.flops for one in operations) * row.samples_per_second / row.devices
        share = flops / catalog.accelerator(row.accelerator).peak_flops(row.precision)
        assert 0.05 < share < 0.8, row.id


@pytest.mark.parametrize("kind", ["encoder", "prefill", "generation"])
def test_no_usable_inference_speed_is_above_the_peak(kind):
    rows = [row for row in usable(INFERENCE) if row.kind == kind]
    assert rows
    for row in rows:
        per_second = row.per_second or row.batch / row.seconds
        if kind == "generation":
            tokens = per_second * (row.input_length + row.output_length) / row.output_length
        else:
            tokens = per_second * row.input_length
        assert 0.0005 < share_of_peak(row, 2, tokens) < 0.9, row.id


def test_no_usable_run_is_faster_than_the_peak():
    text = [row for row in usable(RUNS) if row.tokens]
    assert len(text) == 17
    for row in text:
        peak = catalog.accelerator(row.accelerator).peak_flops(row.precision or "bf16")
        least_hours = 6 * parameters(row) * row.tokens / peak / 3600
        assert 0.1 < least_hours / row.device_hours < 0.9, row.id


def test_the_one_decoding_speed_leaves_no_time_for_anything_but_the_weights():
    (row,) = [row for row in INFERENCE if row.kind == "decode"]
    assert row.excluded
    bandwidth = catalog.accelerator(row.accelerator).memory_bandwidth_bytes_per_second
    read_once = parameters(row) * row.weight_bits / 8 / (row.devices * bandwidth)
    assert 0.9 < row.output_length * read_once / row.seconds < 1


def test_mpt_rates_are_the_tokens_a_second_that_were_printed():
    rows = [row for row in TRAINING if row.model.startswith("mpt")]
    assert len(rows) == 139
    for row in rows:
        printed = int(re.search(r"Printed as ([\d,]+) tokens", row.note)[1].replace(",", ""))
        assert row.samples_per_second * row.sequence_length == pytest.approx(printed, rel=1e-8)


def test_rows_become_arrays_of_numbers():
    for name in ("micro_batch", "accumulation_steps", "data", "tensor", "zero",
                 "flash_attention", "samples_per_second", "sequence_length"):  # fmt: skip
        assert np.isfinite(np.array([getattr(row, name) for row in TRAINING], float)).all()
    for name in ("batch", "tensor", "weight_bits", "input_length", "output_length", "image_size"):
        assert np.isfinite(np.array([getattr(row, name) for row in INFERENCE], float)).all()
    assert all(row.micro_batch for row in usable(TRAINING))
    assert all(row.per_second for row in usable(INFERENCE) if row.kind in ("encoder", "image"))


def test_what_runs_have_seen():
    tokens = {row.id: row.tokens for row in RUNS}
    # Touvron et al. 2023: 1.0 and 1.4 trillion; Zhang et al. 2022: 300 billion.
    assert tokens["tr018"] == 1_000_000_000_000
    assert tokens["tr021"] == 1_400_000_000_000
    assert tokens["tr022"] == 300_000_000_000
    images = next(row for row in RUNS if row.id == "tr131")
    assert images.tokens == 0
    assert images.samples == 90 * 1_281_167
    # NVIDIA's recipe: 7,038 steps of 65,536 sequences, then 1,563 of 32,768.
    bert = next(row for row in RUNS if row.id == "tr108")
    assert [phase.samples for phase in bert.phases] == [7_038 * 65_536, 1_563 * 32_768]
    assert [phase.sequence_length for phase in bert.phases] == [128, 512]


def test_formulas_of_model_states_are_those_of_the_zero_paper():
    # Rajbhandari et al. 2020, section 5: weights, gradients and states in 2, 2 and 12 bytes.
    def states(count, zero, devices):
        whole, shared = [(16, 0), (4, 12), (2, 14), (0, 16)][zero]
        return count * (whole + shared / devices)

    rows = [row for row in MEMORY if row.kind == "formula" and row.scope == "device"]
    assert len(rows) == 59
    for row in rows:
        if row.zero == 0:
            expected = states(row.parameters, 0, 1)
        else:
            expected = states(row.parameters, row.zero, row.devices)
        assert row.bytes == pytest.approx(expected, rel=0.025), row.id


def test_weights_of_a_tool_are_parameters_times_bytes():
    each = {"fp32": 4, "fp16": 2, "int8": 1, "int4": 0.5}
    rows = [row for row in usable(MEMORY) if row.quantity == "weights"]
    assert len(rows) == 7
    for row in rows:
        assert row.bytes == pytest.approx(parameters(row) * each[row.precision], rel=0.01), row.id


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        ("micro_batch", "", "without micro_batch"),
        ("tensor", "3", "multiple of tensor"),
        ("image_size", "224", "either sequence_length or image_size"),
        ("precision", "fp12", "column precision"),
        ("date", "July", "column date"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(tmp_path, column, cell, problem):
    import csv

    with (DATA / "training_speeds.csv").open(encoding="utf-8") as source:
        row = next(csv.DictReader(source))
    with (tmp_path / "speeds.csv").open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, row)
        writer.writeheader()
        writer.writerow({**row, column: cell})
    with pytest.raises(CatalogError, match=problem):
        read(tmp_path / "speeds.csv", TrainingSpeed)


def test_rows_are_shown_with_their_phases_and_reasons():
    run = next(row for row in RUNS if row.id == "tr108")
    assert "461,242,368 x 128; 51,216,384 x 512" in run._repr_html_()
    assert "Above the chip&#x27;s peak" in next(
        row for row in TRAINING if row.id == "tp0290"
    )._repr_html_()  # fmt: skip
    for rows in (TRAINING, INFERENCE, RUNS, MEMORY):
        assert rows._repr_html_().count("<tr>") == len(rows) + 1
