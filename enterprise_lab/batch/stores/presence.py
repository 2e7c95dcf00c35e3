"""Who is at work in a store: each runner's sign of life, and who of the others is gone.

A runner counts its beats in a file of its own. Another one takes it for gone when its file is gone,
when its process is gone from the machine both are on, or when the count has stood still for many
of the other's own beats: no two clocks have to agree, and one that was asleep itself has seen
nothing.
"""

from __future__ import annotations

import os
import socket
import sys
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread

import psutil
from pydantic import BaseModel, ConfigDict, Field

from enterprise_lab.batch.stores.store import Store, parse
from enterprise_lab.errors import LabError

BEAT_SECONDS = 5.0
SILENT_BEATS = 12
"""A runner whose count has stood still for so many of the observer's beats is gone."""


class Runner(BaseModel):
    """A runner's sign of life. `space` is where its process number means something."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    host: str
    space: str
    pid: int
    born: str
    beats: int = 0
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def ended(self) -> bool:
        """Whether its process is known to be no more."""
        return self.space == _space() and birth(self.pid) != self.born


class Presence:
    """A runner among the others of a plan's store, for as long as the context lasts."""

    def __init__(self, store: Store, name: str) -> None:
        host, pid = socket.gethostname(), os.getpid()
        self._me = Runner(
            name=f"{host}-{pid}-{uuid.uuid4().hex[:8]}",
            host=host,
            space=_space(),
            pid=pid,
            born=birth(pid),
        )
        self._store = store
        self._folder = f"{name}/.runners"
        self._left = Flag()
        self._thread = Thread(target=self._beat_on, name="presence", daemon=True)
        self._lock = Lock()
        self._silences: dict[str, tuple[int, int]] = {}

    @property
    def name(self) -> str:
        """A name that no other runner has or had."""
        return self._me.name

    def __enter__(self) -> Presence:
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        with suppress(LabError):
            self.forget(self.name)

    def beat(self) -> None:
        """Give a sign of life, and count how long each of the others has given none."""
        self._me = self._me.model_copy(
            update={"beats": self._me.beats + 1, "time": datetime.now(UTC)}
        )
        self._store.replace(self._file(self.name), self._me.model_dump_json().encode())
        others = [one for one in self.registered() if one.name != self.name]
        with self._lock:
            before = self._silences
            self._silences = {}
            for one in others:
                beats, silent = before.get(one.name, (one.beats, -1))
                self._silences[one.name] = (one.beats, silent + 1 if beats == one.beats else 0)

    def registered(self) -> list[Runner]:
        """List the runners that have not left, whether they still live or not."""
        return read_runners(self._store, self._store.names(self._folder))

    def find(self, names: Iterable[str]) -> dict[str, Runner]:
        """Return those of the named runners that live, as far as can be known."""
        found = read_runners(self._store, map(self._file, names))
        return {one.name: one for one in found if not self._is_gone(one)}

    def last_sign(self, name: str) -> Runner | None:
        """Return a runner's last sign of life, whether it lives or not."""
        return next(iter(read_runners(self._store, [self._file(name)])), None)

    def forget(self, name: str) -> None:
        """Take a runner that is gone, or leaves, out of the store."""
        self._store.delete(self._file(name))

    def _is_gone(self, one: Runner) -> bool:
        with self._lock:
            beats, silent = self._silences.get(one.name, (one.beats, 0))
        return one.ended or (beats == one.beats and silent >= SILENT_BEATS)

    def _file(self, name: str) -> str:
        return f"{self._folder}/{name}.json"

    def _beat_on(self) -> None:
        while not self._left.wait(BEAT_SECONDS):
            with suppress(LabError):  # a store that is away for a moment may be back for the next
                self.beat()


def read_runners(store: Store, files: Iterable[str]) -> list[Runner]:
    """Read runners' signs of life; those that aren't there are left out."""
    return [parse(Runner, name, text) for name, text in store.read_all(files).items()]


def birth(pid: int) -> str:
    """When a process began, as its machine counts; "" where there is none or only its remains."""
    if sys.platform != "linux":
        try:
            process = psutil.Process(pid)
            return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time()}"
        except psutil.Error:
            return ""
    # By the kernel's own ticks: psutil's date moves when the clock is set.
    try:
        words = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] in "ZX" else words[19]


@cache
def _space() -> str:
    """Name this boot of this machine and, as containers have their own, the numbers' space."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()} {psutil.boot_time()}"
