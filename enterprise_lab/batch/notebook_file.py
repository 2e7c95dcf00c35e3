"""A notebook's file, and what of it is executed."""

from __future__ import annotations

import copy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from enterprise_lab.errors import LabError


def read_notebook(path: Path) -> NotebookNode:
    """Read and validate a notebook; LabError when there is none or the file is not one."""
    try:
        there = path.is_file()
    except OSError:  # a name that is too long, a folder that can't be looked into
        there = False
    if not there:
        raise LabError(
            f"there is no notebook {path}",
            "Correct the path: it is counted from the folder above the plan's.",
        )
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except Exception as error:  # nbformat lets its JSON reader's and validator's errors through
        reason = str(error).partition("\n")[0]
        raise LabError(f"{path} is not a notebook: {reason}", "Give an .ipynb file.") from None
    return notebook


def content_of(notebook: NotebookNode) -> str:
    """Write a notebook as JSON without what its cells printed before."""
    bare = copy.deepcopy(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    text: str = nbformat.writes(bare)  # type: ignore[no-untyped-call]
    return text
