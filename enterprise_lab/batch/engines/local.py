"""The engine that makes attempts on this machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from threading import Thread

from enterprise_lab.batch.attempt import Ended, Event, Job
from enterprise_lab.batch.attempts.nursery import Nursery
from enterprise_lab.batch.attempts.supervisor import supervise
from enterprise_lab.batch.engine import Node, Stop
from enterprise_lab.errors import LabError
from enterprise_lab.measure.devices import machine

VISIBLE = "CUDA_VISIBLE_DEVICES"
NONE = ("", "-1", "NoDevFiles")


class LocalEngine:
    """Makes attempts side by side on this machine, each watched by a thread."""

    def __init__(self) -> None:
        """Prepare; LabError when CUDA_VISIBLE_DEVICES can't be understood."""
        self._visible = _visible_gpus()
        self._nursery = Nursery()
        self._nursery.start()

    def nodes(self) -> Sequence[Node]:
        """Name this machine."""
        return (self._node,)

    @cached_property
    def _node(self) -> Node:
        here = machine()
        names = tuple(here.gpus[number].name for number in self._gpus)
        return Node(socket.gethostname(), here.cores, here.memory_bytes, names)

    @cached_property
    def _gpus(self) -> list[int]:
        """The numbers of the GPUs that this process was given and that are there."""
        there = range(len(machine().gpus))
        return list(there) if self._visible is None else [n for n in self._visible if n in there]

    def start(
        self,
        node: str,  # noqa: ARG002  there is one only
        job: Job,
        work: Path,
        stop: Stop,
        tell: Callable[[Event], None],
    ) -> Future[Ended]:
        """Start an attempt here; `work` is an empty folder that gets its files."""
        future: Future[Ended] = Future()
        # One that a cluster knows of and this process doesn't see goes by the driver's number.
        numbers = dict(enumerate(self._gpus)) if job.gpus else {}
        job = job.model_copy(update={"gpus": tuple(numbers.get(n, n) for n in job.gpus)})

        def make() -> None:
            try:
                future.set_result(supervise(job, work, stop, tell, self._nursery))
            except BaseException as error:
                future.set_exception(error)

        Thread(target=make, name=f"attempt {job.run_id}.{job.attempt}").start()
        return future

    def close(self) -> None:
        """End all processes that are the engine's own."""
        self._nursery.close()


def _visible_gpus() -> list[int] | None:
    """Return the numbers of the GPUs that this process was given; None: all there are."""
    given = os.environ.get(VISIBLE)
    if given is None:
        return None
    words = [word.strip() for word in given.split(",")]
    if words[0] in NONE:
        return []
    if not all(word.isdecimal() for word in words):
        raise LabError(
            f"{VISIBLE} is {given!r}, and batches know GPUs by their numbers only.",
            f"Set {VISIBLE} to numbers such as 0,1, or unset it.",
        )
    return [int(word) for word in words]
