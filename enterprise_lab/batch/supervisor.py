"""Make one attempt on this machine, in a process of its own, and say how it ended.

Nothing of the attempt is alive when `supervise` returns, nor after a supervisor that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO

from enterprise_lab.batch import attempt, processes
from enterprise_lab.batch.attempt import Ended, Event, Job, State
from enterprise_lab.batch.engine import Stop
from enterprise_lab.errors import LabError
from enterprise_lab.measure import records
from enterprise_lab.measure.devices import Machine, machine

TICK_SECONDS = 0.1


def supervise(job: Job, work: Path, stop: Stop, tell: Callable[[Event], None]) -> Ended:
    """Make an attempt in the empty folder `work`, which gets its files but the status."""
    started, clock = datetime.now(UTC), time.monotonic()
    with (work / attempt.EVENTS).open("w", encoding="utf-8") as events:
        say = _teller(events, tell)
        say(Event(kind="begun"))
        state, error, cell = _execute(job, work, stop, say)
        say(Event(kind="ended", text=error))
    here = _machine()
    gpus = [here.gpus[number] for number in job.gpus if number < len(here.gpus)]
    return Ended(
        state=state,
        error=error,
        cell=cell,
        started=started,
        run_seconds=time.monotonic() - clock,
        host=socket.gethostname(),
        device=", ".join([here.cpu, *(gpu.name for gpu in gpus)]),
        driver=gpus[0].driver if gpus else "",
    )


@cache
def _machine() -> Machine:
    return machine()


def _teller(events: IO[str], tell: Callable[[Event], None]) -> Callable[[Event], None]:
    def say(event: Event) -> None:
        events.write(event.model_dump_json(exclude_none=True) + "\n")
        events.flush()
        tell(event)

    return say


def _execute(
    job: Job, work: Path, stop: Stop, say: Callable[[Event], None]
) -> tuple[State, str, int | None]:
    marker = uuid.uuid4().hex
    visible = ",".join(map(str, job.gpus))
    with (work / attempt.STDOUT).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "enterprise_lab.batch.child"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=work,
            env={**os.environ, processes.MARKER: marker, "CUDA_VISIBLE_DEVICES": visible},
            start_new_session=True,
        )
        assert child.stdin is not None
        cut = None
        try:
            with contextlib.suppress(BrokenPipeError):  # a child that died says so by its exit
                child.stdin.write(job.model_dump_json().encode() + b"\n")
                child.stdin.flush()
            cut = _wait(child, job, stop)
        except KeyboardInterrupt:
            cut = State.CANCELLED, "interrupted by Ctrl-C"
        finally:
            if cut:
                say(Event(kind="interrupted"))
                processes.stop(marker, child.pid)
            processes.kill(marker)
            child.wait()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
    state, error, cell = _outcome(work, child.returncode)
    return (*cut, cell) if cut else (state, error, cell)


def _wait(child: subprocess.Popen[bytes], job: Job, stop: Stop) -> tuple[State, str] | None:
    end = time.monotonic() + job.deadline_seconds
    while child.poll() is None:
        if stop.wait(TICK_SECONDS):
            return State.CANCELLED, stop.reason
        if time.monotonic() > end:
            return State.TIMED_OUT, f"the deadline of {job.deadline_seconds:g} s passed"
    return None


def _outcome(work: Path, exit_code: int) -> tuple[State, str, int | None]:
    said = work / "outcome.json"
    if exit_code != 0:
        if not said.is_file():
            return State.FAILED, f"the run's process ended with exit code {exit_code}", None
        outcome = json.loads(said.read_text(encoding="utf-8"))
        said.unlink()
        return State(outcome["state"]), outcome["error"], outcome["cell"]
    if (work / attempt.RECORDS).exists():
        try:
            records.read(work / attempt.RECORDS)
        except (LabError, OSError, UnicodeDecodeError) as error:
            return State.FAILED, str(error), None
    return State.SUCCEEDED, "", None
