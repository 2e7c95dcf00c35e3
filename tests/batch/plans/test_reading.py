from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.plans.errors import PlanError
from enterprise_lab.batch.plans.reading import MOST_BYTES, read_plan
from enterprise_lab.batch.plans.schema import Retried, bytes_of, schema
from enterprise_lab.data import yaml_lines


def problems_of(folder: Path, text: str) -> list[str]:
    path = folder / "plan.yaml"
    path.write_text(text)
    try:
        problems = read_plan(path).problems
    except PlanError as error:
        problems = error.problems
    return [str(p) for p in problems]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: [", ["plan.yaml, line 1", "not YAML"]),
        ("", ["plan.yaml, line 1", "mapping with the keys name"]),
        ("- a\n", ["plan.yaml, line 1", "mapping with the keys name"]),
        ("name: p\n", ["(runs)", "missing", "List at least one entry"]),
        ("name: p\nruns: []\n", ["line 2 (runs)", "at least 1 item"]),
        ("name: p\nruns:\n  - parameters: {}\n", ["line 3 (runs[0].notebook)", "missing"]),
        (
            "name: p\nruns:\n  - notebok: a.ipynb\n    notebook: a.ipynb\n",
            ["line 3 (runs[0].notebok)", "no such key", "Did you mean notebook?"],
        ),
        (
            "name: p\nruns:\n  - notebook: a.ipynb\nnaem: 1\n",
            ["line 4 (naem)", "Did you mean name?"],
        ),
        ("name: ../p\nruns: [{notebook: a.ipynb}]\n", ["line 1 (name)", "letters, digits"]),
        (
            "name: p\nruns: [{notebook: a.ipynb}]\ndeadline_seconds: 0\n",
            ["line 3 (deadline_seconds)", "above zero"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb}]\ndeadline_seconds: true\n",
            ["line 3 (deadline_seconds)", "valid number"],
        ),
        (
            "name: p\nruns:\n  - notebook: a.ipynb\n    matrix:\n      x: []\n",
            ["line 5 (runs[0].matrix.x)", "at least one value"],
        ),
        (
            "name: p\nruns:\n  - notebook: a.ipynb\n    matrix: {}\n",
            ["line 4 (runs[0].matrix)", "leave it out"],
        ),
        (
            "name: p\nruns:\n  - notebook: a.ipynb\n    parameters:\n      x: {y: 1}\n",
            ["line 5 (runs[0].parameters.x)", "a dict is not a single value"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb, parameters: {x: .nan}}]\n",
            ["line 2 (runs[0].parameters.x)", "nan is not a finite number"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb, parameters: {x: 1e400, x: 2}}]\n",
            ["line 2 (runs[0].parameters.x)", "given twice"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb, parameters: {1: 2}}]\n",
            ["runs[0].parameters", "valid string"],
        ),
        ("name: 'p\nruns: []\n", ["not YAML", "Close the quote"]),
        ("name: p\nruns:\n\t- notebook: a.ipynb\n", ["line 3", "with spaces"]),
        ("- a\n", ["line 1", "it should be a mapping"]),
        ("name: p\nruns: [{notebook: a.ipynb, matrix: {x: 1}}]\n", ["it should be a list"]),
        ("name: p\nruns: &a [*a]\n", ["line 2", "not YAML", "an alias stands here"]),
        (
            "name: p\nruns: [{notebook: a.ipynb, parameters: {x: 1, x: 2}}]\n",
            ["runs[0].parameters.x", "given twice"],
        ),
        (
            "name: p\nruns:\n  - notebook: a.ipynb\n    resources: {gpu: 1}\n",
            ["line 4 (runs[0].resources.gpu)", "Did you mean gpus?", "accelerator, memory"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb}]\nresources: {memory: 8}\n",
            ["line 3 (resources.memory)", "8 GB"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb}]\nresources: {memory: 0 GB}\n",
            ["line 3 (resources.memory)", "no memory"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb}]\nretries: {times: 1, on: [cancelled]}\n",
            ["line 3 (retries.on[0])", "kernel_died"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb}]\nprice: {instance: p4d, usd_per_hour: 2}\n",
            ["line 3 (price)", "one of the two"],
        ),
        (
            "name: p\nruns: [{notebook: a.ipynb, workload: sleeping}]\n",
            ["line 2 (runs[0].workload)", "training or inference"],
        ),
        (
            'name: p\nruns: [{notebook: a.ipynb, parameters: {x: "\\ud800"}}]\n',
            ["line 2 (runs[0].parameters.x)", "half a character"],
        ),
        ('name: p\nstore: "a\\0b"\nruns: [{notebook: a.ipynb}]\n', ["line 2 (store)"]),
        ("name: p\nruns:\n  " + "- " * 3000, ["not YAML", "nested too deeply"]),
        ("name: p\ntitle: 2024-13-45\n", ["not YAML", "month"]),
    ],
)
def test_a_wrong_file_is_told_by_line_key_and_mend(
    tmp_path: Path, text: str, told: list[str]
) -> None:
    message = "\n".join(problems_of(tmp_path, text))

    for part in told:
        assert part in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    found = problems_of(tmp_path, "name: a/b\nextra: 1\nruns:\n  - {}\ndeadline_seconds: soon\n")

    assert len(found) == 4


def test_words_and_numbers_are_read_as_editors_read_them(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("""\
name: p
runs: [{notebook: a.ipynb, parameters: {a: off, b: true, c: 5e-5, d: 1e3, e: 0.5, f: e5}}]
retries: {times: 1, on: [failed]}
""")

    plan = read_plan(path).plan

    assert plan.runs[0].parameters == {
        "a": "off", "b": True, "c": 5e-5, "d": 1000.0, "e": 0.5, "f": "e5",
    }  # fmt: skip
    assert plan.retries
    assert plan.retries.on == ["failed"]


def test_what_is_sound_is_kept_beside_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text("""\
name: a/b
deadline_seconds: 60
runs:
  - {notebook: a.ipynb, resources: {gpus: many}, parameters: {x: 1}}
  - {parameters: {x: 2}}
  - {notebook: c.ipynb}
""")

    read = read_plan(path)

    assert len(read.problems) == 3
    assert {i: e.notebook for i, e in read.entries.items()} == {0: "a.ipynb", 2: "c.ipynb"}
    assert read.entries[0].parameters == {"x": 1}
    assert read.partial == {0, 1}
    assert read.plan.deadline_seconds == 60


@pytest.mark.parametrize(
    ("text", "size"),
    [("8 GB", 8e9), ("7.5 GiB", 7.5 * 2**30), ("512MB", 512e6), ("64 MiB", 2**26), ("1 TB", 1e12)],
)
def test_memory_is_said_with_its_unit(text: str, size: float) -> None:
    assert bytes_of(text) == size
    jsonschema.validate({**SMALL, "resources": {"memory": text}}, schema())


SMALL = {"name": "p", "runs": [{"notebook": "a.ipynb"}]}
BATCHES = Path(__file__).parents[3] / "batches"


def test_the_kept_schema_is_that_of_plans() -> None:
    kept = (BATCHES / "plan.schema.json").read_text(encoding="utf-8")

    assert kept == json.dumps(schema(), indent=2) + "\n", (
        "make it anew: python -m enterprise_lab batch schema > batches/plan.schema.json"
    )
    jsonschema.validators.validator_for(schema()).check_schema(schema())


def test_every_key_of_a_plan_is_described_for_editors() -> None:
    parts = [schema(), *schema()["$defs"].values()]

    for part in parts:
        assert part["description"]
        assert all(key["description"] for key in part["properties"].values())


@pytest.mark.parametrize("path", sorted(BATCHES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_plans_of_the_kit_are_sound_by_the_schema_and_by_the_reader(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text.startswith("# yaml-language-server: $schema=plan.schema.json\n")
    jsonschema.validate(yaml_lines.read(text).content, schema())
    assert read_plan(path).problems == ()
    assert read_plan(path).plan.name == path.stem


def test_the_smoke_plan_runs_every_lab() -> None:
    for name in ("smoke", "nightly"):
        entries = read_plan(BATCHES / f"{name}.yaml").plan.runs
        assert {Path(entry.notebook).parent.name for entry in entries} == {
            folder.name for folder in (BATCHES.parent / "solutions").iterdir()
            if list(folder.glob("*.ipynb"))
        }  # fmt: skip


def test_what_may_be_retried_are_ends_of_attempts() -> None:
    ends = {State(name) for name in get_args(Retried)}

    assert ends == set(State) - {
        State.QUEUED, State.RUNNING, State.SUCCEEDED, State.CANCELLED,
    }  # fmt: skip


def test_a_file_too_large_for_a_plan_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(b"# " + b"x" * 10 * MOST_BYTES)

    with pytest.raises(PlanError, match="larger than"):
        read_plan(path)


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 40)]

    (problem,) = problems_of(tmp_path, "\n".join(lines))

    assert "an alias stands here" in problem


def test_a_file_that_cannot_be_read_is_a_plan_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such file"):
        read_plan(tmp_path / "absent.yaml")
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / "latin.yaml")
