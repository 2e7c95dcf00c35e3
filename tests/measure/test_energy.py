"""Energy: counters where there are some, and estimates that say they are estimates."""

from __future__ import annotations

from pathlib import Path

import pytest

from enterprise_lab import course
from enterprise_lab.errors import InvalidValueError
from enterprise_lab.measure import energy
from enterprise_lab.measure.energy import BUSY_WATTS, IDLE_WATTS, Energy, EnergyMeter
from enterprise_lab.measure.records import Origin, read

from .fake_nvml import FakeGpu, install


@pytest.fixture
def clock(monkeypatch):
    """Replace time by two numbers: seconds on the wall and of this process."""
    now = {"wall": 100.0, "busy": 5.0}
    monkeypatch.setattr(energy.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(energy.time, "process_time", lambda: now["busy"])
    return now


def zone(folder: Path, name: str, called: str, joules: float, largest: float = 1000.0) -> Path:
    made = folder / name
    made.mkdir(parents=True)
    (made / "name").write_text(f"{called}\n")
    (made / "max_energy_range_uj").write_text(f"{round(largest * 1e6)}\n")
    count(made, joules)
    return made


def count(made: Path, joules: float) -> None:
    (made / "energy_uj").write_text(f"{round(joules * 1e6)}\n")


def test_where_nothing_can_be_read_it_is_an_estimate_that_says_so(monkeypatch, tmp_path, clock):
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    monkeypatch.setattr(energy, "usable_cores", lambda: 4)
    with EnergyMeter() as meter:
        clock["wall"] += 10
        clock["busy"] += 30
    found = meter.energy
    assert found.origin == Origin.ESTIMATED
    assert found.seconds == pytest.approx(10)
    assert found.joules == pytest.approx(IDLE_WATTS * (4 * 10 - 30) + BUSY_WATTS * 30)
    assert "Cloud Carbon Footprint" in found.source


def test_rapl_counts_packages_and_memory_once_and_through_its_wraps(monkeypatch, tmp_path):
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    package = zone(tmp_path, "intel-rapl:0", "package-0", 990)
    cores = zone(tmp_path, "intel-rapl:0:0", "core", 10)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 1)
    whole = zone(tmp_path, "intel-rapl:1", "psys", 1)
    again = zone(tmp_path, "intel-rapl-mmio:0", "package-0", 990)
    with EnergyMeter() as meter:
        count(package, 15)
        count(memory, 4)
        for other in (cores, whole, again):
            count(other, 500)
    assert meter.energy.origin == Origin.MEASURED
    assert meter.energy.joules == pytest.approx(25 + 3, abs=1e-5)
    assert "RAPL" in meter.energy.source


def test_rapl_that_may_not_be_read_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    (zone(tmp_path, "intel-rapl:0", "package-0", 1) / "energy_uj").unlink()
    with EnergyMeter() as meter:
        pass
    assert meter.energy.origin == Origin.ESTIMATED


def test_a_gpu_with_a_counter_is_measured(monkeypatch):
    gpu = FakeGpu(millijoules=5_000)
    fake = install(monkeypatch, gpu)
    with EnergyMeter("cuda") as meter:
        gpu.millijoules = 12_500
    assert meter.energy.joules == pytest.approx(7.5)
    assert meter.energy.origin == Origin.MEASURED
    assert "NVIDIA H200" in meter.energy.source
    assert fake.opened == 0


def test_a_gpu_without_a_counter_has_its_power_summed_up(monkeypatch, clock):
    gpu = FakeGpu(millijoules=None, milliwatts=100_000)
    fake = install(monkeypatch, gpu)
    with EnergyMeter("cuda") as meter:
        gpu.milliwatts = None
        clock["wall"] += 2
    assert meter.energy.joules == pytest.approx(200)
    assert meter.energy.origin == Origin.ESTIMATED
    assert "summed up" in meter.energy.source
    assert fake.opened == 0


@pytest.mark.parametrize("kind", ["cuda", "tpu", "mps"])
def test_a_device_that_cannot_be_asked_leaves_the_processor_and_says_so(monkeypatch, kind):
    install(monkeypatch, broken="Driver Not Loaded")
    with EnergyMeter(kind) as meter:
        sum(range(1000))
    assert meter.energy.origin == Origin.ESTIMATED
    assert f"without the {kind.upper()} device" in meter.energy.source
    assert meter.energy.joules > 0


def test_work_that_fails_closes_the_library_and_is_metered(monkeypatch):
    fake = install(monkeypatch, FakeGpu(millijoules=None))
    meter = EnergyMeter("cuda")
    with pytest.raises(KeyError), meter:
        raise KeyError
    assert fake.opened == 0
    assert meter.energy.seconds > 0


def test_an_unknown_kind_is_refused():
    with pytest.raises(InvalidValueError, match="kind must be one of cpu"):
        EnergyMeter("gpu")


def test_watts_are_joules_a_second():
    assert Energy(30.0, Origin.MEASURED, "a counter", 2.0).watts == 15.0


@pytest.mark.parametrize("origin", [Origin.MEASURED, Origin.ESTIMATED])
def test_energy_is_recorded_with_its_own_origin(monkeypatch, tmp_path, origin):
    monkeypatch.chdir(tmp_path)
    course.record("a lab", device="a chip", energy=Energy(30.0, origin, "a counter", 2.0))
    (kept,) = read(tmp_path / "records.jsonl")
    assert (kept.value, kept.unit, kept.origin, kept.source) == (30.0, "J", origin, "a counter")
