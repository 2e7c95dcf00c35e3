"""Calibrating: measured once, kept whole, read back."""

import json

import pytest
from typer.testing import CliRunner

from enterprise_lab.cli import app
from enterprise_lab.measure import calibrate, rates, records
from enterprise_lab.measure.devices import Gpu, machine

BUDGET_SECONDS = 0.2


@pytest.fixture
def busy():
    """Whether other processes disturb what is measured: not for a test to depend on."""
    return False


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch, busy):
    monkeypatch.setattr(calibrate, "disturbed", lambda _found: busy)
    monkeypatch.setattr(rates, "disturbed", lambda _found: busy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(calibrate, "BUDGET_SECONDS", BUDGET_SECONDS)
    return tmp_path


def test_nothing_is_kept_before(cache_folder):
    assert calibrate.kept() == []
    assert list(cache_folder.iterdir()) == []


def test_what_is_measured_is_kept_and_progress_is_told(cache_folder):
    told = []
    found = calibrate.calibrate(BUDGET_SECONDS, lambda name, share: told.append((name, share)))
    assert calibrate.kept() == found
    assert [path.parent.parent.parent for path in cache_folder.rglob("*.jsonl")] == [cache_folder]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len({name for name, _ in told}) == len(told)


def test_keeping_replaces_all_and_leaves_nothing_beside(cache_folder):
    first, second = records.recorded("cpu_rates")[:2]
    calibrate.keep([first])
    calibrate.keep([second])
    assert calibrate.kept() == [second]
    assert len([path for path in cache_folder.rglob("*") if path.is_file()]) == 1


def test_a_failure_while_keeping_leaves_what_was_there(monkeypatch):
    (first, *_) = records.recorded("cpu_rates")
    calibrate.keep([first])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(records, "append", full)
    with pytest.raises(OSError, match="space"):
        calibrate.keep([first, first])
    assert calibrate.kept() == [first]


def test_a_relative_cache_folder_is_ignored_as_the_standard_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert calibrate.kept_file().is_relative_to(tmp_path / ".cache")


def test_machines_that_share_a_home_keep_their_own():
    here = machine()
    with_gpu = type(here)(**{**vars(here), "gpus": (Gpu("NVIDIA H200", 1, 1),)})
    assert calibrate.kept_file(here) != calibrate.kept_file(with_gpu)


def invoke(*options):
    found = CliRunner().invoke(app, ["calibrate", *options])
    assert found.exit_code == 0, found.output
    return found.stdout


def test_the_command_measures_once_and_again_when_told_to():
    first = json.loads(invoke("--json"))
    assert json.loads(invoke("--json")) == first
    again = json.loads(invoke("--fresh", "--json"))
    assert again != first
    assert json.loads(invoke("--json")) == again
    precisions = {one["parameters"].get("precision") for one in first}
    assert {"fp32", "bf16"} <= precisions


@pytest.mark.parametrize("busy", [True])
def test_rates_of_a_busy_machine_are_shown_with_a_warning_and_not_kept(cache_folder):
    found = CliRunner().invoke(app, ["calibrate", "--json"])
    assert found.exit_code == 0
    assert json.loads(found.stdout)
    assert "busy" in found.stderr
    assert not list(cache_folder.rglob("*.jsonl"))


@pytest.mark.parametrize("busy", [True])
def test_what_a_busy_machine_once_left_is_not_used(cache_folder):
    calibrate.keep(records.recorded("cpu_rates"))
    assert list(cache_folder.rglob("*.jsonl"))
    assert calibrate.kept() == []


def without(one, *names):
    kept = {name: value for name, value in one.parameters.items() if name not in names}
    return one.model_copy(update={"parameters": kept})


def test_rates_of_an_old_or_another_kit_are_not_used(cache_folder):  # noqa: ARG001
    rates_, (step, *_) = records.recorded("cpu_rates"), records.recorded("cpu_steps")
    for foreign in (
        step,
        *(without(one, "processor") for one in rates_),
        without(rates_[0], "precision"),
        rates_[0].model_copy(update={"lab": "another"}),
    ):
        calibrate.keep([*rates_, foreign])
        assert calibrate.kept() == []
    calibrate.keep(rates_)
    assert calibrate.kept() == rates_


@pytest.mark.parametrize("text", [b"{broken\n", b"\xff\xfe", b'{"lab": "calibration"}\n'])
def test_rates_that_cant_be_read_are_none_and_measured_anew(text):
    file = calibrate.kept_file()
    file.parent.mkdir(parents=True)
    file.write_bytes(text)
    assert calibrate.kept() == []
    assert json.loads(invoke("--json"))
    assert calibrate.kept()


def test_a_folder_in_the_place_of_the_rates_is_none():
    calibrate.kept_file().mkdir(parents=True)
    assert calibrate.kept() == []


def test_a_quiet_machine_is_not_warned_of():
    assert CliRunner().invoke(app, ["calibrate"]).stderr == ""


def test_the_command_shows_what_was_kept():
    (first, *_) = records.recorded("cpu_rates")
    calibrate.keep([first])
    shown = invoke()
    assert "fp32 matmul, 128" in shown
    assert first.device in shown


def test_the_command_shows_recorded_rates_and_keeps_none():
    shown = json.loads(invoke("--recorded", "--json"))
    assert {one["origin"] for one in shown} == {"recorded"}
    assert "recorded" in invoke("--recorded")
    assert calibrate.kept() == []
