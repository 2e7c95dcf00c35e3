from __future__ import annotations

import copy
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from enterprise_lab.batch.check import Batch, check_plan
from enterprise_lab.batch.errors import PlanError

from .workshop import RECORD, Workshop


def told(workshop: Workshop) -> str:
    before = sorted(workshop.root.rglob("*"))
    with pytest.raises(PlanError) as caught:
        workshop.check()
    assert sorted(workshop.root.rglob("*")) == before
    return str(caught.value)


def test_a_sound_plan_gives_its_runs_with_defaults_filled_in(workshop: Workshop) -> None:
    workshop.notebook(RECORD)
    workshop.plan(runs=[{"notebook": "tiny.ipynb", "matrix": {"speed": [1, 2]}}])

    batch = workshop.check()

    assert [r.given for r in batch.runs] == [{"speed": 1.0}, {"speed": 2.0}]
    assert batch.runs[0].parameters == {
        "profile": "smoke", "speed": 1.0, "steps": 1000, "label": "one", "extra": False,
    }  # fmt: skip
    assert (batch.store, batch.name) == (str(workshop.runs), "tiny")
    assert not workshop.runs.exists()


def test_the_run_id_follows_code_and_parameters_and_nothing_else(workshop: Workshop) -> None:
    def run_id(*code: str, **parameters: Any) -> str:
        workshop.notebook(*code)
        workshop.plan(runs=[{"notebook": "tiny.ipynb", "parameters": parameters}])
        return workshop.check().runs[0].run_id

    first = run_id("a = 1")
    assert run_id("a = 1  \n") == first
    assert run_id("a = 1", speed=1) == first, "the default, said aloud"
    assert run_id("a = 2") != first
    assert run_id("a = 1", speed=3) != first
    (workshop.root / "constraints.txt").write_text("numpy==2\n")
    assert run_id("a = 1") != first


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ({"notebook": "absent.ipynb"}, ["line 3 (runs[0].notebook)", "no notebook", "absent"]),
        ({"notebook": "bare.ipynb"}, ["tagged `parameters`"]),
        ({"notebook": "broken.ipynb"}, ["broken.ipynb is not a notebook"]),
        ({"parameters": {"sped": 1}}, ["line 5 (runs[0].parameters.sped)", "It has: profile"]),
        ({"parameters": {"speed": "fast"}}, ["speed is float, not 'fast'"]),
        ({"matrix": {"steps": [1, True]}}, ["steps is int, not True"]),
        ({"matrix": {"profile": ["smoke", "tiny"]}}, ["'tiny'", "'smoke', 'full'"]),
        ({"matrix": {"speed": [1, 1.0]}}, ["speed=1.0", "asked for already by runs[0]"]),
        (
            {"parameters": {"speed": 1}, "matrix": {"speed": [2]}},
            ["fixed value", "Keep it in one"],
        ),
    ],
)
def test_what_does_not_fit_the_notebook_is_told(
    workshop: Workshop, entry: dict[str, Any], parts: list[str]
) -> None:
    workshop.notebook()
    workshop.notebook(name="bare.ipynb", parameters=None)
    (workshop.root / "broken.ipynb").write_text("{]")
    workshop.plan(runs=[{"notebook": "tiny.ipynb", **entry}])

    message = told(workshop)

    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("name", "wrong"), [("model", "bert-base-uncasd"), ("instance", "p4d.23xlarge")]
)
def test_models_and_instances_are_looked_up_in_the_catalogue(
    workshop: Workshop, name: str, wrong: str
) -> None:
    workshop.notebook(parameters='model: str = ""\ninstance: str = ""')
    workshop.plan(runs=[{"notebook": "tiny.ipynb", "parameters": {name: wrong}}])

    assert f"called {wrong!r}" in told(workshop)


def test_short_names_of_the_catalogue_are_written_out(workshop: Workshop) -> None:
    workshop.notebook(parameters='instance: str = ""')
    workshop.plan(runs=[{"notebook": "tiny.ipynb", "parameters": {"instance": "p4d"}}])

    (run,) = workshop.check().runs
    assert run.parameters["instance"] == "p4d.24xlarge"


@pytest.mark.parametrize("name", ["sequence_length", "global_batch", "steps"])
@pytest.mark.parametrize("size", [0, -5, 10**15])
def test_sizes_that_cannot_be_are_told(workshop: Workshop, name: str, size: int) -> None:
    workshop.notebook(parameters=f"{name}: int = 1")
    workshop.plan(runs=[{"notebook": "tiny.ipynb", "matrix": {name: [8, size]}}])

    assert f"{name} must be a whole number" in told(workshop)


def test_problems_of_all_entries_are_told_at_once(workshop: Workshop) -> None:
    workshop.notebook()
    workshop.plan(
        runs=[
            {"notebook": "absent.ipynb"},
            {"notebook": "tiny.ipynb", "parameters": {"a": 1, "speed": "x"}},
        ]
    )

    assert told(workshop).count("\n  - ") == 3


def test_too_little_disk_is_told_before_anything_runs(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    workshop.notebook()
    workshop.plan()

    assert "1 MB free; 1 runs may need 20 MB" in told(workshop)


def test_an_output_folder_that_is_a_file_is_told(workshop: Workshop) -> None:
    workshop.notebook()
    workshop.plan()
    workshop.runs.write_text("")

    assert "not a folder you can write in" in told(workshop)


VALID: dict[str, Any] = {
    "name": "tiny",
    "title": "A title",
    "runs": [
        {"notebook": "tiny.ipynb", "parameters": {"profile": "smoke"}, "matrix": {"speed": [1, 2]}},
        {"notebook": "tiny.ipynb", "parameters": {"label": "x", "extra": True}},
    ],
    "deadline_seconds": 30,
}

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates()
    | st.binary(max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3)
    ),
    max_leaves=4,
)


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    return [
        place
        for key, value in items
        for place in [
            (*path, key),
            *(places(value, (*path, key)) if isinstance(value, dict | list) else []),
        ]
    ]


def checked(workshop: Workshop) -> Batch | PlanError:
    try:
        return check_plan(workshop.plan_path, str(workshop.runs))
    except PlanError as error:
        return error


@settings(max_examples=60)
@given(data=st.data())
def test_a_mutated_plan_is_sound_or_a_plan_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    workshop = Workshop(tmp_path_factory.mktemp("mutated"))
    workshop.notebook()
    content = copy.deepcopy(VALID)
    *way, last = data.draw(st.sampled_from(places(content)))
    parent: Any = content
    for key in way:
        parent = parent[key]
    match data.draw(st.sampled_from(["replace", "remove", "add"])):
        case "replace":
            parent[last] = data.draw(VALUES)
        case "remove":
            del parent[last]
        case "add" if isinstance(parent, dict):
            parent[data.draw(st.text(max_size=5))] = data.draw(VALUES)
    workshop.plan_path.write_text(yaml.dump(content))

    outcome = checked(workshop)

    if isinstance(outcome, PlanError):
        assert outcome.problems
        assert all(p.problem and p.remedy for p in outcome.problems)
    else:
        assert outcome.runs
        assert len({r.run_id for r in outcome.runs}) == len(outcome.runs)
    assert not Path(workshop.runs).exists()
