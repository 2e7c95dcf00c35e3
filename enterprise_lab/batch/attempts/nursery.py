"""Where children come from: a process that has imported papermill once, and forks for each attempt.

To import it takes longer than many a notebook does. The process does nothing else: it has one
thread and executes no notebook itself. It ends when the process that started it does, in whatever
way, and kills what is left of its children's runs then.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import psutil

from enterprise_lab.batch.attempt import Job
from enterprise_lab.batch.attempts import processes

_CHUNK_BYTES = 65536
_LENGTH = struct.Struct("!Q")
_DEATH_SECONDS = 1.0


@dataclass(frozen=True)
class Child:
    """A child as its supervisor has it; all but the process are file descriptors.

    `life` keeps it alive; `log` is what it and its kernel print; `report` is what it says, and
    ends with it; `end` is what the nursery says of its end.
    """

    process: psutil.Process
    life: int
    log: int
    report: int
    end: int

    def exit_code(self) -> int | None:
        """Wait for its exit code; None when the nursery is gone."""
        said = _read_line(self.end)
        return int(said) if said else None

    def close(self) -> None:
        """Close all descriptors."""
        for descriptor in (self.life, self.log, self.report, self.end):
            os.close(descriptor)


class Nursery:
    """Starts children, from any thread; `marker` is how the markers of all their runs begin."""

    def __init__(self) -> None:
        self.marker = uuid.uuid4().hex
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._has_borne = False

    def start(self) -> None:
        """Start its process, so that it is ready when the first child is wanted."""
        with self._lock:
            self._connect()

    def bear(self, job: Job, folder: Path, sockets: Path, marker: str) -> Child:
        """Start a child that makes a job's attempt in a folder; OSError when that can't be done.

        Its `sockets` go to a folder with a short path.
        """
        try:
            return self._bear(job, folder, sockets, marker)
        except _GoneError:  # somebody has killed the process; the next one is as good
            return self._bear(job, folder, sockets, marker)

    def close(self) -> None:
        """End its process."""
        with self._lock:
            if self._socket and self._process:
                self._socket.close()
                if not self._has_borne:  # it may still be at its imports, and has nothing to tidy
                    self._process.kill()
                try:
                    self._process.wait(_DEATH_SECONDS)
                except subprocess.TimeoutExpired:
                    _end(self._process)
                self._socket = self._process = None

    def _bear(self, job: Job, folder: Path, sockets: Path, marker: str) -> Child:
        life, life_end = os.pipe()
        log_end, log = os.pipe()
        report_end, report = os.pipe()
        end_end, end = os.pipe()
        ours, theirs = (life_end, log_end, report_end, end_end), (life, log, report, end)
        wish = json.dumps(
            {
                "job": job.model_dump(mode="json"),
                "folder": str(folder.absolute()),
                "sockets": str(sockets),
                "marker": marker,
            }
        ).encode()
        try:
            with self._lock:
                asked = self._wish(wish, theirs)
        except BaseException:
            _close(*ours)
            raise
        finally:
            _close(*theirs)
        try:
            pid = _read_line(end_end)
            if not pid:
                _end(asked)
                raise _GoneError("the process that starts runs has ended")
            return Child(psutil.Process(int(pid)), *ours)
        except BaseException as error:  # without `life` a child that is there ends
            _close(*ours)
            if isinstance(error, psutil.NoSuchProcess):
                raise OSError("the run's process has ended") from None
            raise

    def _wish(self, wish: bytes, descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
        """Ask the process for a child; return the process that was asked."""
        connection, process = self._connect()
        self._has_borne = True
        try:
            socket.send_fds(connection, [_LENGTH.pack(len(wish))], descriptors)
            connection.sendall(wish)
        except BaseException as error:
            # It would wait for the rest of this wish for ever. Killed, it leaves its children be.
            _end(process)
            if isinstance(error, OSError):
                raise _GoneError("the process that starts runs has ended") from error
            raise
        return process

    def _connect(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        if self._socket and self._process and self._process.poll() is None:
            return self._socket, self._process
        if self._socket:
            self._socket.close()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, self.marker],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._socket, self._process


class _GoneError(OSError):
    """The process ended before it had made the child."""


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _read_line(descriptor: int) -> bytes:
    line = b""
    while (character := os.read(descriptor, 1)) not in (b"", b"\n"):
        line += character
    return line


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def main(marker: str) -> None:
    """Be the nursery's process: standard input is the socket on which children are wished for."""
    from enterprise_lab.batch.attempts import child  # what takes its time is imported here

    connection = socket.socket(fileno=os.dup(0))
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    # What is there now is never collected, so that its pages stay shared with all children.
    gc.collect()
    gc.freeze()
    ends: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([connection.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, _CHUNK_BYTES)
            _reap(ends)
        if connection.fileno() not in ready:
            continue
        wish, descriptors = _receive(connection)
        if wish is None:
            break
        life, log, report, end = descriptors
        pid = os.fork()
        if pid == 0:
            _close(connection.detach(), woken, waker, end, *ends.values())
            _leave_home(life, log)
            child.make(report=report, **wish)
        _close(life, log, report)
        ends[pid] = end
        _tell(end, pid)
    processes.kill(marker)


def _receive(connection: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    header, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, 4)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if not header:
        return None, []
    (left,) = _LENGTH.unpack(header)
    chunks = []
    while left:
        chunks.append(connection.recv(min(left, _CHUNK_BYTES)))
        if not chunks[-1]:
            return None, []
        left -= len(chunks[-1])
    return json.loads(b"".join(chunks)), list(descriptors)


def _leave_home(life: int, log: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    os.dup2(life, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    _close(life, log)


def _reap(ends: dict[int, int]) -> None:
    for pid in list(ends):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            end = ends.pop(pid)
            _tell(end, os.waitstatus_to_exitcode(status))
            os.close(end)


def _tell(end: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # its supervisor may have ended
        os.write(end, b"%d\n" % number)


if __name__ == "__main__":
    main(sys.argv[1])
