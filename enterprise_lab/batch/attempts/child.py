"""One attempt in a process of its own: execute a notebook with papermill, then say how it ended.

The working folder is the attempt's. Standard input is a pipe that stays open as long as the
supervisor lives: when it closes, the attempt is nobody's, ends at once and leaves nothing.
"""

from __future__ import annotations

import logging
import os
import select
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any, NoReturn

from nbclient.exceptions import DeadKernelError
from nbformat import NotebookNode
from papermill import execute_notebook
from papermill.engines import Engine, papermill_engines
from papermill.exceptions import PapermillExecutionError, strip_color
from papermill.iorw import papermill_io

from enterprise_lab.batch.attempt import NOTEBOOK, Event, Job, State
from enterprise_lab.batch.attempts import processes
from enterprise_lab.batch.attempts.messages import Outcome, Report
from enterprise_lab.batch.attempts.notebook_client import KernelStartError, NotebookClient

_LONGEST_ERROR = 500
_LONGEST_LINE = 80
_ENGINE = "enterprise_lab"
# Names of errors, and texts in those of other names, that say there was no memory.
_MEMORY_ERRORS = ("MemoryError", "ResourceExhaustedError")
_MEMORY_TEXTS = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "MPS backend out of memory",
    "can't allocate memory",
    "Cannot allocate memory",
    "std::bad_alloc",
)
_XLA_ERRORS = ("XlaRuntimeError", "JaxRuntimeError")


def make(report: int, job: Any, folder: str, sockets: str, marker: str) -> NoReturn:
    """Be a job's child and end with it; reports go to the file descriptor `report`."""
    code = 1
    try:
        _run(report, Job.model_validate(job), folder, sockets, marker)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _tidy(folder, sockets)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run(report: int, job: Job, folder: str, sockets: str, marker: str) -> None:
    Thread(target=_end_with_the_supervisor, args=(marker, folder, sockets), daemon=True).start()
    os.chdir(folder)
    os.environ[processes.MARKER] = marker
    os.environ["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # a kernel's warning about its debugger
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the numbers are the driver's
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, job.gpus))

    def say(**content: Any) -> None:
        os.write(report, Report(**content).model_dump_json(exclude_none=True).encode() + b"\n")

    say(outcome=_Execution(job, Path(sockets), lambda event: say(event=event)).outcome())


def _end_with_the_supervisor(marker: str, folder: str, sockets: str) -> None:
    os.read(0, 1)
    processes.kill(marker)
    _tidy(folder, sockets)
    os._exit(1)


def _tidy(folder: str, sockets: str) -> None:
    shutil.rmtree(sockets, ignore_errors=True)
    is_nobodys = select.select([0], [], [], 0)[0]
    if is_nobodys:
        shutil.rmtree(folder, ignore_errors=True)


class _Execution:
    """A job's execution, and the cell it has come to."""

    def __init__(self, job: Job, sockets: Path, tell: Callable[[Event], None]) -> None:
        self._job = job
        self._sockets = sockets
        self._tell = tell
        self._cell = 0
        self._cells = 0
        self._source = ""
        self._kernel_exit_code: int | None = None

    def outcome(self) -> Outcome:
        """Execute the notebook and say how that ended."""
        try:
            self._execute()
        except PapermillExecutionError as error:
            sys.stderr.write(strip_color("\n".join(error.traceback)) + "\n")
            return self._ended(_state(error), f"{error.ename}: {error.evalue}")
        except DeadKernelError:
            return self._ended(State.KERNEL_DIED, f"the kernel died{self._exit()}")
        except KernelStartError as error:
            return self._ended(State.FAILED, f"the kernel could not be started: {error}")
        except MemoryError:
            return self._ended(State.OUT_OF_MEMORY, "there was no memory to execute the notebook")
        except OSError as error:
            traceback.print_exc()
            return self._ended(State.FAILED, f"the notebook could not be written: {error}")
        except Exception as error:
            traceback.print_exc()
            return self._ended(State.FAILED, f"{type(error).__name__}: {error}")
        return Outcome(state=State.SUCCEEDED)

    def _execute(self) -> None:
        # It warns of every parameter whose type says a range, as it can't read that; the check can.
        logging.getLogger("papermill").setLevel(logging.ERROR)
        papermill_io.register(self._job.notebook, _Files(self._job.content))
        papermill_io.register(NOTEBOOK, _Files(self._job.content))
        papermill_engines.register(_ENGINE, _Engine)
        execute_notebook(
            self._job.notebook.replace("{", "{{").replace("}", "}}"),
            NOTEBOOK,
            parameters=dict(self._job.parameters),
            engine_name=_ENGINE,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            client=self._client,
        )

    def _client(self, manager: Any) -> NotebookClient:
        self._cells = sum(
            c.cell_type == "code" and bool(c.source.strip()) for c in manager.nb.cells
        )
        return NotebookClient(
            manager, self._sockets, self._job.most_output_bytes, self._begin, self._died
        )

    def _begin(self, cell: NotebookNode) -> None:
        self._cell += 1
        self._source = cell.source
        self._tell(Event(kind="cell", cell=self._cell, cells=self._cells))

    def _died(self, exit_code: int | None) -> None:
        self._kernel_exit_code = exit_code

    def _exit(self) -> str:
        code = self._kernel_exit_code
        return "" if code is None else f" with exit code {code}"

    def _ended(self, state: State, error: str) -> Outcome:
        place = ""
        if self._cell:
            line = _one_line(self._source.strip().partition("\n")[0], _LONGEST_LINE)
            place = f"cell In [{self._cell}] (`{line}`): "
        return Outcome(
            state=state,
            error=place + _one_line(error, _LONGEST_ERROR),
            cell=self._cell or None,
            kernel_exit_code=self._kernel_exit_code,
        )


class _Engine(Engine):  # type: ignore[misc]
    """Papermill's way to have notebooks executed by another client than its own."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, _: str, *, client: Callable[[Any], NotebookClient], **__: Any
    ) -> None:
        """Execute a notebook with the client that `client` makes for it."""
        client(nb_man).execute()


class _Files:
    """Papermill's way to read a notebook, here from memory, and to write one.

    What it writes is whole at any moment.
    """

    def __init__(self, content: str) -> None:
        self._content = content

    def read(self, _: str) -> str:
        """Return the job's notebook."""
        return self._content

    def write(self, content: str, path: str) -> None:
        """Put a notebook in the place of what was there."""
        aside = Path(f".{path}")
        aside.write_text(content, encoding="utf-8")
        aside.replace(path)

    def pretty_path(self, path: str) -> str:
        """Name the file in papermill's log."""
        return path


def _state(error: PapermillExecutionError) -> State:
    """Tell an error for want of memory, of whichever library, from all others."""
    name, text = error.ename, str(error.evalue)
    if (
        name.endswith(_MEMORY_ERRORS)
        or any(said in text for said in _MEMORY_TEXTS)
        or (name in _XLA_ERRORS and "RESOURCE_EXHAUSTED" in text)
    ):
        return State.OUT_OF_MEMORY
    return State.FAILED


def _one_line(text: str, longest: int) -> str:
    words = " ".join(text.split())
    return words if len(words) <= longest else words[: longest - 3] + "..."
