"""Records: what is written is read, and what comes with the package can be rebuilt from."""

import itertools
import multiprocessing
import time
from contextlib import suppress
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.errors import InvalidValueError, LabError, UnknownNameError
from enterprise_lab.measure import provenance
from enterprise_lab.measure.records import (
    RECORDED_RUNS,
    Origin,
    Record,
    append,
    frame,
    measured,
    measurement_of,
    read,
    recorded,
)
from enterprise_lab.measure.timing import Measurement
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
PROCESSES = multiprocessing.get_context("forkserver")  # a fork of this one has JAX's threads
PROCESSES.set_forkserver_preload(["enterprise_lab.measure.records"])
TEXT = st.text(st.characters(codec="utf-8"), max_size=10)
SCALARS = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
RECORDS = st.builds(
    Record,
    lab=TEXT,
    metric=TEXT,
    value=st.floats(allow_nan=False, allow_infinity=False),
    unit=TEXT,
    origin=st.sampled_from(Origin),
    device=TEXT,
    parameters=st.dictionaries(TEXT, SCALARS, max_size=4),
    git_commit=TEXT,
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


@given(some=st.lists(RECORDS, max_size=4), more=st.lists(RECORDS, max_size=4))
def test_anything_that_is_a_record_is_read_as_it_was(some, more, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "records.jsonl"
    append(path, some)
    append(path, more)
    assert read(path) == [*some, *more]


def test_wherever_a_line_was_torn_the_others_stay(tmp_path):
    path = tmp_path / "records.jsonl"
    other = RECORD.model_copy(update={"device": "2 GHz, \N{DEGREE SIGN}"})
    append(path, [RECORD, other])
    whole = path.read_bytes()
    for length in range(whole.index(b"\n") + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert read(path) == [RECORD]
        append(path, [other])
        assert path.read_bytes() == whole


def test_a_last_record_without_its_end_counts(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(RECORD.model_dump_json())
    assert read(path) == [RECORD]
    append(path, [RECORD])
    assert read(path) == [RECORD] * 2


@given(one=RECORDS, share=st.floats(0, 1, exclude_max=True))
def test_any_beginning_of_a_record_is_cut_off(one, share, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "records.jsonl"
    line = one.model_dump_json().encode()
    path.write_bytes(line[: int(share * len(line))])
    assert read(path) == []
    append(path, [one])
    assert read(path) == [one]


@pytest.mark.parametrize(
    "last",
    [b"dear diary", b'{"lab": "later", "version": 9}', b'{"lab" and more', b'{"a": 1', b"\xff\xfe",
     RECORD.model_dump_json().encode() * 2],
)  # fmt: skip
def test_a_file_that_ends_in_something_else_is_left_as_it_is(last, tmp_path):
    path = tmp_path / "records.jsonl"
    append(path, [RECORD])
    before = path.read_bytes() + last
    path.write_bytes(before)
    for use in (read, lambda path: append(path, [RECORD])):
        with pytest.raises(LabError, match=r"line 2 is not a record \("):
            use(path)
    assert path.read_bytes() == before


def test_what_is_wrong_with_a_line_is_one_sentence(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text('{"lab": "a lab"}\n')
    with pytest.raises(LabError) as found:
        read(path)
    assert found.value.problem == f"{path}, line 1 is not a record (metric: Field required)."


def test_a_line_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(LabError, match="line 1"):
        read(path)


def write_some(path, writer, each):
    for number in range(each):
        append(path, [numbered(writer, number), numbered(writer, number, end=True)])


def write_on(path, life, pipe):
    for number in itertools.count():
        append(path, [numbered(life, number), *[RECORD] * 20])
        pipe.send(number)


def test_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "records.jsonl"
    writers, each = 6, 15
    started = [
        PROCESSES.Process(target=write_some, args=(path, writer, each)) for writer in range(writers)
    ]
    for one in started:
        one.start()
    for one in started:
        one.join()
    found = read(path)
    for writer in range(writers):
        own = [one for one in found if one.run == str(writer)]
        assert [one.value for one in own] == [n for n in range(each) for _ in range(2)]
    pairs = zip(found[::2], found[1::2], strict=True)
    assert all((a.run, a.value) == (b.run, b.value) for a, b in pairs)


def test_what_was_appended_outlives_kills(tmp_path):
    path = tmp_path / "records.jsonl"
    kept = 0
    for life in range(30):
        here, there = PROCESSES.Pipe()
        writer = PROCESSES.Process(target=write_on, args=(path, life, there))
        writer.start()
        there.close()
        last = here.recv()
        time.sleep(life * 1e-4)
        writer.kill()
        writer.join()
        with suppress(EOFError, OSError):
            while True:
                last = here.recv()
        found = read(path)
        assert [one.value for one in found if one.run == str(life)][: last + 1] == [
            *range(last + 1)
        ]
        assert len(found) >= kept + 21 * (last + 1)
        kept = len(found)


def numbered(run, number, end=False):
    return RECORD.model_copy(update={"run": str(run), "value": number, "parameters": {"end": end}})


def test_a_measurement_is_kept_with_where_it_comes_from():
    taken = Measurement(2.0, "s", 1.5, 3.0, 7, doubt="others were busy")
    one = measured(
        "a lab", "step_seconds", taken, device="a chip", source="a clock", run="one",
        parameters={"edge": 8}, versions={"torch": "another"},
    )  # fmt: skip
    assert (one.value, one.unit, one.low, one.high, one.n) == (2.0, "s", 1.5, 3.0, 7)
    assert one.doubt == "others were busy"
    assert (one.origin, one.device, one.source) == (Origin.MEASURED, "a chip", "a clock")
    assert (one.run, one.parameters) == ("one", {"edge": 8})
    assert {"python", "enterprise-lab", "numpy"} <= one.versions.keys()
    assert one.versions["torch"] == "another"
    assert one.git_commit == provenance.kit_commit()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_not_kept(value):
    with pytest.raises(InvalidValueError, match="loss must be a finite number"):
        measured("a lab", "loss", Measurement(value, "", 0, 1, 5), device="d", source="s")


def test_records_are_a_table():
    other = Record(
        lab="a lab", metric="loss", value=1.5, unit="", origin=Origin.ESTIMATED,
        parameters={"layers": 2, "unit": "x", "parameter_unit": "y"},
    )  # fmt: skip
    table = frame([RECORD, other])
    assert list(table["layers"]) == [4, 2]
    assert list(table["origin"]) == ["measured", "estimated"]
    assert list(table["unit"]) == ["s", ""]
    assert table["parameter_unit"][1] == "x"
    assert table["parameter_parameter_unit"][1] == "y"
    assert table["version_python"][0] == "3.11"
    assert table["kind"].isna().tolist() == [False, True]
    assert table["time"].dt.tz is not None


def test_no_records_are_an_empty_table():
    table = frame([])
    assert {"metric", "value", "time", "git_commit"} <= {*table.columns}
    assert table.empty


def test_a_package_outside_a_clone_has_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "_PACKAGE", tmp_path)
    assert provenance.kit_commit.__wrapped__() == ""


def test_every_file_of_recorded_runs_is_a_table():
    files = [file.name for file in RECORDED_RUNS.iterdir() if file.name.endswith(".jsonl")]
    for name in (file.removesuffix(".jsonl") for file in files):
        assert len(frame(recorded(name))) == len(recorded(name)) > 0


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


def test_what_was_measured_is_recorded_now_and_what_was_estimated_stays_so(tmp_path, monkeypatch):
    monkeypatch.setattr("enterprise_lab.measure.records.RECORDED_RUNS", tmp_path)
    guess = RECORD.model_copy(update={"origin": Origin.ESTIMATED})
    append(tmp_path / "some.jsonl", [RECORD, guess])
    assert [one.origin for one in recorded("some")] == [Origin.RECORDED, Origin.ESTIMATED]


def test_a_record_becomes_the_measurement_again():
    taken = Measurement(2.0, "s", 1.5, 3.0, 7, doubt="others were busy")
    one = measured("a lab", "step_seconds", taken, device="a chip", source="a clock")
    assert measurement_of(one) == taken
    assert measurement_of(RECORD) == Measurement(0.25, "s", 0.25, 0.25, 1)
