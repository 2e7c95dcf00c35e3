"""Where attempts are made: the contract that a runner has with this machine or with a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag
from typing import Protocol

from enterprise_lab.batch.attempt import Ended, Event, Job


@dataclass(frozen=True)
class Node:
    """A machine that can make attempts; `gpus` are the names of its GPUs by number."""

    name: str
    cores: int
    memory_bytes: float
    gpus: tuple[str, ...] = ()


class Stop:
    """A request to end attempts before their time, with the reason for people."""

    def __init__(self) -> None:
        self._asked = Flag()
        self.reason = ""

    def ask(self, reason: str) -> None:
        """Ask; the first reason stands."""
        if not self._asked.is_set():
            self.reason = reason
            self._asked.set()

    @property
    def asked(self) -> bool:
        """Whether somebody asked."""
        return self._asked.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep until somebody asks, at most so long; return whether somebody did."""
        return self._asked.wait(seconds)


class Engine(Protocol):
    """Makes attempts on one machine or several, side by side.

    An attempt's future gives how it ended, never an exception for what happened in the attempt
    itself; LostError where its machine is gone. By then its files are in `work`.
    """

    def nodes(self) -> Sequence[Node]:
        """List the machines that are there now."""

    def start(
        self, node: str, job: Job, work: Path, stop: Stop, tell: Callable[[Event], None]
    ) -> Future[Ended]:
        """Start an attempt on a machine; `work` is an empty folder here that gets its files.

        `tell` hears of its events, from any thread. `stop` asks it to end, which it then does as
        cancelled.
        """

    def close(self) -> None:
        """End all processes that are the engine's own."""


class LostError(Exception):
    """The machine that made an attempt is gone: nothing is known of its end."""
