"""Every solution still gives the outputs it stores, in the cells tagged nbval-check-output.

nbval compares text and HTML, never pictures; a cell without the tag must only run.
When a figure changed for a good reason: `elab release make --all`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from enterprise_lab.authoring import notebooks
from enterprise_lab.authoring.labs import find_labs

HERE = Path(__file__).parent
SOLUTIONS = [lab.solution for lab in find_labs(HERE.parents[1])]


def nbval(notebook: Path) -> subprocess.CompletedProcess[str]:
    # A configuration of its own: the one of these tests turns nbval's warnings into errors.
    settings = notebook.parent / "pytest.ini"
    settings.write_text("[pytest]\n")
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=300", "--color=no"]
    options += ["--nbval-sanitize-with", str(HERE / "sanitize.cfg")]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", str(settings), *options, str(notebook)],
        cwd=notebook.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda p: p.parent.name)
def test_a_solution_gives_what_it_stores(solution, tmp_path):
    folder = Path(shutil.copytree(solution.parent, tmp_path / solution.parent.name))
    notebooks.write(folder / solution.name, notebooks.quick(notebooks.read(solution)))
    done = nbval(folder / solution.name)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda p: p.parent.name)
def test_a_solution_has_outputs_to_compare(solution):
    notebook = nbformat.read(solution, as_version=4)
    compared = [c for c in notebook.cells if "nbval-check-output" in c.metadata.get("tags", [])]
    assert any(o.output_type == "stream" or "data" in o for c in compared for o in c.outputs)


def stored(text: str, tags: list[str]) -> nbformat.NotebookNode:
    cell = new_code_cell(
        "print(3 * 14, object())\nimport datetime\nprint(datetime.datetime.now())",
        execution_count=1,
        outputs=[new_output("stream", text=text)],
        metadata={"tags": tags},
    )
    return new_notebook(cells=[cell])


GOOD = "42 <object object at 0x7f0123456789>\n2024-01-31 12:00:00.123456\n"


@pytest.mark.parametrize(
    ("text", "tags", "passes"),
    [
        pytest.param(GOOD, ["nbval-check-output"], True, id="same figure"),
        pytest.param(GOOD.replace("42", "43"), ["nbval-check-output"], False, id="changed figure"),
        pytest.param(GOOD.replace("42", "43"), [], True, id="cell that is not compared"),
    ],
)
def test_a_changed_figure_is_caught(tmp_path, text, tags, passes):
    path = tmp_path / "figures.ipynb"
    nbformat.write(stored(text, tags), path)
    done = nbval(path)
    assert (done.returncode == 0) == passes, done.stdout
    assert passes or "Cell outputs differ" in done.stdout
