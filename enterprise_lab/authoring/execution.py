"""Running a submission as far as it goes."""

from __future__ import annotations

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute

OUTCOMES = {
    "CellTimeoutError": "ran too long and was stopped",
    "UnresponsiveKernelError": "ran too long and could not be stopped; nothing after it was run",
    "DeadKernelError": "ended the kernel; nothing after it was run",
}
"""What became of a cell, by the name of the error it stores."""


class ExecuteAsFarAsItGoes(Execute):  # type: ignore[misc]
    """nbgrader's execution, which gives up on a whole submission when its kernel is lost.

    Here the cell at fault and all cells after it store an error instead, so that what was
    reached before keeps its points.
    """

    _lost = ""

    def preprocess_cell(
        self, cell: NotebookNode, resources: dict[str, object], index: int
    ) -> tuple[NotebookNode, dict[str, object]]:
        """Run one cell, or note that it was not reached."""
        if cell.cell_type != "code":
            return cell, resources
        if self._lost:
            cell.outputs = [_error("NotReached", f"The kernel was lost before ({self._lost}).")]
            return cell, resources
        try:
            super().preprocess_cell(cell, resources, index)
        except CellTimeoutError:
            self._lost = "UnresponsiveKernelError"
        except DeadKernelError:
            self._lost = "DeadKernelError"
        if self._lost:
            cell.outputs = [*cell.outputs, _error(self._lost, OUTCOMES[self._lost])]
        return cell, resources


def _error(name: str, message: str) -> NotebookNode:
    error: NotebookNode = new_output(  # type: ignore[no-untyped-call]
        "error", ename=name, evalue=message, traceback=[f"{name}: {message}"]
    )
    return error
