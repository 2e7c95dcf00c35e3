from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from enterprise_lab.authoring.check import check
from enterprise_lab.authoring.release import make

from .conftest import quiet
from .test_release import SCRIPT, SOLUTION, STUDENT, edit


def problems(root: Path) -> list[str]:
    return [fault.problem for fault in check(root, quiet)]


def change(path: Path, how: Callable[[nbformat.NotebookNode], object]) -> None:
    notebook = nbformat.read(path, as_version=4)
    how(notebook)
    nbformat.write(notebook, path)


def unexecute(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def store_error(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[-1].outputs = [
        nbformat.v4.new_output("error", ename="ValueError", evalue="stale", traceback=[])
    ]


def store_output(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="6\n")]


def test_a_clean_lab_has_no_faults(course):
    assert problems(course) == []


@pytest.mark.parametrize(
    ("plant", "problem"),
    [
        pytest.param(
            lambda c: edit(c / SOLUTION, "# A small lab", "# Another lab"),
            "The pair is out of step: small.ipynb differs from small.py.",
            id="notebook text differs from the script",
        ),
        pytest.param(
            lambda c: change(c / SOLUTION, lambda n: n.cells[1].metadata.pop("tags")),
            "The pair is out of step: small.ipynb differs from small.py.",
            id="notebook metadata differ from the script",
        ),
        pytest.param(
            lambda c: (c / SOLUTION).unlink(),
            "The solution notebook is missing.",
            id="no solution notebook",
        ),
        pytest.param(
            lambda c: change(c / SOLUTION, unexecute),
            "The solution notebook has code cells that were never run.",
            id="unexecuted solution notebook",
        ),
        pytest.param(
            lambda c: change(c / SOLUTION, store_error),
            "The solution notebook stores an error: cell 7 (print(double(factor))) raises "
            "ValueError: stale.",
            id="stored error",
        ),
        pytest.param(
            lambda c: (c / STUDENT).unlink(),
            "The student notebook is missing.",
            id="no student notebook",
        ),
        pytest.param(
            lambda c: edit(c / STUDENT, "# A small lab", "# Edited by hand"),
            "The student notebook is not what the script would make now.",
            id="student notebook edited",
        ),
        pytest.param(
            lambda c: (c / "labs/01_small/small.py").write_text(""),
            "small.py does not belong in labs/01_small.",
            id="script among what students get",
        ),
        pytest.param(
            lambda c: (c / "solutions/01_small/images/curve.svg").write_text("<svg></svg>"),
            "The pictures in {root}/labs/01_small/images are not those in "
            "{root}/solutions/01_small/images.",
            id="picture changed",
        ),
        pytest.param(
            lambda c: (c / "labs/02_gone").mkdir(),
            "labs/02_gone has no folder in solutions/.",
            id="lab without a source",
        ),
        pytest.param(
            lambda c: (edit(c / SCRIPT, "assert double(1) == 2", "callable(double)"), remake(c)),
            "A stub passes its check: cell 'double_check' raises nothing.",
            id="stub passes its visible check",
        ),
        pytest.param(
            lambda c: (
                edit(c / SCRIPT, "# # A small lab", "# # A small lab\n# Try `scaled = factor * x`"),
                remake(c),
            ),
            "The student notebook gives an answer away: scaled = factor * x",
            id="author gives an answer away",
        ),
    ],
)
def test_a_planted_fault_is_the_one_reported(course, plant, problem):
    plant(course)
    assert problems(course) == [problem.format(root=course)]


def remake(root: Path) -> None:
    make(root, False, quiet)


@pytest.mark.parametrize(
    ("plant", "problem"),
    [
        pytest.param(
            lambda c: change(c / SOLUTION, lambda n: n.cells.clear()),
            "The solution notebook is empty.",
            id="empty solution notebook",
        ),
        pytest.param(
            lambda c: edit(c / SCRIPT, "# jupyter:", "# jupyter:\n#  - x: ["),
            "small.py is not a percent script that can be read: ",
            id="script with a broken header",
        ),
        pytest.param(
            lambda c: (c / SOLUTION).write_text("{}"),
            "small.ipynb is not a notebook that can be read.",
            id="solution notebook is none",
        ),
        pytest.param(
            lambda c: edit(c / SCRIPT, "return x + x", "return x + 1"),
            "The solution fails: cell 'double_check' raises AssertionError: .",
            id="solution fails its visible check",
        ),
        pytest.param(
            lambda c: edit(c / SCRIPT, "== 1.5", "== 1.25"),
            "The solution fails: cell 'scale_check' raises AssertionError: .",
            id="solution fails its hidden test",
        ),
        pytest.param(
            lambda c: edit(c / SCRIPT, "factor = 3", "import os\nos._exit(1)"),
            "The solution cannot be run: The kernel died.",
            id="solution kills its kernel",
        ),
        pytest.param(
            lambda c: edit(c / SCRIPT, '"scale_check"', '"double_check"'),
            "nbgrader says: Duplicate grade id: double_check.",
            id="two cells of one grade_id",
        ),
        pytest.param(
            lambda c: edit(c / STUDENT, "raise NotImplementedError", "return x + x"),
            "The student notebook gives an answer away: return x + x",
            id="solution line reached students",
        ),
        pytest.param(
            lambda c: edit(c / STUDENT, "assert scale(2) == 6", "assert scale(0.5) == 1.5"),
            "The student notebook gives an answer away: assert scale(0.5) == 1.5",
            id="hidden test reached students",
        ),
        pytest.param(
            lambda c: edit(c / STUDENT, "# A small lab", "# Adding is cheaper than multiplying."),
            "The student notebook gives an answer away: # Adding is cheaper than multiplying.",
            id="comment of a solution reached students",
        ),
        pytest.param(
            lambda c: change(c / STUDENT, store_output),
            "The student notebook carries outputs.",
            id="output reached students",
        ),
    ],
)
def test_a_planted_fault_is_reported_beside_what_follows_from_it(course, plant, problem):
    plant(course)
    assert any(problem in p for p in problems(course))
