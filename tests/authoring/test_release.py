from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from enterprise_lab.authoring import notebooks
from enterprise_lab.authoring.files import write_whole
from enterprise_lab.authoring.release import make
from enterprise_lab.errors import LabError

from .conftest import quiet

SCRIPT = Path("solutions/01_small/small.py")
SOLUTION = Path("solutions/01_small/small.ipynb")
STUDENT = Path("labs/01_small/small.ipynb")


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_students_get_the_notebook_and_its_pictures_and_nothing_else(course):
    released = [str(p.relative_to(course)) for p in (course / "labs").rglob("*") if p.is_file()]
    assert sorted(released) == ["labs/01_small/images/curve.svg", str(STUDENT)]


def test_student_notebook_has_stubs_and_neither_answers_nor_outputs_nor_pairing(course):
    notebook = nbformat.read(course / STUDENT, as_version=4)
    text = (course / STUDENT).read_text()
    assert text.count("raise NotImplementedError") == 2
    for absent in ("SOLUTION", "HIDDEN", "x + x", "-3.5", "jupytext"):
        assert absent not in text
    assert not any(c.outputs or c.execution_count for c in notebook.cells if "outputs" in c)
    assert notebook.metadata.kernelspec.name == "python3"


def test_solution_notebook_is_executed(course):
    notebook = nbformat.read(course / SOLUTION, as_version=4)
    assert notebook.cells[-1].outputs[0].text == "6\n"


def test_running_everything_twice_gives_the_same_bytes(course):
    before = contents(course)
    make(course, True, quiet)
    assert contents(course) == before


def test_a_solution_is_run_only_when_its_code_changed(course):
    edit(course / SCRIPT, "print(double(factor))", "import os\nprint(os.urandom(8).hex())")
    make(course, False, quiet)

    def drawn() -> str:
        return nbformat.read(course / SOLUTION, as_version=4).cells[-1].outputs[0].text

    first = drawn()
    edit(course / SCRIPT, "# # A small lab", "# # A renamed lab")
    make(course, False, quiet)
    assert drawn() == first
    assert "A renamed lab" in (course / SOLUTION).read_text()
    assert "A renamed lab" in (course / STUDENT).read_text()
    edit(course / SCRIPT, "factor = 3", "factor = 3.0")
    make(course, False, quiet)
    assert drawn() != first


def test_a_failing_solution_is_named_and_nothing_is_written(course):
    before = contents(course)
    edit(course / SCRIPT, "return x + x", "return x + 1")
    with pytest.raises(LabError, match="'double_check' raises AssertionError"):
        make(course, False, quiet)
    after = contents(course)
    assert {k: v for k, v in after.items() if k != str(SCRIPT)} == {
        k: v for k, v in before.items() if k != str(SCRIPT)
    }


@pytest.mark.parametrize("damage", ["", "{}"])
def test_a_damaged_solution_notebook_is_made_again(course, damage):
    before = (course / SOLUTION).read_bytes()
    (course / SOLUTION).write_text(damage)
    make(course, False, quiet)
    assert (course / SOLUTION).read_bytes() == before


def test_a_marker_that_is_never_closed_is_named(course):
    edit(course / SCRIPT, "    return scaled\n    ### END SOLUTION", "    return scaled")
    with pytest.raises(LabError, match="no end solution statement found"):
        make(course, False, quiet)


@pytest.mark.parametrize("folder", [None, "solutions", "solutions/02_none"])
def test_a_folder_that_is_no_course_is_refused(tmp_path, folder):
    if folder:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(LabError):
        make(tmp_path, False, quiet)


def widget_notebook(first: str, second: str, cell_id: str) -> nbformat.NotebookNode:
    key = "application/vnd.jupyter.widget-state+json"
    state = {
        first: {"model_name": "SliderModel"},
        second: {"state": {"children": [f"IPY_MODEL_{first}"]}},
    }
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": second}}
    cell = new_code_cell("panel", outputs=[new_output("display_data", data)])
    cell["id"] = cell_id
    cell.metadata["execution"] = {"iopub.execute_input": cell_id}
    return new_notebook(cells=[cell], metadata={"widgets": {key: {"state": state}}})


def test_canonical_notebooks_do_not_depend_on_the_run():
    one = notebooks.canonical(widget_notebook("a" * 32, "b" * 32, "one"))
    two = notebooks.canonical(widget_notebook("c" * 32, "d" * 32, "two"))
    assert one == two
    state = one.metadata.widgets["application/vnd.jupyter.widget-state+json"].state
    view = one.cells[0].outputs[0].data["application/vnd.jupyter.widget-view+json"]
    assert list(state)[1] == view.model_id


def test_cells_that_say_the_same_have_ids_of_their_own():
    notebook = notebooks.canonical(new_notebook(cells=[new_markdown_cell("x") for _ in range(3)]))
    assert len({c.id for c in notebook.cells}) == 3


def test_executing_leaves_the_notebook_it_was_given_as_it_was(tmp_path):
    notebook = notebooks.canonical(new_notebook(cells=[new_code_cell("6 * 7")]))
    executed = notebooks.execute(notebook, tmp_path)
    assert executed.cells[0].outputs[0].data["text/plain"] == "42"
    assert notebook.cells[0].outputs == []


def test_a_file_that_cannot_be_written_is_named_and_stays(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(LabError, match="taken cannot be written: "):
        write_whole(tmp_path / "taken", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_a_lab_is_checked_in_its_quick_profile_and_the_notebook_stays_as_it_was(tmp_path):
    cells = [
        new_code_cell('profile = "laptop"', metadata={"tags": ["parameters"]}),
        new_code_cell("print(profile)"),
    ]
    slow = new_notebook(cells=cells)
    ran = notebooks.execute(notebooks.quick(slow), tmp_path)
    assert ran.cells[-1].outputs[0].text == "smoke\n"
    assert len(slow.cells) == 2


def test_a_notebook_without_profiles_is_run_as_it_is():
    plain = new_notebook(cells=[new_code_cell("width = 3", metadata={"tags": ["parameters"]})])
    assert notebooks.quick(plain) == plain
