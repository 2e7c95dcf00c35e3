"""What other processes do while something is measured."""

from __future__ import annotations

import psutil

_UNSURE_SECONDS = 0.02
"""Of each processor's time: Linux counts it, user's and system's apart, in ticks of 10 ms."""


class OtherProcesses:
    """The processor time that others use from now on, where this process may run.

    Others are all but this process and its children, and also other guests of the same host, as
    far as the host says so (steal). It is known on Linux only.
    """

    def __init__(self) -> None:
        self._start = _reading()

    def share(self, seconds: float) -> float:
        """Return which share of the processors others used, in the `seconds` since the start.

        It is what they used at least: the counters' error is taken off, and so is the whole time
        of children that still run. Where it isn't known it is 0.
        """
        now = _reading()
        if self._start is None or now is None or seconds <= 0:
            return 0.0
        (busy, own), (busy_before, own_before) = now, self._start
        used = sum(busy) - sum(busy_before) - (own - own_before)
        used -= _UNSURE_SECONDS * (len(busy) + 1)
        if used > 0:  # children are looked for only then, since that reads about all processes
            used -= _of_living_children()
        return max(0.0, used) / (len(busy) * seconds)


def _reading() -> tuple[list[float], float] | None:
    """Return the busy seconds of each processor, and this process's with its past children's."""
    if not psutil.LINUX:
        return None
    try:
        here = psutil.Process()
        counted = psutil.cpu_times(percpu=True)
        processors = [counted[index] for index in here.cpu_affinity()]
        own = here.cpu_times()
    except (psutil.Error, OSError, IndexError):
        return None
    busy = [t.user + t.nice + t.system + t.irq + t.softirq + t.steal for t in processors]
    return busy, own.user + own.system + own.children_user + own.children_system


def _of_living_children() -> float:
    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.Error:
            continue
        seconds += used.user + used.system + used.children_user + used.children_system
    return seconds
