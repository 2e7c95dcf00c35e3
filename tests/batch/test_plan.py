from __future__ import annotations

from pathlib import Path

import pytest

from enterprise_lab.batch.errors import PlanError
from enterprise_lab.batch.plan import Entry, Plan, expand, read_plan
from enterprise_lab.errors import LabError


def problems_of(folder: Path, text: str) -> list[str]:
    path = folder / "plan.yaml"
    path.write_text(text)
    with pytest.raises(PlanError) as caught:
        read_plan(path)
    return [str(p) for p in caught.value.problems]


def test_expansion_is_the_product_of_each_matrix_in_the_files_order() -> None:
    plan = Plan(
        name="p",
        runs=[
            Entry(notebook="a.ipynb", parameters={"x": 1}, matrix={"y": [1, 2], "z": ["u", "v"]}),
            Entry(notebook="b.ipynb"),
        ],
    )

    assert [(c.entry, c.notebook, c.parameters) for c in expand(plan)] == [
        (0, "a.ipynb", {"x": 1, "y": 1, "z": "u"}),
        (0, "a.ipynb", {"x": 1, "y": 1, "z": "v"}),
        (0, "a.ipynb", {"x": 1, "y": 2, "z": "u"}),
        (0, "a.ipynb", {"x": 1, "y": 2, "z": "v"}),
        (1, "b.ipynb", {}),
    ]


def test_a_matrix_that_got_out_of_hand_is_refused_before_it_is_expanded() -> None:
    matrix = {f"p{n}": list(range(1000)) for n in range(12)}

    with pytest.raises(LabError, match="is the most"):
        expand(Plan(name="p", runs=[Entry(notebook="a.ipynb", matrix=matrix)]))


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
        ("name: p\nruns: &a [*a]\n", ["not YAML", "alias contains itself"]),
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


def test_a_file_that_cannot_be_read_is_a_plan_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no such file"):
        read_plan(tmp_path / "absent.yaml")
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(PlanError, match="cannot be read"):
        read_plan(tmp_path / "latin.yaml")
