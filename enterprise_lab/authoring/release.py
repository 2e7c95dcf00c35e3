"""From an author's script to the executed solution and the student notebook."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from enterprise_lab.authoring import notebooks
from enterprise_lab.authoring.labs import Lab, find_labs
from enterprise_lab.authoring.nbgrader_course import temporary_course
from enterprise_lab.errors import LabError


def make(root: Path, execute_all: bool, say: Callable[[str], None]) -> None:
    """Bring every lab's solution notebook and student notebook up to date with its script.

    A solution is run when its code differs from the stored notebook's, or that was never run
    through without an error, or execute_all is set. Raises LabError, with that lab's files left
    as they were, when a solution fails or nbgrader refuses it.
    """
    for lab in find_labs(root):
        source = notebooks.read_text(lab.text)
        student = student_notebook(lab, source)
        solution = _solution_notebook(lab, source, execute_all, say)
        notebooks.write(lab.solution, solution)
        notebooks.write(lab.released, student)
        shutil.rmtree(lab.released_images, ignore_errors=True)
        if lab.images.is_dir():
            shutil.copytree(lab.images, lab.released_images)
        say(f"{lab.folder}: {lab.solution} and {lab.released} are up to date")


def student_notebook(lab: Lab, source: NotebookNode) -> NotebookNode:
    """Make the notebook students get: no solutions, no hidden tests, no outputs.

    Raises NbgraderError when a marker or a cell's nbgrader metadata is wrong.
    """
    with temporary_course(notebooks.CELL_SECONDS) as course:
        released = course.generate(lab, source)
        student = notebooks.canonical(notebooks.read(released / lab.released.name))
    # Without this, a student who has jupytext would get a script beside every notebook.
    del student.metadata["jupytext"]
    for cell in student.cells:
        if notebooks.is_check(cell):
            # "Run All" then goes on to the pictures behind an exercise not solved yet.
            cell.metadata["tags"] = [*cell.metadata.get("tags", []), "raises-exception"]
    return student


def run(lab: Lab, notebook: NotebookNode) -> NotebookNode:
    """Execute a notebook of the lab in a temporary folder that holds the lab's pictures."""
    with tempfile.TemporaryDirectory(prefix="elab-") as folder:
        if lab.images.is_dir():
            shutil.copytree(lab.images, Path(folder) / lab.images.name)
        return notebooks.execute(notebook, Path(folder))


def _solution_notebook(
    lab: Lab, source: NotebookNode, execute_all: bool, say: Callable[[str], None]
) -> NotebookNode:
    stored = _stored_solution(lab)
    if stored and not execute_all and _is_current(stored, source):
        say(f"{lab.folder}: the code has not changed, its outputs are kept")
        return _with_outputs(source, stored)
    say(f"{lab.folder}: running the solution")
    solution = run(lab, source)
    if failed := notebooks.failures(solution):
        raise LabError(
            f"The solution of {lab.folder} fails: {'; '.join(failed)}.",
            f"Mend {lab.text}; nothing of this lab was written.",
        )
    return solution


def _stored_solution(lab: Lab) -> NotebookNode | None:
    try:
        return notebooks.read(lab.solution)
    except LabError:
        return None


def _is_current(stored: NotebookNode, source: NotebookNode) -> bool:
    return (
        notebooks.code(stored) == notebooks.code(source)
        and not notebooks.unexecuted(stored)
        and not notebooks.failures(stored)
    )


def _with_outputs(source: NotebookNode, stored: NotebookNode) -> NotebookNode:
    ran = iter([c for c in stored.cells if c.cell_type == "code"])
    for cell in source.cells:
        if cell.cell_type == "code":
            old = next(ran)
            cell.outputs, cell.execution_count = old.outputs, old.execution_count
    if "widgets" in stored.metadata:
        source.metadata["widgets"] = stored.metadata.widgets
    return notebooks.canonical(source)
