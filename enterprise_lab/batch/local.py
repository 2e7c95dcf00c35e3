"""The engine that makes attempts on this machine."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from threading import Thread

from enterprise_lab.batch.attempt import Ended, Event, Job
from enterprise_lab.batch.engine import Node, Stop
from enterprise_lab.batch.nursery import Nursery
from enterprise_lab.batch.supervisor import supervise
from enterprise_lab.measure.devices import machine


class LocalEngine:
    """Makes attempts side by side on this machine, each watched by a thread."""

    def __init__(self) -> None:
        self._nursery = Nursery()
        self._nursery.start()

    def nodes(self) -> Sequence[Node]:
        """Name this machine."""
        return (self._node,)

    @cached_property
    def _node(self) -> Node:
        here = machine()
        return Node(
            socket.gethostname(), here.cores, here.memory_bytes, tuple(g.name for g in here.gpus)
        )

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
