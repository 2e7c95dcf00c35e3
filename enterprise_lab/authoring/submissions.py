"""What students handed in: found, read, and put in a state that can be graded."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from enterprise_lab.authoring import notebooks
from enterprise_lab.authoring.labs import Lab
from enterprise_lab.errors import LabError


@dataclass(frozen=True)
class Submission:
    """One student's notebook for one lab."""

    student: str
    lab: Lab
    notebook: NotebookNode


def find_submissions(folder: Path, labs: list[Lab]) -> list[Submission]:
    """Read every STUDENT/NN_name/name.ipynb under `folder`.

    Raises LabError, naming all that is wrong, for a missing or empty folder, an unknown lab, a
    missing notebook and a file that is not a notebook.
    """
    if not folder.is_dir():
        raise LabError(f"There is no folder {folder}.", "Give the folder that holds the students'.")
    by_folder = {lab.folder: lab for lab in labs}
    found, problems = [], []
    for student in _folders(folder):
        for handed_in in _folders(student):
            lab = by_folder.get(handed_in.name)
            if lab is None:
                problems.append(f"{handed_in} is for no lab of this course.")
            elif not (path := handed_in / lab.released.name).is_file():
                problems.append(f"{handed_in} holds no {lab.released.name}.")
            else:
                try:
                    found.append(Submission(student.name, lab, notebooks.read(path)))
                except LabError as error:
                    problems.append(error.problem)
    if problems:
        raise LabError(
            " ".join(problems),
            f"Mend or move these away, nothing was graded; the labs are {', '.join(by_folder)}.",
        )
    if not found:
        raise LabError(
            f"There are no submissions in {folder}.",
            "Put every student's notebook at STUDENT/NN_name/name.ipynb.",
        )
    return found


def students(folder: Path) -> list[str]:
    """Name every student who has a folder, with or without a notebook in it."""
    return [student.name for student in _folders(folder)]


def _folders(parent: Path) -> Iterator[Path]:
    return (p for p in sorted(parent.iterdir()) if p.is_dir() and p.name[0] not in "._")


def mend(
    submitted: NotebookNode, released: NotebookNode, source: NotebookNode
) -> tuple[NotebookNode, list[str]]:
    """Give back what must not differ from the student notebook, and say what did.

    Locked cells get the released source, missing ones are put at the end, and nbgrader's metadata
    are the released ones; `source` holds the hidden tests, so that the solution notebook may be
    handed in too.
    """
    known = {notebooks.grade_id(c): c for c in released.cells if notebooks.grade_id(c)}
    full = {notebooks.grade_id(c): c.source for c in source.cells}
    mended, remarks, seen = copy.deepcopy(submitted), [], set()
    for cell in mended.cells:
        name = notebooks.grade_id(cell)
        cell.metadata.pop("nbgrader", None)
        if name not in known or name in seen:
            continue
        seen.add(name)
        cell.metadata["nbgrader"] = copy.deepcopy(known[name].metadata.nbgrader)
        if known[name].metadata.nbgrader.locked and not (
            cell.cell_type == known[name].cell_type
            and cell.source in (known[name].source, full[name])
        ):
            remarks.append(f"{name} was edited and has been put back")
            cell.clear()
            cell.update(copy.deepcopy(known[name]))
    for name, cell in known.items():
        if name not in seen:
            if cell.metadata.nbgrader.solution:
                remarks.append(f"the answer {name} was deleted")
            else:
                remarks.append(f"{name} was deleted and has been put back")
                mended.cells.append(copy.deepcopy(cell))
    for index, cell in enumerate(mended.cells):
        cell["id"] = f"cell-{index}"
    mended.nbformat, mended.nbformat_minor = nbformat.v4.nbformat, nbformat.v4.nbformat_minor
    return mended, remarks
