"""Records: what is written is read, and what comes with the package can be rebuilt from."""

from dataclasses import fields

import pytest

from enterprise_lab.errors import LabError, UnknownNameError
from enterprise_lab.measure.records import Origin, Record, append, read, recorded
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.shapes.networks import network

RECORD = Record(
    lab="a lab",
    metric="step_seconds",
    value=0.25,
    unit="s",
    origin=Origin.MEASURED,
    run="one",
    parameters={"layers": 4, "bias": True, "dropout": 0.0, "kind": "encoder"},
    versions={"python": "3.11"},
)


def test_what_is_appended_is_read(tmp_path):
    path = tmp_path / "records.jsonl"
    append(path, [RECORD])
    append(path, [RECORD, RECORD])
    assert read(path) == [RECORD] * 3


def test_parameters_keep_their_types(tmp_path):
    path = tmp_path / "records.jsonl"
    append(path, [RECORD])
    (found,) = read(path)
    kinds = {name: type(value) for name, value in found.parameters.items()}
    assert kinds == {"layers": int, "bias": bool, "dropout": float, "kind": str}


def test_a_broken_line_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    append(path, [RECORD])
    path.write_text(path.read_text() + "{broken\n")
    with pytest.raises(LabError, match="line 2"):
        read(path)


def test_an_unknown_file_of_recorded_runs_lists_those_there_are():
    with pytest.raises(UnknownNameError, match="cpu_steps"):
        recorded("cpu_step")


@pytest.mark.parametrize("name", ["cpu_rates", "cpu_steps"])
def test_recorded_runs_say_where_they_come_from(name):
    for one in recorded(name):
        assert one.origin == Origin.RECORDED
        assert one.low <= one.value <= one.high
        assert one.n >= 5
        assert one.device
        assert one.source
        assert one.run
        assert one.versions["python"]


def test_the_rates_and_steps_are_of_one_machine_and_session():
    rates, steps = recorded("cpu_rates"), recorded("cpu_steps")
    assert {one.run for one in rates} == {one.run for one in steps}
    assert len({one.run for one in rates}) == 1


def test_no_two_recorded_steps_are_the_same_work():
    steps = [tuple(sorted(one.parameters.items())) for one in recorded("cpu_steps")]
    assert len(set(steps)) == len(steps)


def test_a_model_can_be_rebuilt_from_each_recorded_step():
    names = {one.name for one in fields(TransformerShape)}
    for one in recorded("cpu_steps"):
        assert one.parameters["phase"] in ("training step", "forward")
        assert one.parameters["global_batch"] >= 1
        if "image_size" in one.parameters:
            shape = network(one.parameters["model"])
            assert shape.smallest_image <= one.parameters["image_size"]
        else:
            given = {name: one.parameters[name] for name in names & one.parameters.keys()}
            assert TransformerShape(**given).parameters > 1e6
            assert one.parameters["sequence_length"] <= given["max_positions"]
