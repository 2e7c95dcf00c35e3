from __future__ import annotations

import copy
import shutil
from collections import namedtuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_output

from enterprise_lab import catalog, data, labs
from enterprise_lab.batch.attempt import Ended, Predicted, State, Status
from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans import check
from enterprise_lab.batch.plans.check import check_plan
from enterprise_lab.batch.plans.errors import PlanError
from enterprise_lab.batch.run import Batch, Need, Retries

from ..workshop import RECORD, Workshop


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


def test_a_store_may_be_below_the_home_folder(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(workshop.root / "home"))
    workshop.notebook()
    workshop.plan(store="~/results")

    assert check_plan(workshop.plan_path).store == str(workshop.root / "home" / "results")


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
        (
            {"parameters": {"sped": 1}},
            ["line 5 (runs[0].parameters.sped)", "Did you mean speed?", "It has: profile"],
        ),
        ({"parameters": {"speed": "fast"}}, ["speed is float, not 'fast'"]),
        ({"matrix": {"steps": [1, True]}}, ["steps is int, not True"]),
        ({"matrix": {"profile": ["smoke", "tiny"]}}, ["'tiny'", "'smoke', 'full'"]),
        ({"matrix": {"speed": [1, 1.0]}}, ["speed=1.0", "asked for already by runs[0]"]),
        (
            {"parameters": {"speed": 1}, "matrix": {"speed": [2]}},
            ["fixed value", "Keep it in one"],
        ),
        (
            {"matrix": {"speed": [2]}, "sets": {"quick": {"speed": 3, "steps": 1}}},
            ["(runs[0].sets.quick.speed)", "in the matrix too"],
        ),
        ({"sets": {"quick": {"sped": 3}}}, ["(runs[0].sets.quick.sped)", "Did you mean speed?"]),
        ({"exclude": [{"speed": 2}]}, ["(runs[0].exclude[0])", "in no matrix and no set"]),
        (
            {"matrix": {"speed": [2]}, "exclude": [{"speed": 2}]},
            ["(runs[0].exclude)", "nothing is left to run"],
        ),
        ({"resources": {"gpus": 1, "accelerator": "T5"}}, ["(runs[0].resources)", "called 'T5'"]),
        ({"data": ["digitz"]}, ["(runs[0].data)", "called 'digitz'", "digits"]),
        ({"workload": "training"}, ["line 3 (runs[0])", "what its training is", "model"]),
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


def test_problems_of_all_kinds_are_told_at_once(workshop: Workshop) -> None:
    workshop.notebook()
    workshop.plan(
        deadline_seconds="soon",
        runs=[
            {"notebook": "tiny.ipynb", "resources": {"gpu": 1}, "parameters": {"speed": "x"}},
            {"parameters": {"speed": 1}},
            {"notebook": "absent.ipynb", "data": ["nothing"]},
            {"notebook": "tiny.ipynb", "matrix": {"speed": [1, 1]}},
        ],
        price={"instance": "g9"},
    )

    message = told(workshop)

    for part in (
        "(deadline_seconds)", "(runs[0].resources.gpu)", "(runs[0].parameters.speed)",
        "(runs[1].notebook)", "(runs[2].notebook)", "(runs[2].data)", "asked for already",
        "(price)",
    ):  # fmt: skip
        assert part in message
    assert message.count("\n  - ") == 8


def test_a_plan_with_very_many_problems_shows_the_first_of_them(workshop: Workshop) -> None:
    workshop.notebook()
    workshop.plan(
        runs=[{"notebook": "tiny.ipynb", "matrix": {"steps": [0.5] * 150}} for _ in range(2)]
    )

    with pytest.raises(PlanError) as caught:
        workshop.check()

    assert len(caught.value.problems) == 300
    assert "and 200 more" in str(caught.value)


def test_a_search_for_wrong_values_ends(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MOST_OF_AN_ENTRY", 5)
    workshop.notebook(parameters='model: str = "gpt2"')
    names = [f"model {n}" for n in range(3000)]
    workshop.plan(runs=[{"notebook": "tiny.ipynb", "matrix": {"model": names}}])

    with pytest.raises(PlanError) as caught:
        workshop.check()

    assert len(caught.value.problems) == 5


def test_what_the_plan_says_reaches_its_runs(workshop: Workshop) -> None:
    workshop.notebook()
    workshop.plan(
        runs=[
            {"notebook": "tiny.ipynb", "sets": {"one": {"speed": 1}, "two": {"speed": 2}}},
            {
                "notebook": "tiny.ipynb",
                "parameters": {"label": "own"},
                "resources": {"gpus": 2, "accelerator": "a10g"},
                "deadline_seconds": 5,
                "retries": {"times": 3, "on": ["failed"]},
            },
        ],
        slots=2,
        resources={"memory": "2 GB"},
        price={"instance": "g5.12xlarge"},
        deadline_seconds=60,
        retries={"times": 1, "on": ["kernel_died", "timed_out"]},
    )

    batch = workshop.check()

    first, second, own = batch.runs
    assert (first.given, second.given) == ({"speed": 1.0}, {"speed": 2.0})
    assert first.need == Need(0, 2e9)
    assert own.need == Need(2, 2e9, "A10G")
    assert (first.deadline_seconds, own.deadline_seconds) == (60, 5)
    assert first.retries == Retries(1, frozenset({State.KERNEL_DIED, State.TIMED_OUT}))
    assert own.retries == Retries(3, frozenset({State.FAILED}))
    assert (first.identity.device, own.identity.device) == ("cpu", "2 x A10G")
    assert first.usd_per_hour == own.usd_per_hour == pytest.approx(5.672 / 2)
    assert batch.slots == 2


def test_the_store_is_the_plans_unless_another_is_given(workshop: Workshop) -> None:
    workshop.notebook()
    plan = workshop.plan()
    assert check_plan(plan).store == str(workshop.root / "runs")
    workshop.plan(store="elsewhere")
    assert check_plan(plan).store == str(workshop.root / "elsewhere")
    workshop.plan(store="s3://bucket/prefix")
    assert check_plan(plan).store == "s3://bucket/prefix"
    assert check_plan(plan, "s3://other").store == "s3://other"


def test_what_notebooks_printed_before_is_not_carried_along(workshop: Workshop) -> None:
    workshop.notebook("1 + 1")
    path = workshop.root / "tiny.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [new_output("stream", text="said before")]
    nbformat.write(notebook, path)
    workshop.plan()

    (run,) = workshop.check().runs

    assert "1 + 1" in run.content
    assert "said before" not in run.content


PLANS = sorted((Path(__file__).parents[3] / "batches").glob("*.yaml"))
CPU = Node("here", 2, 8e9)
GPU = Node("there", 8, 64e9, ("NVIDIA A10G",))


def on(workshop: Workshop, *nodes: Node, **entry: Any) -> Batch:
    workshop.plan(runs=[{"notebook": "tiny.ipynb", **entry}])
    return check_plan(
        workshop.plan_path, nodes=nodes, processor=lambda: catalog.accelerator("A10G")
    )


def test_devices_that_are_not_here_are_told(workshop: Workshop) -> None:
    workshop.notebook(parameters='device: str = "cpu"')

    assert on(workshop, CPU, GPU, resources={"gpus": 1}).runs[0].identity.device == "A10G"
    with pytest.raises(PlanError, match=r"1 GPU of one machine, and there is none"):
        on(workshop, CPU, resources={"gpus": 1})
    with pytest.raises(PlanError, match=r"1 T4 GPU of one machine"):
        on(workshop, GPU, resources={"gpus": 1, "accelerator": "T4"})
    with pytest.raises(PlanError, match="device=cuda needs a GPU"):
        on(workshop, GPU, parameters={"device": "cuda"})
    on(workshop, GPU, parameters={"device": "cuda"}, resources={"gpus": 1})
    with pytest.raises(PlanError, match="has more than 8 GB"):
        on(workshop, CPU, resources={"memory": "9 GB"})


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.stem)
def test_the_plans_of_the_kit_are_sound_where_there_is_a_gpu(plan: Path) -> None:
    batch = check_plan(plan, nodes=[GPU], processor=lambda: catalog.accelerator("A10G"))

    assert batch.name == plan.stem
    assert all(run.predicted.seconds for run in batch.runs)
    assert all(run.deadline_seconds > run.predicted.seconds for run in batch.runs)
    without = [run for run in batch.runs if not run.need.gpus]
    assert len(without) == len(batch.runs) or plan.stem == "hardware_comparison"


WORKLOAD = """\
model: str = "bert-base-uncased"
batch_size: int = 8
sequence_length: int = 128
precision: str = "fp16"
steps: int = 100
"""


def test_a_workload_larger_than_its_gpu_is_told(workshop: Workshop) -> None:
    workshop.notebook(parameters=WORKLOAD)
    gpu = {"resources": {"gpus": 1}, "workload": "training"}

    (run,) = on(workshop, GPU, **gpu).runs
    assert run.predicted.seconds
    assert run.predicted.memory_bytes
    with pytest.raises(PlanError, match=r"(?s)which has 24.*Use a batch of") as caught:
        on(workshop, GPU, matrix={"batch_size": [8, 4096, 8192]}, **gpu)
    assert len(caught.value.problems) == 2


def test_a_run_predicted_beyond_its_limits_is_told(workshop: Workshop) -> None:
    (workshop.root / "02_hardware_comparison").mkdir()
    lab = "02_hardware_comparison/lab.ipynb"
    workshop.notebook(name=lab, parameters='profile: str = "smoke"\ndata_set: str = "digits"')

    (run,) = on(workshop, CPU, notebook=lab).runs
    assert run.predicted.memory_bytes == 1.22e9
    assert run.predicted.seconds
    assert set(run.identity.data) == {"digits"}
    with pytest.raises(PlanError, match=r"hold 1.22 GB, and may hold 512 MB"):
        on(workshop, CPU, notebook=lab, resources={"memory": "512 MB"})
    with pytest.raises(PlanError, match=r"memory a machine has is 1 GB"):
        on(workshop, Node("small", 1, 1e9), notebook=lab)
    with pytest.raises(PlanError, match="its deadline is 5 s"):
        on(workshop, CPU, notebook=lab, deadline_seconds=5)
    with pytest.raises(PlanError, match="no profile 'huge'"):
        on(workshop, CPU, notebook=lab, parameters={"profile": "huge"})


def test_data_that_are_not_at_hand_are_told_with_the_command_that_gets_them(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(workshop.root / "cache"))
    workshop.notebook(parameters='data_set: str = "digits"\nweights: str | None = None')

    assert set(on(workshop, CPU).runs[0].identity.data) == {"digits"}
    with pytest.raises(PlanError, match="Run `elab data fetch movielens-100k`"):
        on(workshop, CPU, parameters={"data_set": "movielens-100k"})
    with pytest.raises(PlanError, match="Run `elab data fetch movielens-100k`"):
        on(workshop, CPU, data=["movielens-100k"])
    with pytest.raises(PlanError, match="bert-base-uncased is not at hand"):
        on(workshop, CPU, matrix={"weights": [None, "bert-base-uncased"]})
    own = on(workshop, CPU, parameters={"data_set": "a table of my own"}).runs[0]
    assert own.identity.data == {}


def test_a_lab_whose_packages_are_missing_is_told(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labs, "find_spec", lambda name: None if name == "jax" else object())
    (workshop.root / "02_hardware_comparison").mkdir()
    lab = "02_hardware_comparison/lab.ipynb"
    workshop.notebook(name=lab)

    with pytest.raises(PlanError, match="not installed: jax"):
        on(workshop, CPU, notebook=lab)


def test_runs_are_predicted_from_earlier_ones_where_nothing_else_is_known(
    workshop: Workshop,
) -> None:
    workshop.notebook()
    plan = workshop.plan()
    (run,) = check_plan(plan).runs
    assert run.predicted == Predicted()
    ended = Ended(
        state=State.SUCCEEDED, started=datetime.now(UTC), run_seconds=7, host="h", device="d"
    )
    before = Status(run_id=run.run_id, attempt=1, runner="one", identity=run.identity, ended=ended)

    (run,) = check_plan(plan, earlier=lambda *_: [before]).runs

    assert run.predicted.seconds == 7
    assert "1 earlier run" in run.predicted.source


def test_a_run_of_any_gpu_is_found_again_without_a_look_at_the_machines(
    workshop: Workshop,
) -> None:
    workshop.notebook()
    (made,) = on(workshop, GPU, resources={"gpus": 1}).runs
    ended = Ended(
        state=State.FAILED, started=datetime.now(UTC), run_seconds=7, host="h", device="d"
    )
    before = Status(
        run_id=made.run_id, attempt=1, runner="one", identity=made.identity, ended=ended
    )

    assert check_plan(workshop.plan_path).runs[0].identity.device == "GPU"
    (found,) = check_plan(workshop.plan_path, earlier=lambda *_: [before]).runs
    assert found.run_id == made.run_id


def test_what_is_wrong_with_a_device_hides_nothing_of_its_runs(workshop: Workshop) -> None:
    workshop.notebook()

    with pytest.raises(PlanError) as caught:
        on(workshop, CPU, resources={"gpus": 1}, matrix={"speed": [1, 1]})

    assert len(caught.value.problems) == 2
    assert "asked for already" in str(caught.value)


def test_slots_that_are_given_go_before_the_plans_and_share_its_price(workshop: Workshop) -> None:
    workshop.notebook()
    plan = workshop.plan(price={"usd_per_hour": 4.0})

    batch = check_plan(plan, slots=4)

    assert batch.slots == 4
    assert batch.runs[0].usd_per_hour == 1.0


def test_a_thousand_runs_are_checked_with_one_look_at_notebooks_and_data(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    for module, name in ((check, "read_notebook"), (data, "state")):
        real = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda asked, real=real: looks.append(str(asked)) or real(asked)
        )
    workshop.notebook(parameters='data_set: str = "digits"\nseed: int = 0')
    workshop.plan(
        runs=[
            {"notebook": "tiny.ipynb", "matrix": {"seed": list(range(first, first + 500))}}
            for first in (0, 500)
        ]
    )

    assert len(workshop.check().runs) == 1000
    assert looks == [str(workshop.root / "tiny.ipynb"), "digits"]


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
