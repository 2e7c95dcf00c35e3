"""One run's processes, however deep and however orphaned: marked by their environment.

A Jupyter kernel starts a session of its own, so the group of the process that started it is not
enough to find it, nor what it started in turn. A marker in the environment is inherited by all.
"""

from __future__ import annotations

import os
import signal
import time

import psutil

MARKER = "ENTERPRISE_LAB_BATCH_RUN"
INTERRUPT_GRACE_SECONDS = 5.0
TERMINATE_GRACE_SECONDS = 3.0


def marked(marker: str) -> list[psutil.Process]:
    """Every living process of a run but the caller."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.pid != os.getpid()
                and process.environ().get(MARKER) == marker
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def stop(marker: str, child: int) -> None:
    """Interrupt a run's notebook, then terminate and at last kill all its processes.

    Only the kernel is interrupted at first: the child then saves the notebook with the
    interrupted cell and leaves by itself.
    """
    _signal([p for p in marked(marker) if p.pid != child], signal.SIGINT)
    if not _gone(marker, INTERRUPT_GRACE_SECONDS):
        _signal(marked(marker), signal.SIGTERM)
        _gone(marker, TERMINATE_GRACE_SECONDS)


def kill(marker: str) -> None:
    """Kill whatever is left of a run, until nothing is."""
    while left := marked(marker):
        _signal(left, signal.SIGKILL)
        psutil.wait_procs(left, timeout=1)


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.Error:
            continue


def _gone(marker: str, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while left := marked(marker):
        if time.monotonic() > end:
            return False
        psutil.wait_procs(left, timeout=0.1)
    return True
