"""What is wrong with the labs as they are stored: every fault at once, with its remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from enterprise_lab.authoring import notebooks
from enterprise_lab.authoring.labs import Lab, find_labs
from enterprise_lab.authoring.leaks import leaked_lines
from enterprise_lab.authoring.release import run, student_notebook
from enterprise_lab.errors import LabError

_MAKE = "Run `elab release make` and commit what it writes."


@dataclass(frozen=True)
class Fault:
    """One thing that keeps a lab from being released."""

    lab: str
    problem: str
    remedy: str


def check(root: Path, say: Callable[[str], None]) -> list[Fault]:
    """List the faults of every lab under `root`; each lab's two notebooks are run once."""
    labs = find_labs(root)
    faults = []
    for lab in labs:
        say(f"{lab.folder}: running the solution and the student notebook")
        faults += [Fault(lab.folder, *fault) for fault in _faults(lab)]
    known = {lab.folder for lab in labs}
    released = root / "labs"
    strays = sorted(p.name for p in released.iterdir() if p.is_dir()) if released.is_dir() else []
    return faults + [
        Fault(name, f"labs/{name} has no folder in solutions/.", f"Delete labs/{name}.")
        for name in strays
        if name not in known and name[0] != "."
    ]


def _faults(lab: Lab) -> Iterator[tuple[str, str]]:
    try:
        source = notebooks.read_text(lab.text)
    except LabError as error:
        yield error.problem, error.remedy
        return
    yield from _stored_solution_faults(lab, source)
    yield from _solution_faults(lab, source)
    if not lab.released.is_file():
        yield "The student notebook is missing.", _MAKE
        return
    try:
        student = notebooks.read(lab.released)
    except LabError as error:
        yield error.problem, _MAKE
        return
    yield from _release_faults(lab, source, student)
    yield from _leak_faults(source, student)
    yield from _stub_faults(lab, student)


def _stored_solution_faults(lab: Lab, source: NotebookNode) -> Iterator[tuple[str, str]]:
    if not lab.solution.is_file():
        yield "The solution notebook is missing.", _MAKE
        return
    try:
        stored = notebooks.read(lab.solution)
    except LabError as error:
        yield error.problem, _MAKE
        return
    if notebooks.contents(stored) != notebooks.contents(source):
        yield (
            f"The pair is out of step: {lab.solution.name} differs from {lab.text.name}.",
            f"Bring what should stay into {lab.text.name}, then run `elab release make`.",
        )
    if not stored.cells:
        yield "The solution notebook is empty.", _MAKE
    elif notebooks.unexecuted(stored):
        yield "The solution notebook has code cells that were never run.", _MAKE
    for failure in notebooks.failures(stored):
        yield f"The solution notebook stores an error: {failure}.", _MAKE


def _solution_faults(lab: Lab, source: NotebookNode) -> Iterator[tuple[str, str]]:
    try:
        executed = run(lab, notebooks.quick(source))
    except LabError as error:
        yield f"The solution cannot be run: {error.problem}", error.remedy
        return
    for failure in notebooks.failures(executed):
        yield (
            f"The solution fails: {failure}.",
            f"Mend the solution or the check in {lab.text.name}.",
        )


def _release_faults(
    lab: Lab, source: NotebookNode, student: NotebookNode
) -> Iterator[tuple[str, str]]:
    try:
        expected = student_notebook(lab, source)
    except LabError as error:
        yield f"No student notebook can be made. {error.problem}", error.remedy
        return
    if student != expected:
        yield "The student notebook is not what the script would make now.", _MAKE
    if _files(lab.images) != _files(lab.released_images):
        yield f"The pictures in {lab.released_images} are not those in {lab.images}.", _MAKE
    for pattern in ("*.py", "*.ipynb"):
        for path in sorted(lab.released_folder.glob(pattern)):
            if path != lab.released:
                yield f"{path.name} does not belong in labs/{lab.folder}.", f"Delete {path}."


def _files(folder: Path) -> dict[Path, bytes]:
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _leak_faults(source: NotebookNode, student: NotebookNode) -> Iterator[tuple[str, str]]:
    for line in leaked_lines(source, student):
        yield (
            f"The student notebook gives an answer away: {line}",
            "Put the line between solution or hidden-test markers, or say it in other words.",
        )
    if any(c.get("outputs") or c.get("execution_count") for c in student.cells):
        yield "The student notebook carries outputs.", _MAKE


def _stub_faults(lab: Lab, student: NotebookNode) -> Iterator[tuple[str, str]]:
    try:
        executed = run(lab, notebooks.quick(student))
    except LabError as error:
        yield f"The student notebook cannot be run: {error.problem}", error.remedy
        return
    for index, cell in enumerate(executed.cells):
        if notebooks.is_check(cell) and not notebooks.errors(cell):
            yield (
                f"A stub passes its check: {notebooks.cell_name(executed, index)} raises nothing.",
                "Make the visible check call what the student writes.",
            )
