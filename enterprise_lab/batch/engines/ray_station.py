"""A station: what a Ray cluster's machine makes attempts with, as the local engine would.

It runs there as an actor. It is asked for its news again and again; none is dropped before its
reader says that it has it, so that a reply may get lost on the way.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from threading import Condition
from typing import TypeAlias

import psutil

import enterprise_lab
from enterprise_lab.batch import attempt
from enterprise_lab.batch.attempt import Ended, Event, Job
from enterprise_lab.batch.engine import Node, Stop
from enterprise_lab.batch.engines.local import LocalEngine
from enterprise_lab.batch.plans.identity import digest

THREADS = 4
"""Of a station: one waits for news, the others take what comes."""
NEWS_SECONDS = 1.0
"""A call for news returns after so long without any."""
_OF_RAY = ("OMP_NUM_THREADS", "PYTHONBREAKPOINT")
"""Variables that Ray sets in its processes, the first to 1: kernels would compute on one core."""
_FILES = (attempt.NOTEBOOK, attempt.RECORDS, attempt.STDOUT, attempt.EVENTS)


@dataclass(frozen=True)
class Kit:
    """What all machines of a cluster have to have alike."""

    python: str
    version: str
    code: str
    """A digest of this package's code."""

    def __str__(self) -> str:
        return f"enterprise_lab {self.version} ({self.code[:8]}) on Python {self.python}"


@dataclass(frozen=True)
class Made:
    """An attempt that has ended, with its files by name."""

    ended: Ended
    files: Mapping[str, bytes]


@dataclass(frozen=True)
class Broken:
    """An attempt that could not be made, for no reason of its own."""

    error: str


News: TypeAlias = tuple[int, Event | Made | Broken]
"""The number of an attempt, as its asker counts, and what has happened."""


def kit() -> Kit:
    """Describe this process's own."""
    package = Path(str(files("enterprise_lab")))
    code = [
        [str(path.relative_to(package)), hashlib.sha256(path.read_bytes()).hexdigest()]
        for path in sorted(package.rglob("*.py"))
    ]
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Kit(python, enterprise_lab.__version__, digest(code))


class Station:
    """Makes attempts on its machine; may be asked from several threads."""

    def __init__(self) -> None:
        _let_interrupts_through()
        _forget_rays_variables()
        self._engine = LocalEngine()
        self._begun: set[int] = set()
        self._stops: dict[int, Stop] = {}
        self._news: list[News] = []
        self._dropped = 0
        self._heard = Condition()

    def about(self) -> tuple[Node, Kit]:
        """Describe the machine, and what it makes attempts with."""
        return self._engine.nodes()[0], kit()

    def begin(self, number: int, job: Job) -> None:
        """Start an attempt; the rest is news. Asked again, as Ray may, it does nothing."""
        _let_interrupts_through()
        with self._heard:
            if number in self._begun:
                return
            self._begun.add(number)
        stop = self._stops.setdefault(number, Stop())  # it may have come first
        try:
            folder = tempfile.TemporaryDirectory(prefix="elab-", ignore_cleanup_errors=True)
            future = self._engine.start(
                self._engine.nodes()[0].name,
                job,
                Path(folder.name),
                stop,
                partial(self._tell, number),
            )
        except Exception as error:
            self._tell(number, Broken(f"{type(error).__name__}: {error}"))
            return
        future.add_done_callback(partial(self._end, number, folder))

    def stop(self, number: int, reason: str) -> None:
        """Ask an attempt to end."""
        self._stops.setdefault(number, Stop()).ask(reason)

    def news(self, after: int) -> Sequence[News]:
        """Wait for news, and return what there is after so many; these are not asked for again."""
        with self._heard:
            del self._news[: after - self._dropped]
            self._dropped = after
            self._heard.wait_for(lambda: self._news, NEWS_SECONDS)
            return list(self._news)

    def _tell(self, number: int, news: Event | Made | Broken) -> None:
        with self._heard:
            self._news.append((number, news))
            self._heard.notify_all()

    def _end(
        self, number: int, folder: tempfile.TemporaryDirectory[str], future: Future[Ended]
    ) -> None:
        with folder as work:
            try:
                paths = [Path(work) / name for name in _FILES]
                made = {path.name: path.read_bytes() for path in paths if path.exists()}
                self._tell(number, Made(future.result(), made))
            except BaseException as error:
                self._tell(number, Broken(f"{type(error).__name__}: {error}"))


def _let_interrupts_through() -> None:
    """Undo in this thread, and what it starts, that Ray's processes are deaf to interrupts."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _forget_rays_variables() -> None:
    """Undo what Ray has set that this process was not started with."""
    given = psutil.Process().environ()
    for name in _OF_RAY:
        if name not in given:
            os.environ.pop(name, None)
