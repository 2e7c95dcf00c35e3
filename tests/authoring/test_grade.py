from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from enterprise_lab.authoring.grade import grade_submissions
from enterprise_lab.errors import LabError

from .conftest import quiet
from .test_release import SOLUTION, STUDENT, edit

CELL_SECONDS = 3
DOUBLE, SCALE = "Return x twice.", "Return x times factor."


def answer(path: Path, docstring: str, body: str) -> None:
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if docstring in c.source)
    cell.source = cell.source.replace("raise NotImplementedError", body)
    nbformat.write(notebook, path)


def half(path: Path) -> None:
    answer(path, DOUBLE, "return 2 * x")


def good_for_the_visible_check_only(path: Path) -> None:
    half(path)
    answer(path, SCALE, "return 6")


def hanging(path: Path) -> None:
    answer(path, DOUBLE, "while True: pass")
    answer(path, SCALE, "return factor * x")


def checks_edited(path: Path) -> None:
    edit(path, "assert double(1) == 2", "pass")
    edit(path, "assert scale(2) == 6", "pass")


def checks_ungraded(path: Path) -> None:
    half(path)
    edit(path, '"grade": true', '"grade": false')


def cells_deleted(path: Path) -> None:
    half(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [
        c
        for c in notebook.cells
        if c.metadata.get("nbgrader", {}).get("grade_id") not in ("double_check", "scale")
    ]
    nbformat.write(notebook, path)


def cells_repeated(path: Path) -> None:
    half(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += notebook.cells
    path.write_text(json.dumps(notebook))


def kernel_ended(path: Path) -> None:
    half(path)
    answer(path, SCALE, "import os; os._exit(1)")


def unstoppable(path: Path) -> None:
    half(path)
    patient = "time.sleep(0.1)\n        except BaseException: pass"
    answer(path, SCALE, f"import time\n    while True:\n        try: {patient}")


SUBMISSIONS: dict[str, tuple[Callable[[Path], None] | None, list[float], str]] = {
    "stub": (None, [0, 0], ""),
    "half": (half, [2, 0], ""),
    "visible only": (good_for_the_visible_check_only, [2, 0], ""),
    "hanging [x]": (hanging, [0, 3], "'double_check' ran too long and was stopped"),
    "checks edited": (checks_edited, [0, 0], "double_check was edited and has been put back"),
    "checks ungraded": (checks_ungraded, [2, 0], ""),
    "cells deleted": (cells_deleted, [2, 0], "the answer scale was deleted"),
    "cells repeated": (cells_repeated, [2, 0], ""),
    "kernel ended": (kernel_ended, [2, 0], "'scale_check' ended the kernel"),
    "unstoppable": (unstoppable, [2, 0], "'scale_check' ran too long and could not be stopped"),
}


def hand_in(course: Path, folder: Path, student: str, source: Path = STUDENT) -> Path:
    path = folder / student / "01_small" / "small.ipynb"
    path.parent.mkdir(parents=True)
    shutil.copy(course / source, path)
    return path


@pytest.fixture(scope="module")
def rows(made_course: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    folder = tmp_path_factory.mktemp("submissions")
    hand_in(made_course, folder, "solution", SOLUTION)
    for student, (change, _, _) in SUBMISSIONS.items():
        path = hand_in(made_course, folder, student)
        if change:
            change(path)
    (folder / "absent").mkdir()
    table = folder / "grades.csv"
    grade_submissions(made_course, folder, table, CELL_SECONDS, quiet)
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def scores(rows: list[dict[str, str]], student: str) -> dict[str, float]:
    return {r["exercise"]: float(r["score"]) for r in rows if r["student"] == student}


def test_every_student_has_a_row_per_exercise_and_a_total(rows):
    assert len([r for r in rows if r["student"] != "absent"]) == 3 * (len(SUBMISSIONS) + 1)
    assert {(r["assignment"], r["exercise"], float(r["max_score"])) for r in rows} == {
        ("01_small", "double_check", 2),
        ("01_small", "scale_check", 3),
        ("01_small", "total", 5),
    }


def test_who_handed_in_nothing_is_in_the_table_too(rows):
    (row,) = (r for r in rows if r["student"] == "absent")
    assert (row["exercise"], row["score"], row["max_score"]) == ("total", "0.0", "5.0")
    assert row["remark"] == "nothing handed in"


def test_the_solution_gets_full_marks(rows):
    assert scores(rows, "solution") == {"double_check": 2, "scale_check": 3, "total": 5}
    assert not any(r["remark"] for r in rows if r["student"] == "solution")


@pytest.mark.parametrize("student", SUBMISSIONS)
def test_scores_and_remarks(rows, student):
    _, points, remark = SUBMISSIONS[student]
    assert list(scores(rows, student).values()) == [*points, sum(points)]
    total = next(r for r in rows if r["student"] == student and r["exercise"] == "total")
    assert remark in total["remark"]
    assert bool(remark) == bool(total["remark"])


def grade(course: Path, folder: Path) -> None:
    grade_submissions(course, folder, course / "grades.csv", CELL_SECONDS, quiet)


def test_every_bad_submission_is_named_before_anything_runs(course, tmp_path):
    (course / "grades.csv").write_text("last week's")
    folder = tmp_path / "handed_in"
    hand_in(course, folder, "good")
    hand_in(course, folder, "broken").write_text("not JSON")
    hand_in(course, folder, "empty").write_text("{}")
    (folder / "astray" / "07_unknown").mkdir(parents=True)
    (folder / "bare" / "01_small").mkdir(parents=True)
    with pytest.raises(LabError) as caught:
        grade(course, folder)
    problem = caught.value.problem
    assert "broken/01_small/small.ipynb is not a notebook" in problem
    assert "empty/01_small/small.ipynb is not a notebook" in problem
    assert "astray/07_unknown is for no lab of this course." in problem
    assert "bare/01_small holds no small.ipynb." in problem
    assert "good" not in problem
    assert (course / "grades.csv").read_text() == "last week's"


def test_a_missing_or_empty_folder_is_refused(course, tmp_path):
    with pytest.raises(LabError, match="There is no folder"):
        grade(course, tmp_path / "none")
    (tmp_path / "nothing" / "student").mkdir(parents=True)
    with pytest.raises(LabError, match="There are no submissions"):
        grade(course, tmp_path / "nothing")


def test_a_table_that_cannot_be_written_is_refused_before_anything_runs(course, tmp_path):
    folder = tmp_path / "handed_in"
    hand_in(course, folder, "good")
    with pytest.raises(LabError, match="cannot be written"):
        grade_submissions(course, folder, tmp_path / "no" / "grades.csv", CELL_SECONDS, quiet)
