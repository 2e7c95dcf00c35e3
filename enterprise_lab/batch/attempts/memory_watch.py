"""What a run's processes hold of a machine's memory, and whether the machine ended some for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from enterprise_lab.units import format_bytes

_GROWTH = 1.02
"""So much more than ever before is looked at closely."""


class MemoryWatch:
    """The most that processes held together, sampled; `most_bytes` is what they may hold."""

    def __init__(self, most_bytes: float | None) -> None:
        self.peak_bytes: float | None = None
        self._most_bytes = most_bytes
        self._resident_bytes = 0
        self.verdict = ""
        """One line, once they held too much."""

    def look(self, processes: Iterable[psutil.Process]) -> bool:
        """Take a sample; return whether they hold too much."""
        # What is resident is soon known, but counts shared pages for each process that has them.
        # Their share takes long to find, so it is asked for where it may matter.
        listed = list(processes)
        resident = sum(map(_resident_bytes, listed))
        too_much = self._most_bytes is not None and resident > self._most_bytes
        if not too_much and resident <= self._resident_bytes * _GROWTH:
            return False
        self._resident_bytes = max(self._resident_bytes, resident)
        held = sum(map(_held_bytes, listed)) if len(listed) > 1 else resident
        self.peak_bytes = max(self.peak_bytes or 0, held)
        if self._most_bytes is None or held <= self._most_bytes:
            return False
        self.verdict = (
            f"its processes held {format_bytes(held)}, more than its"
            f" {format_bytes(self._most_bytes)}"
        )
        return True


def _resident_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except (psutil.Error, OSError):
        return 0


def _held_bytes(process: psutil.Process) -> int:
    """Its own pages and its share of those it shares, where the system tells."""
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except (psutil.Error, OSError):
        return _resident_bytes(process)


def kills() -> int:
    """Count the processes that the system has killed so far for want of memory, here or near.

    As near as can be known: in this process's control group, else on the machine; 0 where nobody
    counts.
    """
    for path, key in _counters():
        try:
            text = path.read_text()
        except OSError:
            continue
        if found := re.search(rf"^{key} (\d+)$", text, re.MULTILINE):
            return int(found[1])
    return 0


def _counters() -> Iterator[tuple[Path, str]]:
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    root = Path("/sys/fs/cgroup")
    for line in groups:
        _, controllers, group = line.split(":", 2)
        below = group.lstrip("/")
        if not controllers:
            yield root / below / "memory.events", "oom_kill"
        elif "memory" in controllers.split(","):
            # Inside a container the group's own folder may be mounted at the top.
            yield root / "memory" / below / "memory.oom_control", "oom_kill"
            yield root / "memory" / "memory.oom_control", "oom_kill"
    yield Path("/proc/vmstat"), "oom_kill"
