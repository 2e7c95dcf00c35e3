"""One attempt in a process of its own: execute a notebook with papermill, then say how it ended.

The job is one line of JSON on standard input; the working folder is the attempt's. The exit code
is 0 when the notebook succeeded; otherwise `outcome.json` tells why. Standard input stays open as
long as the supervisor lives: when it closes, the run is nobody's and ends at once.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from threading import Thread

import nbformat
from nbclient.exceptions import DeadKernelError
from papermill import execute_notebook
from papermill.exceptions import PapermillExecutionError

from enterprise_lab.batch import processes
from enterprise_lab.batch.attempt import NOTEBOOK, Job, State


def main() -> int:
    """Execute the job on standard input and return the exit code."""
    job = Job.model_validate_json(sys.stdin.readline())
    Thread(target=_leave_with_the_supervisor, daemon=True).start()
    try:
        execute_notebook(
            nbformat.reads(job.content, as_version=4),
            NOTEBOOK,
            parameters=dict(job.parameters),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stdout_file=sys.stdout,
            stderr_file=sys.stderr,
        )
    except PapermillExecutionError as error:
        cell = f"cell In [{error.exec_count}]" if error.exec_count else "a cell"
        return _say(State.FAILED, f"{cell}: {error.ename}: {error.evalue}", error.exec_count)
    except DeadKernelError:
        return _say(State.KERNEL_DIED, f"the kernel died{_last_cell()}")
    except Exception as error:  # a full disk, no kernel: the report tells it, the log has it all
        traceback.print_exc()
        return _say(State.FAILED, f"{type(error).__name__}: {error}")
    return 0


def _say(state: State, error: str, cell: int | None = None) -> int:
    outcome = {"state": state, "error": error, "cell": cell}
    Path("outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
    return 1


def _last_cell() -> str:
    """Name the cell that was running, from the notebook papermill saves as it goes."""
    cells = json.loads(Path(NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    begun = [
        c
        for c in cells
        if c["cell_type"] == "code" and c["metadata"].get("papermill", {}).get("start_time")
    ]
    if not begun:
        return ""
    first_line = "".join(begun[-1]["source"]).partition("\n")[0]
    return f" in the cell that begins with `{first_line}`"


def _leave_with_the_supervisor() -> None:
    # Not sys.stdin.read(): its lock, held by a daemon thread, is fatal when the interpreter ends.
    os.read(sys.stdin.fileno(), 1)
    processes.kill(os.environ[processes.MARKER])
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
