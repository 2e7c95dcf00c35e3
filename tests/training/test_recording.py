"""The script that records a machine's devices: what is inside its meters, and what it refuses."""

import importlib.util
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from enterprise_lab.errors import LabError
from enterprise_lab.measure.devices import Device
from enterprise_lab.measure.energy import Energy
from enterprise_lab.measure.records import Origin
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.run import Epoch, Run
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.sweep import Sweep


@pytest.fixture
def script():
    path = Path(__file__).parents[2] / "benchmarks" / "record_hardware.py"
    spec = importlib.util.spec_from_file_location("record_hardware", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def log(script, monkeypatch):
    """What was done in which order; each run takes more energy than the last, and less memory."""
    done = []

    def meter(name, **found):
        @contextmanager
        def opened(_kind):
            done.append(f"{name} on")
            yield SimpleNamespace(**{key: values.pop(0) for key, values in found.items()})
            done.append(f"{name} off")

        return opened

    def make(framework, network, recipe, *, device):
        done.append("make")
        return SimpleNamespace(
            framework=framework, network=network, recipe=recipe, kind=device, device="a chip",
            versions={},
        )  # fmt: skip

    def train(made, _data, **_asked):
        done.append("train")
        curve = (Epoch(1, 2.0, 0.99, 0.1),)
        return Run(made.framework, "a chip", 0.95, curve, 9.0 - made.recipe.seed, 3, 64)

    energies = [Energy(joules, Origin.MEASURED, "a counter", 1.0) for joules in (1.0, 2.0, 6.0)]
    monkeypatch.setattr(script, "images", lambda _name: None)
    monkeypatch.setattr(script, "trainer", make)
    monkeypatch.setattr(script, "train", train)
    monkeypatch.setattr(script, "EnergyMeter", meter("energy", energy=energies))
    monkeypatch.setattr(script, "PeakMemory", meter("memory", bytes=[30, 20, 10]))
    return done


def test_the_meters_are_open_while_training_alone(script, log):
    found = script._runs("PyTorch", "cpu")
    run = ["make", "energy on", "memory on", "train", "memory off", "energy off"]
    assert log == 3 * run
    values = {one.metric: one for one in found}
    assert values["energy_joules"].value == 3.0
    assert values["energy_joules"].origin == Origin.MEASURED
    assert values["energy_joules"].source.endswith(": a counter")
    assert values["peak_memory_bytes"].value == 30


@pytest.mark.usefixtures("log")
def test_of_first_steps_that_of_the_process_is_kept(script, monkeypatch):
    first = script.figures.record(
        SimpleNamespace(
            framework="JAX", network=SmallCNN(), recipe=Recipe(), kind="cpu", device="a chip",
            versions={},
        ),
        "first_step_seconds", script.figures.single(4.0, "s"), source="a test",
    )  # fmt: skip
    monkeypatch.setattr(script, "sweep", lambda *_: Sweep((first,), ()))
    found = [one for one in script._framework("JAX", "cpu") if one.metric == first.metric]
    assert [(one.value, one.parameters["seed"]) for one in found] == [(9.0, 0)]


def test_a_framework_that_cant_is_told_and_left_out(script, monkeypatch, capsys):
    def missing(*_, **__):
        raise LabError("JAX is not installed.", "Install it.")

    monkeypatch.setattr(script, "images", lambda _name: None)
    monkeypatch.setattr(script, "trainer", missing)
    assert script._framework("JAX", "cpu") == []
    assert "JAX is not installed." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "said"), [(["gpu"], "no 'gpu' here"), (["cpu", "tpu"], "no 'tpu' here")]
)
def test_a_device_that_cant_be_recorded_is_refused(script, monkeypatch, capsys, asked, said):
    here = Device("cpu", "a chip", None, None, ("fp32",), "")
    monkeypatch.setattr(script, "devices", lambda: (here,))
    monkeypatch.setattr(script, "_record", lambda *_: pytest.fail("recorded"))
    monkeypatch.setattr(sys, "argv", ["record_hardware.py", *asked])
    with pytest.raises(SystemExit) as found:
        script.main()
    assert found.value.code == 2
    assert said in capsys.readouterr().err


def test_all_there_are_are_recorded_once_each(script, monkeypatch):
    def device(kind, name):
        return Device(kind, name, None, None, ("fp32",), "")

    here = (device("cpu", "M2"), device("mps", "M2"), device("cuda", "T4"), device("cuda", "T4"))
    recorded = []
    monkeypatch.setattr(script, "devices", lambda: here)
    monkeypatch.setattr(script, "_record", lambda one, _index: recorded.append(one.kind))
    monkeypatch.setattr(sys, "argv", ["record_hardware.py"])
    script.main()
    assert recorded == ["cpu", "mps", "cuda"]
