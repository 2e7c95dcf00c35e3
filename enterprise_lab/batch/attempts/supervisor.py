"""Make one attempt on this machine, in a process of its own, and say how it ended.

Nothing of the attempt is alive when `supervise` returns, nor soon after a supervisor was killed.
"""

from __future__ import annotations

import shutil
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil

from enterprise_lab.batch import attempt
from enterprise_lab.batch.attempt import Ended, Event, Job, State
from enterprise_lab.batch.attempts import memory_watch, processes
from enterprise_lab.batch.attempts.ears import Ears
from enterprise_lab.batch.attempts.head_and_tail import BoundedLog
from enterprise_lab.batch.attempts.memory_watch import MemoryWatch
from enterprise_lab.batch.attempts.messages import Outcome, Report
from enterprise_lab.batch.attempts.nursery import Nursery
from enterprise_lab.batch.attempts.processes import Marked, lives
from enterprise_lab.batch.engine import Stop
from enterprise_lab.errors import LabError
from enterprise_lab.measure import records
from enterprise_lab.measure.devices import Machine, machine

INTERRUPT_GRACE_SECONDS = 5.0
TERMINATE_GRACE_SECONDS = 3.0
_TICK_SECONDS = 0.2
"""Between two looks at the memory and the request to stop."""
_INTERRUPTED = "interrupted by Ctrl-C"
_LONGEST_FOLDER = 60
"""The path of a socket may have some 100 characters."""


def supervise(
    job: Job,
    work: Path,
    stop: Stop,
    tell: Callable[[Event], None],
    nursery: Nursery | None = None,
) -> Ended:
    """Make an attempt in the empty folder `work`, which gets its files but the status.

    `tell` hears of its events. `stop`, and a KeyboardInterrupt, end it as cancelled. Without a
    nursery there is one for this attempt alone.
    """
    started, clock = datetime.now(UTC), time.monotonic()
    watch = MemoryWatch(job.memory_bytes)
    try:
        with _nursery(nursery) as home, _socket_folder() as sockets:
            outcome = _Attempt(job, work, tell, watch).make(home, sockets, stop)
    except KeyboardInterrupt:
        outcome = Outcome(state=State.CANCELLED, error=_INTERRUPTED)
    except OSError as error:
        outcome = Outcome(state=State.FAILED, error=f"the attempt could not be made: {error}")
    here = _machine()
    gpus = [here.gpus[number] for number in job.gpus if number < len(here.gpus)]
    return Ended(
        state=outcome.state,
        error=outcome.error,
        cell=outcome.cell,
        started=started,
        run_seconds=time.monotonic() - clock,
        host=socket.gethostname(),
        device=", ".join([here.cpu, *(gpu.name for gpu in gpus)]),
        driver=gpus[0].driver if gpus else "",
        peak_memory_bytes=watch.peak_bytes,
    )


@cache
def _machine() -> Machine:
    return machine()


@contextmanager
def _nursery(given: Nursery | None) -> Iterator[Nursery]:
    if given:
        yield given
        return
    own = Nursery()
    try:
        yield own
    finally:
        own.close()


@contextmanager
def _socket_folder() -> Iterator[Path]:
    """Make a private folder for the kernel's sockets; it is removed whatever happens."""
    usual = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="elab-", dir="/tmp" if len(usual) > _LONGEST_FOLDER else usual)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Attempt:
    """An attempt in the making: what is heard and known of it."""

    def __init__(
        self, job: Job, work: Path, tell: Callable[[Event], None], watch: MemoryWatch
    ) -> None:
        self._job = job
        self._work = work
        self._tell = tell
        self._watch = watch
        self._cell: int | None = None
        self._outcome: Outcome | None = None

    def make(self, nursery: Nursery, sockets: Path, stop: Stop) -> Outcome:
        """Make it and return how it ended; OSError when that can't be done."""
        with (
            (self._work / attempt.EVENTS).open("wb", buffering=0) as self._events,
            (self._work / attempt.STDOUT).open("wb", buffering=0) as file,
        ):
            log = BoundedLog(file, self._job.most_output_bytes)
            self._say(Event(kind="begun"))
            outcome = self._execute(nursery, sockets, stop, log)
            log.close()
            if outcome.state is State.SUCCEEDED:
                outcome = self._check_files(log)
            self._say(Event(kind="ended", text=outcome.error))
        return outcome

    def _check_files(self, log: BoundedLog) -> Outcome:
        error: Exception | None = log.error
        path = self._work / attempt.RECORDS
        try:
            if path.exists():
                records.read(path)
        except (LabError, OSError, UnicodeDecodeError) as unreadable:
            error = unreadable
        if error:
            return Outcome(state=State.FAILED, error=str(error))
        return Outcome(state=State.SUCCEEDED)

    def _execute(self, nursery: Nursery, sockets: Path, stop: Stop, log: BoundedLog) -> Outcome:
        """Have a child execute the notebook; nothing of it is alive afterwards."""
        marker = f"{nursery.marker}.{uuid.uuid4().hex}"
        killed_before = memory_watch.kills()
        if stop.asked:
            return self._cut(State.CANCELLED, stop.reason)
        marked = Marked(marker, strangers=psutil.pids())
        child = nursery.bear(self._job, self._work, sockets, marker)
        try:
            with Ears(child.report, child.log, self._hear, log) as ears:
                try:
                    cut = self._watch_over(ears, child.process, marked, stop)
                finally:
                    processes.kill(marker, child.process)
                ears.listen_to_the_rest()
            # One that can't be killed, as its disk or driver hangs, is not waited for.
            exit_code = None if lives(child.process) else child.exit_code()
        finally:
            child.close()
        return cut or _tell_apart(self._outcome, exit_code, memory_watch.kills() > killed_before)

    def _watch_over(
        self, ears: Ears, child: psutil.Process, marked: Marked, stop: Stop
    ) -> Outcome | None:
        """Wait for the end of a child, or bring it about; return why in that case."""
        deadline = time.monotonic() + self._job.deadline_seconds
        next_look = 0.0
        try:
            while not ears.over:
                if stop.asked:
                    return self._end_early(ears, child, marked, State.CANCELLED, stop.reason)
                now = time.monotonic()
                if now > deadline:
                    said = f"the deadline of {self._job.deadline_seconds:g} s passed"
                    return self._end_early(ears, child, marked, State.TIMED_OUT, said)
                if now > next_look:
                    if self._watch.look([child, *marked.living()]):
                        self._say(Event(kind="killed"))
                        return self._cut(State.OUT_OF_MEMORY, self._watch.verdict)
                    next_look = now + _TICK_SECONDS
                ears.listen(_TICK_SECONDS)
        except KeyboardInterrupt:
            return self._end_early(ears, child, marked, State.CANCELLED, _INTERRUPTED)
        return None

    def _end_early(
        self, ears: Ears, child: psutil.Process, marked: Marked, state: State, error: str
    ) -> Outcome:
        """Interrupt the notebook, then terminate all; what is left is killed by the caller.

        The child isn't interrupted: when its kernel is, it saves the notebook with the
        interrupted cell and ends by itself.
        """
        for kind, number, seconds, whom in (
            ("interrupted", signal.SIGINT, INTERRUPT_GRACE_SECONDS, []),
            ("terminated", signal.SIGTERM, TERMINATE_GRACE_SECONDS, [child]),
        ):
            if whom := [*filter(lives, whom), *marked.living()]:
                self._say(Event(kind=kind))
                processes.send(whom, number)
                end = time.monotonic() + seconds
                while (lives(child) or marked.living()) and time.monotonic() < end:
                    ears.listen(_TICK_SECONDS / 4)
        if lives(child) or marked.living():
            self._say(Event(kind="killed"))
        return self._cut(state, error)

    def _cut(self, state: State, error: str) -> Outcome:
        place = f", in cell In [{self._cell}]" if self._cell else ""
        return Outcome(state=state, error=error + place, cell=self._cell)

    def _hear(self, report: Report) -> None:
        if report.event:
            self._cell = report.event.cell
            self._say(report.event)
        if report.outcome:
            self._outcome = report.outcome

    def _say(self, event: Event) -> None:
        self._events.write(event.model_dump_json(exclude_none=True).encode() + b"\n")
        self._tell(event)


def _tell_apart(outcome: Outcome | None, exit_code: int | None, starved: bool) -> Outcome:
    """Say how a child ended that wasn't cut off; `starved` when the system killed for memory."""
    if outcome is None:
        how = "was lost" if exit_code is None else f"ended with exit code {exit_code}"
        outcome = Outcome(state=State.FAILED, error=f"the run's process {how}")
        killed = exit_code == -signal.SIGKILL
    else:
        killed = outcome.kernel_exit_code == -signal.SIGKILL
    if killed and starved:
        error = f"{outcome.error}, killed by the system for want of memory"
        return outcome.model_copy(update={"state": State.OUT_OF_MEMORY, "error": error})
    return outcome
