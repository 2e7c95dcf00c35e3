"""The labs of the course itself: nothing handed in scores nothing, everything scores everything."""

from __future__ import annotations

import copy
import csv
from pathlib import Path

from nbformat import NotebookNode

from enterprise_lab.authoring import notebooks
from enterprise_lab.authoring.grade import grade_submissions
from enterprise_lab.authoring.labs import find_labs
from enterprise_lab.authoring.release import student_notebook

from .conftest import quiet

ROOT = Path(__file__).parents[2]


def half_done(student: NotebookNode, source: NotebookNode) -> NotebookNode:
    """Fill in the answers of the first half of the exercises."""
    half = copy.deepcopy(student)
    answers = {c["id"]: c.source for c in source.cells if is_exercise(c)}
    for name in list(answers)[: len(answers) // 2]:
        next(c for c in half.cells if c["id"] == name).source = answers[name]
    return half


def is_exercise(cell: NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def test_stub_half_and_solution_are_graded_in_that_order(tmp_path: Path):
    lab = find_labs(ROOT)[0]  # of every lab the release check runs stub and solution
    source = notebooks.read_text(lab.text)
    student = student_notebook(lab, source)
    copies = {"stub": student, "half": half_done(student, source), "solution": source}
    for name, notebook in copies.items():
        notebooks.write(tmp_path / "in" / name / lab.folder / lab.solution.name, notebook)
    grade_submissions(ROOT, tmp_path / "in", tmp_path / "grades.csv", 60, quiet)
    with (tmp_path / "grades.csv").open(newline="") as file:
        totals = {r["student"]: r for r in csv.DictReader(file) if r["exercise"] == "total"}
    scores = {name: float(total["score"]) for name, total in totals.items()}
    assert scores["stub"] == 0
    assert scores["solution"] == float(totals["solution"]["max_score"])
    assert 0 < scores["half"] < scores["solution"]
    assert not any(total["remark"] for total in totals.values())
