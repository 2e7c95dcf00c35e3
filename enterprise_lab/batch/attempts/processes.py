"""A run's processes, however deep and however orphaned: marked by their environment.

A Jupyter kernel starts a session of its own, so the group of the process that started it is not
enough to find it, nor what it started in turn. A marker in the environment is inherited by all.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

import psutil

MARKER = "ENTERPRISE_LAB_BATCH_RUN"
KILL_PATIENCE_SECONDS = 60.0
"""A killed process may hang in a driver or on a lost disk, where nothing ends it."""
_YOUNG_SECONDS = 5.0


class Marked:
    """Finds the processes whose marker begins with `marker`, quickly when asked again.

    `strangers` are the numbers of processes that were there before any of them.
    """

    def __init__(self, marker: str, strangers: Iterable[int] = ()) -> None:
        self._marker = marker
        self._strangers = set(strangers)
        self._first_seen: dict[int, float] = {}

    def living(self) -> list[psutil.Process]:
        """List them, without the caller."""
        pids = set(psutil.pids())
        self._strangers &= pids
        found = []
        for pid in pids - self._strangers - {os.getpid()}:
            try:
                process = psutil.Process(pid)
                if self._is_one(process):
                    found.append(process)
                    continue
            except (psutil.Error, OSError):
                pass
            # A young process may yet become another program, with another environment.
            now = time.monotonic()
            if now - self._first_seen.setdefault(pid, now) > _YOUNG_SECONDS:
                self._strangers.add(pid)
                del self._first_seen[pid]
        return found

    def _is_one(self, process: psutil.Process) -> bool:
        return process.environ().get(MARKER, "").startswith(self._marker) and lives(process)


def lives(process: psutil.Process) -> bool:
    """Whether a process is neither gone nor a zombie."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to those that are there."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def kill(marker: str, *others: psutil.Process) -> None:
    """Kill all processes of a marker, and some others, until none is left."""
    patience_ends = time.monotonic() + KILL_PATIENCE_SECONDS
    while left := [*Marked(marker).living(), *filter(lives, others)]:
        if time.monotonic() > patience_ends:
            return
        send(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=1)
