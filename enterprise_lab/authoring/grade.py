"""Autograding: from submissions to a table of scores."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from nbformat import NotebookNode

from enterprise_lab.authoring import notebooks
from enterprise_lab.authoring.execution import OUTCOMES
from enterprise_lab.authoring.files import write_whole
from enterprise_lab.authoring.labs import Lab, find_labs
from enterprise_lab.authoring.nbgrader_course import Course, NbgraderError, temporary_course
from enterprise_lab.authoring.submissions import Submission, find_submissions, mend, students
from enterprise_lab.errors import LabError

TOTAL = "total"


@dataclass(frozen=True)
class Score:
    """One row of the table: the points of an exercise, or of the whole lab (`total`)."""

    student: str
    assignment: str
    exercise: str
    score: float
    max_score: float
    remark: str = ""


def grade_submissions(
    root: Path, folder: Path, table: Path, cell_seconds: int, say: Callable[[str], None]
) -> None:
    """Grade every STUDENT/NN_name/name.ipynb in `folder` and write the scores to a CSV file.

    Students' code runs in kernels on this machine with the rights of whoever calls this. Nothing
    confines it: it can read the hidden tests and every file the caller can, and change the scores.
    Call this where that does no harm, in a container or on a machine of its own. A cell that runs
    longer than cell_seconds is interrupted; when a submission loses its kernel, what it reached
    before is graded.

    Raises LabError before anything runs when a submission cannot be read or is for no lab, or
    the table cannot be written.
    """
    submissions = find_submissions(folder, find_labs(root))
    _require_writable(table)
    with temporary_course(cell_seconds) as course:
        grader = _Grader(course)
        scores: list[Score] = []
        for number, submission in enumerate(submissions, start=1):
            rows = grader.grade(submission, f"student-{number}")
            total = rows[-1]
            say(
                f"{number}/{len(submissions)} {total.student} {total.assignment}: "
                f"{total.score:g} of {total.max_score:g}"
                + (f" ({total.remark})" if total.remark else "")
            )
            scores += rows
    scores += _nothing_handed_in(folder, submissions, scores)
    _write(table, scores)
    say(f"The scores are in {table}")


class _Grader:
    """Grades submissions in one nbgrader course, to which labs are added when first met."""

    def __init__(self, course: Course) -> None:
        self._course = course
        self._labs: dict[Lab, tuple[NotebookNode, NotebookNode]] = {}

    def grade(self, submission: Submission, alias: str) -> list[Score]:
        """Give a row per graded cell and the total; nbgrader knows the student as `alias`."""
        lab = submission.lab
        released, source = self._notebooks(lab)
        notebook, remarks = mend(submission.notebook, released, source)
        try:
            executed = self._course.autograde(alias, lab, notebooks.quick(notebook))
        except NbgraderError as error:
            points, outcomes = {}, [f"could not be graded: {error.problem}"]
        else:
            points, outcomes = self._points(alias, lab), list(_outcomes(executed))
        rows = [
            Score(submission.student, lab.folder, name, *points.get(name, (0.0, max_score, "")))
            for name, max_score in _graded_cells(released)
        ]
        total = Score(
            submission.student,
            lab.folder,
            TOTAL,
            sum(r.score for r in rows),
            sum(r.max_score for r in rows),
            "; ".join(remarks + outcomes),
        )
        return [*rows, total]

    def _notebooks(self, lab: Lab) -> tuple[NotebookNode, NotebookNode]:
        if lab not in self._labs:
            source = notebooks.read_text(lab.text)
            released = notebooks.read(self._course.generate(lab, source) / lab.released.name)
            self._labs[lab] = released, source
        return self._labs[lab]

    def _points(self, alias: str, lab: Lab) -> dict[str, tuple[float, float, str]]:
        with self._course.gradebook() as gradebook:
            submitted = gradebook.find_submission_notebook(lab.stem, lab.folder, alias)
            return {
                g.name: (
                    g.auto_score or 0.0,
                    g.max_score,
                    "to be marked by hand" if g.needs_manual_grade else "",
                )
                for g in submitted.grades
            }


def _require_writable(table: Path) -> None:
    """Find out before an hour of grading that the table has nowhere to go."""
    try:
        with tempfile.TemporaryFile(dir=table.parent):
            if not table.is_dir():
                return
    except OSError:
        pass
    raise LabError(f"{table} cannot be written.", "Give a file in a folder you may write in.")


def _nothing_handed_in(
    folder: Path, submissions: list[Submission], scores: list[Score]
) -> list[Score]:
    """Give every student a total, with no points, for each lab only others have handed in."""
    most = {s.assignment: s.max_score for s in scores if s.exercise == TOTAL}
    there = {(s.student, s.lab.folder) for s in submissions}
    return [
        Score(student, lab, TOTAL, 0.0, most[lab], "nothing handed in")
        for student in students(folder)
        for lab in sorted(most)
        if (student, lab) not in there
    ]


def _graded_cells(released: NotebookNode) -> Iterator[tuple[str, float]]:
    for cell in released.cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            yield notebooks.grade_id(cell), float(cell.metadata.nbgrader.points)


def _outcomes(executed: NotebookNode) -> Iterator[str]:
    for index, cell in enumerate(executed.cells):
        for error in notebooks.errors(cell):
            if error.ename in OUTCOMES:
                yield f"{notebooks.cell_name(executed, index)} {OUTCOMES[error.ename]}"


def _write(table: Path, scores: list[Score]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Score))
    writer.writerows(astuple(score) for score in scores)
    write_whole(table, text.getvalue())
