"""The tables of lab 02."""

import pytest

from enterprise_lab import catalog
from enterprise_lab.course import bills, hardware_tables
from enterprise_lab.course.hardware_pictures import Roof
from enterprise_lab.estimate import Estimate
from enterprise_lab.measure.energy import Energy
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.measure.timing import Measurement
from enterprise_lab.training.layers import LayerRate
from enterprise_lab.training.run import Epoch, Run
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.sweep import Skipped

NOISY = "the machine is too noisy (others used half of it)"
ENERGY = Energy(joules=7.0, origin=Origin.ESTIMATED, source="watts by the book", seconds=1.0)


def rows(table):
    lines = [line for line in table.data.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


def run(framework, first, seconds, steps=101, doubt=""):
    return Run(framework, "a chip", 0.9, (Epoch(1, seconds, 0.95, 0.1),), first, steps, 10, doubt)


def test_a_layer_is_limited_by_memory_left_of_a_ridge():
    here = Roof(100e9, 10e9, Origin.MEASURED)
    there = {"large": Roof(1e14, 1e12, Origin.PUBLISHED)}
    found = [
        LayerRate("low", 5.0, Measurement(40e9, "FLOP/s", 39e9, 41e9, 9)),
        LayerRate("middle", 50.0, Measurement(90e9, "FLOP/s", 80e9, 99e9, 9, doubt=NOISY)),
        LayerRate("high", 200.0, Measurement(99e9, "FLOP/s", 98e9, 100e9, 9)),
    ]
    low, middle, high = rows(hardware_tables.layers(found, here, there))
    assert low[2:] == ["50 GFLOP/s", str(found[0].rate), "80 %", "memory", "memory"]
    assert middle[4:] == ["", "arithmetic", "memory"]
    assert "not reliable" in middle[3]
    assert high[4:] == ["99 %", "arithmetic", "arithmetic"]


def test_trainings_say_what_they_took_and_what_is_in_doubt():
    table = hardware_tables.trainings(
        {"PyTorch": run("PyTorch", 1.0, 2.0), "JAX": run("JAX", 1.0, 3.0, doubt=NOISY)},
        {"PyTorch": (ENERGY, 10**6), "JAX": (ENERGY, 10**6)},
        {"PyTorch compiled": "No compiler. Install one."},
        image_flops=1e6,
        peak=1e10,
    )
    sure, unsure = rows(table)
    assert sure == ["PyTorch", "1 s", "1,000", "10 %", "1", "2 s", "7 J (estimated)", "1 MB"]
    assert unsure[0] == "JAX?"
    for part in (
        "watts by the book",
        f"? JAX: {NOISY}",
        "PyTorch compiled is left out: No compiler",
    ):
        assert part in table.data


def test_a_single_step_has_no_rate():
    table = hardware_tables.trainings(
        {"PyTorch": run("PyTorch", 1.0, 1.0, steps=1)},
        {"PyTorch": (ENERGY, 1)},
        {},
        image_flops=1.0,
        peak=1.0,
    )
    assert rows(table)[0][2:4] == ["0", "0 %"]


def step(batch, seconds, doubt="", framework="PyTorch"):
    return Record(
        lab="",
        metric="step_seconds",
        value=seconds,
        unit="s",
        origin=Origin.MEASURED,
        doubt=doubt,
        parameters={"framework": framework, "batch": batch, "precision": "fp32"},
    )


def test_steps_in_doubt_are_not_judged():
    found = [step(10, 0.1), step(20, 0.5, NOISY), step(10, 9.0, framework="JAX")]
    expected = {("fp32", n): Estimate(0.2, "s", "a test", 0.1, 0.4) for n in (10, 20)}
    skipped = [Skipped("JAX", "bf16", n, "it can't.") for n in (1, 2)]
    table = hardware_tables.steps(
        found, skipped, expected, {"fp32": 1e9}, framework="PyTorch", image_flops=1e6
    )
    sure, unsure = rows(table)
    assert sure[2:] == ["100 ms", "100", "10 %", "200 ms (100 ms to 400 ms)", "0.50"]
    assert unsure[3:5] == ["", ""]
    assert "1 of 2 figures can't be relied on" in table.data
    assert table.data.count("JAX, bf16: it can't.") == 1


def test_chips_show_their_sheet_and_their_price():
    t4, tpu = rows(
        hardware_tables.chips([catalog.accelerator("T4"), catalog.accelerator("TPU v5e")])
    )
    assert t4[:3] == ["T4", "8.1 TFLOP/s", "65 TFLOP/s"]
    assert t4[6] == "g4dn.xlarge, 1 of them"
    assert tpu[6:] == ["–", "not in EC2"]


def test_compiling_pays_back_only_where_steps_are_quicker():
    runs = {
        "PyTorch": run("PyTorch", 0.0, 100.0),
        "compiled": run("compiled", 10.0, 60.0),
        "JAX": run("JAX", 1.0, 201.0),
    }
    said = hardware_tables.payback(runs, "PyTorch").data
    assert "compiled's steps are quicker by 500 ms: its first step is paid back after 20" in said
    assert "JAX's steps are not quicker here" in said


@pytest.mark.parametrize(
    ("deadline", "choice"), [(3600.0, "A100"), (10 * 86_400.0, "T4"), (1.0, "none of these")]
)
def test_the_decision_is_that_of_the_exercise(deadline, choice):
    shape = SmallCNN().shape
    candidates = [
        bills.elsewhere(shape, chip, image_size=8, batch=4096, steps=10**6)
        for chip in ("T4", "A100-SXM4-40GB", "TPU v5e")
    ]
    options = hardware_tables.options(candidates, 180.0)
    assert len(options) == 2  # no price of the TPU
    (row,) = rows(hardware_tables.decisions({"a task": (options, [deadline])}))
    assert row[2].startswith(choice)
