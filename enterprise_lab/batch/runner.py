"""Run a checked batch, one child process at a time, and keep how each run ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from enterprise_lab.batch import processes, store
from enterprise_lab.batch.check import Batch, Run
from enterprise_lab.batch.job import OUTCOME, Job, Outcome
from enterprise_lab.batch.store import State, Status
from enterprise_lab.errors import LabError
from enterprise_lab.measure import records
from enterprise_lab.measure.devices import machine


def pending(batch: Batch) -> list[Run]:
    """List the runs that have not succeeded yet."""
    statuses = ((run, store.read_status(batch.folder, run.run_id)) for run in batch.runs)
    return [run for run, status in statuses if not status or status.status != State.SUCCEEDED]


def run_pending(batch: Batch) -> Iterator[tuple[Run, Status | None]]:
    """Run what is pending; yield each run before it starts (None) and when it has ended.

    Ends after the first cancelled run: a Ctrl-C asks for the batch to stop.
    """
    for run in pending(batch):
        yield run, None
        status = run_one(batch, run)
        yield run, status
        if status.status == State.CANCELLED:
            return


def run_one(batch: Batch, run: Run) -> Status:
    """Execute one run and put its result in place, whatever its end."""
    work = store.begin(batch.folder, run.run_id)
    try:
        started = datetime.now(UTC)
        clock = time.monotonic()
        state, error = _execute(run, work, batch.deadline_seconds)
        (work / OUTCOME).unlink(missing_ok=True)
        status = Status(
            status=state,
            run_id=run.run_id,
            notebook=run.notebook,
            parameters=run.parameters,
            started=started,
            run_seconds=time.monotonic() - clock,
            device=_device(),
            error=error,
        )
        store.finish(batch.folder, work, status)
    finally:
        shutil.rmtree(work, ignore_errors=True)  # gone already, unless something went wrong
    return status


def _execute(run: Run, work: Path, deadline_seconds: float) -> tuple[State, str]:
    """Run the child to its end, the deadline or a Ctrl-C; nothing of it is alive afterwards."""
    marker = uuid.uuid4().hex
    with (work / store.LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "enterprise_lab.batch.child"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=work,
            env={**os.environ, processes.MARKER: marker},
            start_new_session=True,
        )
        assert child.stdin is not None
        try:
            job = Job(notebook=run.notebook_path, parameters=run.given)
            with contextlib.suppress(BrokenPipeError):  # a child that died says so by its exit
                child.stdin.write(job.model_dump_json().encode() + b"\n")
                child.stdin.flush()
            child.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            processes.stop(marker, child.pid)
            return State.TIMED_OUT, f"the deadline of {deadline_seconds:g} s passed"
        except KeyboardInterrupt:
            processes.stop(marker, child.pid)
            return State.CANCELLED, "interrupted by Ctrl-C"
        finally:
            processes.kill(marker)
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
    return _outcome(work, child.returncode)


def _device() -> str:
    here = machine()
    return ", ".join([here.cpu, *(gpu.name for gpu in here.gpus)])


def _outcome(work: Path, exit_code: int) -> tuple[State, str]:
    said = work / OUTCOME
    if exit_code != 0:
        if not said.is_file():
            return State.FAILED, f"the run's process ended with exit code {exit_code}"
        outcome = Outcome.model_validate_json(said.read_text(encoding="utf-8"))
        return outcome.status, outcome.error
    if (work / store.RECORDS).exists():
        try:
            records.read(work / store.RECORDS)
        except (LabError, OSError, UnicodeDecodeError) as error:
            return State.FAILED, str(error)
    return State.SUCCEEDED, ""
