"""Notebooks as values: read from percent scripts, made canonical, executed, written."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from enterprise_lab.authoring.files import write_whole
from enterprise_lab.errors import LabError

CELL_SECONDS = 300
"""How long one cell of a lab may run when it is released or checked."""

KERNEL_ARGUMENTS = ["--log-level=ERROR"]
"""Keeps ipykernel's note about plain TCP, which here stays on this machine, off the terminal."""

_METADATA = {
    "jupytext": {"formats": "ipynb,py:percent"},
    "kernelspec": {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    },
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}
_WIDGETS = "application/vnd.jupyter.widget-state+json"


def read_text(path: Path) -> NotebookNode:
    """Read a percent script as a canonical notebook without outputs.

    Raises LabError when its header or its encoding cannot be read.
    """
    try:
        return canonical(jupytext.read(path, fmt="py:percent"))
    except Exception as error:
        # jupytext lets its YAML reader's errors through.
        reason = " ".join(str(error).split())
        raise LabError(
            f"{path} is not a percent script that can be read: {reason}.",
            "Mend the header between the two lines `# ---`.",
        ) from error


def read(path: Path) -> NotebookNode:
    """Read a notebook in today's format; LabError when the file is not one."""
    try:
        with warnings.catch_warnings():
            # Missing and repeated cell ids, which nbformat mends.
            warnings.simplefilter("ignore", FutureWarning)
            notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
            nbformat.validate(notebook)
    except Exception as error:
        # nbformat raises KeyError, AttributeError and others on JSON of another shape.
        raise LabError(
            f"{path} is not a notebook that can be read.",
            "Open it in JupyterLab to see what is wrong, or replace it by a good copy.",
        ) from error
    return notebook


def canonical(notebook: NotebookNode) -> NotebookNode:
    """Return a copy in which nothing depends on when, where or by whom it was made.

    Cell ids come from the grade id or the source, notebook metadata are the course's own,
    time stamps and line-spacing notes are dropped, widget ids are numbered.
    """
    notebook = _number_widgets(notebook)
    widgets = notebook.metadata.get("widgets")
    notebook.metadata = _node(_METADATA)
    if widgets:
        notebook.metadata["widgets"] = widgets
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        cell.metadata = _node(
            {k: v for k, v in cell.metadata.items() if k not in ("execution", "lines_to_next_cell")}
        )
        cell["id"] = _cell_id(cell, seen)
    return notebook


def _cell_id(cell: NotebookNode, seen: Counter[str]) -> str:
    name = grade_id(cell)
    if not re.fullmatch(r"[\w-]{1,60}", name, re.ASCII):
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode())
        name = digest.hexdigest()[:8]
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


def _number_widgets(notebook: NotebookNode) -> NotebookNode:
    state = notebook.metadata.get("widgets", {}).get(_WIDGETS, {}).get("state", {})
    text = json.dumps(notebook)
    for number, widget_id in enumerate(state):
        text = text.replace(widget_id, f"{number:032x}")
    return _node(json.loads(text))


def _node(value: Mapping[str, object]) -> NotebookNode:
    node: NotebookNode = nbformat.from_dict(value)  # type: ignore[no-untyped-call]
    return node


def grade_id(cell: NotebookNode) -> str:
    """Give nbgrader's name of a cell, or an empty string."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def is_check(cell: NotebookNode) -> bool:
    """Whether the cell is code that nbgrader gives points for."""
    return cell.cell_type == "code" and bool(cell.metadata.get("nbgrader", {}).get("grade"))


def contents(notebook: NotebookNode) -> list[tuple[str, str, dict[str, object]]]:
    """List what an author writes of every cell: type, source and metadata."""
    return [(c.cell_type, c.source, c.metadata) for c in canonical(notebook).cells]


def code(notebook: NotebookNode) -> list[str]:
    """List the sources of the code cells."""
    return [c.source for c in notebook.cells if c.cell_type == "code"]


def quick(notebook: NotebookNode) -> NotebookNode:
    """Return a copy that runs in the profile of seconds, whatever its own parameters say."""
    faster = copy.deepcopy(notebook)
    for index, cell in enumerate(faster.cells):
        if "parameters" in cell.metadata.get("tags", []) and "profile" in cell.source:
            override = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
                'profile = "smoke"', metadata={"tags": ["injected-parameters"]}
            )
            faster.cells.insert(index + 1, override)
            break
    return faster


def execute(notebook: NotebookNode, folder: Path, cell_seconds: int = CELL_SECONDS) -> NotebookNode:
    """Run a copy, every cell in a new kernel in `folder`; errors are kept as outputs.

    Raises LabError when a cell takes more than cell_seconds or the kernel dies.
    """
    client = NotebookClient(
        copy.deepcopy(notebook),
        kernel_name="python3",
        timeout=cell_seconds,
        allow_errors=True,
        record_timing=False,
        extra_arguments=list(KERNEL_ARGUMENTS),
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        return canonical(client.execute())
    except CellTimeoutError as error:
        raise LabError(
            f"A cell ran longer than {cell_seconds} s.", "Make it shorter or find out what hangs."
        ) from error
    except DeadKernelError as error:
        raise LabError(
            "The kernel died.", "Run the notebook in JupyterLab to see at which cell."
        ) from error


def unexecuted(notebook: NotebookNode) -> bool:
    """Whether the notebook is empty or a code cell of it was never run."""
    counts = [
        c.execution_count for c in notebook.cells if c.cell_type == "code" and c.source.strip()
    ]
    return not counts or None in counts


def failures(notebook: NotebookNode) -> list[str]:
    """Say of every cell that stores an unwanted error which cell it is and what it raised."""
    return [
        f"{cell_name(notebook, index)} raises {output.ename}: {output.evalue}"
        for index, cell in enumerate(notebook.cells)
        if "raises-exception" not in cell.metadata.get("tags", [])
        for output in errors(cell)
    ]


def errors(cell: NotebookNode) -> list[NotebookNode]:
    """List the error outputs of a cell."""
    return [o for o in cell.get("outputs", []) if o.output_type == "error"]


def cell_name(notebook: NotebookNode, index: int) -> str:
    """Name a cell for people: its grade id, or its place and first line."""
    cell = notebook.cells[index]
    if name := grade_id(cell):
        return f"cell {name!r}"
    return f"cell {index + 1} ({cell.source.strip().partition(chr(10))[0]})"


def write(path: Path, notebook: NotebookNode) -> None:
    """Write a notebook whole or not at all; leave a file that already says the same untouched."""
    text = nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    write_whole(path, text)
