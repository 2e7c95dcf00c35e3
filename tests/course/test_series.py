"""Series of steps for the pictures of lab 02."""

import pytest

from enterprise_lab.course import series
from enterprise_lab.estimate import Estimate
from enterprise_lab.measure import records
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.training.run import Epoch, Run
from enterprise_lab.training.small_cnn import SmallCNN

NETWORK = SmallCNN()


def step(batch, seconds, metric="step_seconds", device="a chip", **parameters):
    its = {"framework": "PyTorch", "precision": "fp32", "kind": "cuda", "batch": batch}
    return Record(
        lab="02_hardware_comparison",
        metric=metric,
        value=seconds,
        low=0.9 * seconds,
        high=1.2 * seconds,
        n=9,
        unit="s",
        origin=Origin.MEASURED,
        device=device,
        parameters=its | vars(NETWORK) | parameters,
    )


def test_steps_are_grouped_by_framework_and_format_smallest_batch_first():
    found = series.series_of(
        [
            step(64, 2.0),
            step(1, 1.0),
            step(64, 1.5, precision="bf16"),
            step(64, 9.0, metric="first_step_seconds"),
        ]
    )
    assert {name: [s.batch for s in one.steps] for name, one in found.items()} == {
        "PyTorch, fp32": [1, 64],
        "PyTorch, bf16": [64],
    }
    assert found["PyTorch, fp32"].steps[1] == (64, 2.0, 1.8, 2.4)
    assert found["PyTorch, fp32"].origin == Origin.MEASURED


def test_estimates_become_steps_with_their_interval():
    drawn = series.estimated(
        {64: Estimate(2.0, "s", "a test", 1.0, 4.0), 1: Estimate(1.0, "s", "")}
    )
    assert drawn.origin == Origin.ESTIMATED
    assert list(drawn.steps) == [(1, 1.0, 1.0, 1.0), (64, 2.0, 1.0, 4.0)]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    for module in (records, series):
        monkeypatch.setattr(module, "RECORDED_RUNS", tmp_path)
    return tmp_path


def test_what_others_recorded_of_this_network_is_recorded_not_measured(kept):
    records.append(
        kept / "hardware_a-gpu.jsonl",
        [
            step(1, 1.0, device="A GPU"),
            step(1, 3.0, device="A GPU", width=64),
            step(1, 4.0, device="A GPU", framework="JAX"),
            step(1, 5.0, device="A processor", kind="cpu"),
        ],
    )
    records.append(kept / "hardware_mine.jsonl", [step(1, 2.0, device="My GPU")])
    records.append(kept / "cpu_rates.jsonl", [step(1, 7.0)])
    found = series.recorded_series(NETWORK, besides="My GPU")
    assert list(found) == ["A GPU, PyTorch, fp32"]
    assert found["A GPU, PyTorch, fp32"].origin == Origin.RECORDED
    assert [s.seconds for s in found["A GPU, PyTorch, fp32"].steps] == [1.0]


@pytest.mark.usefixtures("kept")
def test_where_nobody_recorded_there_is_nothing():
    assert series.recorded_series(NETWORK, besides="") == {}


def test_a_run_is_drawn_with_its_first_step():
    run = Run(
        "JAX", "a chip", 0.9, (Epoch(1, 2.0, 0.5, 1.0), Epoch(2, 3.0, 0.95, 0.5)), 1.5, 44, 64
    )
    drawn = series.curve_of(run)
    assert (list(drawn.accuracy), drawn.compile_seconds) == ([(2.0, 0.5), (3.0, 0.95)], 1.5)
    assert drawn.seconds_to(0.9) == 3.0
