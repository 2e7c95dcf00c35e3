"""This machine as an accelerator: its peaks are what was measured."""

import pytest

from enterprise_lab.catalog.nodes import node_of
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.system import System
from enterprise_lab.measure import calibrate, this_machine
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.rates import COPY, MATMUL
from enterprise_lab.measure.records import Origin, Record


def rate(metric, value, library="PyTorch", processor="cpu", **parameters):
    return Record(
        lab="calibration",
        metric=metric,
        value=0.9 * value,
        high=value,
        unit="",
        origin=Origin.MEASURED,
        device="two cores",
        source="a test",
        parameters={"library": library, "processor": processor, **parameters},
    )


RATES = [
    rate(MATMUL, 1e11, precision="fp32", rows=256),
    rate(MATMUL, 2e11, precision="fp32", rows=512, library="NumPy"),
    rate(MATMUL, 4e11, precision="bf16", rows=512),
    rate(MATMUL, 9e14, precision="bf16", rows=512, processor="cuda"),
    rate(COPY, 9e11, size_bytes=2**20),
    rate(COPY, 5e10, size_bytes=2**28),
    rate(COPY, 4e12, size_bytes=2**28, processor="cuda"),
]


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_peaks_are_the_best_rates_of_the_processor():
    chip = this_machine.accelerator_of(RATES)
    assert chip.peak_tflops == pytest.approx({"fp32": 0.2, "bf16": 0.4})
    assert (chip.name, chip.is_processor) == ("two cores", True)


def test_memory_is_as_fast_as_the_copies_that_no_cache_holds():
    chip = this_machine.accelerator_of(RATES)
    assert chip.memory_bandwidth_bytes_per_second == pytest.approx(5e10)
    assert chip.memory_bytes == machine().memory_bytes


@pytest.mark.parametrize(("precision", "expected"), [("fp32", 2e11), ("bf16", 4e11)])
def test_estimates_start_from_the_measured_rate(precision, expected):
    system = System.of(this_machine.accelerator_of(RATES), precision)
    assert system.matmul_flops == pytest.approx(expected)


def test_a_precision_that_was_not_measured_is_refused():
    with pytest.raises(LabError, match="fp16"):
        System.of(this_machine.accelerator_of(RATES), "fp16")


def test_it_is_alone_in_its_node():
    assert node_of(this_machine.accelerator_of(RATES)).devices == 1


def test_what_was_kept_is_used():
    calibrate.keep(RATES)
    assert this_machine.this_machine().fp32_tflops == pytest.approx(0.2)


@pytest.mark.parametrize(("busy", "source"), [(True, this_machine.BUSY_LOOK), (False, "a quick")])
def test_a_quick_look_says_whether_the_machine_was_busy(monkeypatch, busy, source):
    monkeypatch.setattr(this_machine, "QUICK_SECONDS", 0.1)
    monkeypatch.setattr(this_machine, "disturbed", lambda _found: busy)
    this_machine._quick.cache_clear()
    chip = this_machine.this_machine()
    assert chip.source.startswith(source)
    assert ("busy" in chip.source) is busy
    this_machine._quick.cache_clear()


def test_uncalibrated_it_is_measured_once_and_not_kept(monkeypatch):
    monkeypatch.setattr(this_machine, "QUICK_SECONDS", 0.1)
    this_machine._quick.cache_clear()
    chip = this_machine.this_machine()
    assert set(chip.peak_tflops) == {"fp32"}
    assert this_machine.this_machine() == chip
    assert calibrate.kept() == []
    this_machine._quick.cache_clear()
