"""A notebook's file, and what of it is executed."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from enterprise_lab.errors import LabError

if TYPE_CHECKING:
    from nbformat import NotebookNode


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
    nbformat = notebook_format()
    try:
        notebook: NotebookNode = nbformat.read(path, as_version=4)
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
    text: str = notebook_format().writes(bare)
    return text


def notebook_format() -> ModuleType:
    """Import nbformat, in a tenth of the time that it would take.

    It imports jsonschema, which makes a grammar of internationalised addresses where there is a
    package for it. No notebook has a field of that format.
    """
    grammar = "rfc3987_syntax"
    hidden = grammar not in sys.modules
    if hidden:
        sys.modules[grammar] = None  # type: ignore[assignment]
    try:
        import nbformat
    finally:
        if hidden:
            del sys.modules[grammar]
    return nbformat
