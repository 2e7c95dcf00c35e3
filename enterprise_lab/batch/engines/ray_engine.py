"""The engine that makes attempts on a Ray cluster, with a station on each of its machines.

Machines need no file system in common, only the same kit. A machine that offers Ray no processor
core (`ray start --num-cpus 0`) is left alone.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

from enterprise_lab.batch.attempt import Ended, Event, Job
from enterprise_lab.batch.engine import LostError, Node, Stop
from enterprise_lab.batch.engines.ray_station import THREADS, Broken, Kit, Made, News, Station, kit
from enterprise_lab.errors import LabError

CONNECT_SECONDS = 30.0
"""How long a cluster has to let a driver in."""
STATION_SECONDS = 120.0
"""How long its machines have to get their stations ready."""
CLOSE_SECONDS = 20.0
"""More than an attempt takes to end when it is asked to."""
_LISTEN_SECONDS = 5.0
_TICK_SECONDS = 0.1
_OBJECT_STORE_BYTES = 200_000_000
"""Of a cluster of this machine alone: it holds no more than the files of a few attempts."""
_QUIET: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL"}
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # An attempt that holds too much memory is ended by its own limit, not with its station.
    "RAY_memory_monitor_refresh_ms": "0",
    # By default Ray gives what it starts a lower priority than all else.
    "RAY_worker_niceness": "0",
}
_TRIAL = "import ray, sys; ray.init(sys.argv[1], log_to_driver=False, logging_level='CRITICAL')"


class RayEngine:
    """Makes attempts on the cluster at an address, or on one of this machine alone.

    The address is HOST:PORT, or `auto` for RAY_ADDRESS or the cluster that this machine is in.
    Raises LabError where there is no Ray or no such cluster, and for a machine with another kit.
    One that joins later with another kit is left alone, as long as there are others.
    """

    def __init__(self, address: str | None) -> None:
        self._ray = _connected(address)
        self._kit = kit()
        self._machines: dict[str, _Machine] = {}
        try:
            self._meet()
            end = time.monotonic() + STATION_SECONDS
            for machine in self._machines.values():
                machine.settled.wait(max(0.0, end - time.monotonic()))
                if not machine.settled.is_set():
                    raise LabError(
                        f"{machine.name} has not answered for {STATION_SECONDS:g} s.",
                        "Mend it, or take it out of the cluster with `ray stop`.",
                    )
                if machine.refusal:
                    raise machine.refusal
        except BaseException:
            self.close()
            raise

    def nodes(self) -> Sequence[Node]:
        """List the machines that are there now and ready."""
        self._meet()
        machines = self._machines.values()
        ready = [machine.node for machine in machines if machine.node]
        refusals = [machine.refusal for machine in machines if machine.refusal]
        if refusals and not ready:
            raise refusals[0]
        return ready

    def start(
        self, node: str, job: Job, work: Path, stop: Stop, tell: Callable[[Event], None]
    ) -> Future[Ended]:
        """Start an attempt on a machine; `work` is an empty folder here that gets its files."""
        for machine in self._machines.values():
            if machine.name == node:
                return machine.start(job, work, stop, tell)
        lost: Future[Ended] = Future()
        lost.set_exception(LostError(node))
        return lost

    def close(self) -> None:
        """End all processes that are the engine's own, attempts first."""
        for machine in self._machines.values():
            machine.ask_to_stop()
        end = time.monotonic() + CLOSE_SECONDS
        for machine in self._machines.values():
            machine.close(max(0.0, end - time.monotonic()))
        with _own_signals():
            self._ray.shutdown()

    def _meet(self) -> None:
        """Put a station on each machine that has none, and forget those that are gone."""
        there = {
            info["NodeID"]: info
            for info in self._ray.nodes()
            if info["Alive"] and info["Resources"].get("CPU", 0) > 0
        }
        for node_id, machine in list(self._machines.items()):
            if node_id not in there or machine.is_lost:
                del self._machines[node_id]
        for node_id, info in there.items():
            if node_id not in self._machines:
                self._machines[node_id] = _Machine(self._ray, info, self._kit)


@dataclass(frozen=True)
class _Attempt:
    future: Future[Ended]
    work: Path
    stop: Stop
    tell: Callable[[Event], None]


class _Machine:
    """A machine of the cluster, its station, and the attempts under way there.

    A thread listens to the station as long as it is there.
    """

    def __init__(self, ray: Any, info: Mapping[str, Any], own_kit: Kit) -> None:
        self.name = f"{info['NodeManagerHostname']}-{info['NodeID'][:6]}"
        self.node: Node | None = None
        self.refusal: LabError | None = None
        self.settled = Flag()
        self.is_lost = False
        self._ray = ray
        self._resources = info["Resources"]
        self._kit = own_kit
        self._numbers = itertools.count()
        self._attempts: dict[int, _Attempt] = {}
        self._stopping: set[int] = set()
        self._lock = Lock()
        self._closing = Flag()
        self._station = _station(ray, info["NodeID"])
        self._thread = Thread(target=self._listen, name=self.name, daemon=True)
        self._thread.start()

    def start(
        self, job: Job, work: Path, stop: Stop, tell: Callable[[Event], None]
    ) -> Future[Ended]:
        """Start an attempt."""
        future: Future[Ended] = Future()
        with self._lock:
            if self.is_lost:
                future.set_exception(LostError(self.name))
                return future
            number = next(self._numbers)
            self._attempts[number] = _Attempt(future, work, stop, tell)
        self._station.begin.remote(number, job)
        return future

    def ask_to_stop(self) -> None:
        """Ask all attempts to end."""
        for number in list(self._attempts):
            self._station.stop.remote(number, "the engine was closed")

    def close(self, seconds: float) -> None:
        """Give up the station, once its attempts have ended or after so many seconds."""
        end = time.monotonic() + seconds
        while self._attempts and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(_TICK_SECONDS)
        self._closing.set()
        self._thread.join()
        self._ray.kill(self._station)

    def _listen(self) -> None:
        try:
            self._get_acquainted()
            heard = 0
            while self.node and not self._closing.is_set():
                for number, news in self._news(heard):
                    heard += 1
                    self._take(number, news)
        except self._ray.exceptions.RayError:
            pass  # it is gone, and with it what it had to say
        finally:
            self._lose()
            self.settled.set()

    def _get_acquainted(self) -> None:
        try:
            here, its_kit = self._ray.get(self._station.about.remote())
        except self._ray.exceptions.RayError as error:
            if _is_gone(self._ray, error):
                raise
            self.refusal = LabError(
                f"{self.name} can't make attempts: {_last_line(error)}.",
                f"Install there what is here, {self._kit}, and start Ray again.",
            )
            return
        if its_kit != self._kit:
            self.refusal = LabError(
                f"{self.name} has {its_kit}; here it is {self._kit}.",
                "Install the same on all machines of the cluster, and start Ray again.",
            )
            return
        gpus = int(self._resources.get("GPU", 0))
        self.node = replace(
            here,
            name=self.name,
            cores=int(self._resources["CPU"]) or 1,
            gpus=(*here.gpus, *["GPU"] * gpus)[:gpus],
        )
        self.settled.set()

    def _news(self, heard: int) -> Sequence[News]:
        reply = self._station.news.remote(heard)
        while not self._closing.is_set():
            self._pass_on_stops()
            if self._ray.wait([reply], timeout=_TICK_SECONDS)[0]:
                try:
                    return self._ray.get(reply)  # type: ignore[no-any-return]
                except self._ray.exceptions.ActorUnavailableError:
                    self._closing.wait(1)  # it may be back, or be found gone
                    return ()
        return ()

    def _pass_on_stops(self) -> None:
        for number, attempt in list(self._attempts.items()):
            if attempt.stop.asked and number not in self._stopping:
                self._stopping.add(number)
                self._station.stop.remote(number, attempt.stop.reason)

    def _take(self, number: int, news: Event | Made | Broken) -> None:
        attempt = self._attempts[number]
        if isinstance(news, Event):
            attempt.tell(news)
            return
        try:
            ended = self._unpack(news, attempt.work)
        except (LabError, OSError) as error:
            attempt.future.set_exception(error)
        else:
            attempt.future.set_result(ended)
        del self._attempts[number]

    def _unpack(self, news: Made | Broken, work: Path) -> Ended:
        if isinstance(news, Broken):
            raise LabError(
                f"{self.name} could not make an attempt: {news.error}.",
                "Mend it, or take it out of the cluster with `ray stop`; then run again.",
            )
        for name, content in news.files.items():
            (work / name).write_bytes(content)
        return news.ended

    def _lose(self) -> None:
        with self._lock:
            self.is_lost = self.refusal is None
            self.node = None
            attempts = list(self._attempts.values())
            self._attempts.clear()
        for attempt in attempts:
            attempt.future.set_exception(LostError(self.name))


def _connected(address: str | None) -> Any:
    """Connect this process to a cluster, or start one of this machine; return the module ray."""
    os.environ.update({name: os.environ.get(name, value) for name, value in _SETTINGS.items()})
    try:
        import ray
    except ModuleNotFoundError:
        raise LabError(
            "The engine ray needs Ray, which is not installed.",
            "Install it: pip install 'enterprise-lab[ray]'.",
        ) from None
    # Ray's own news of machines and workers would be printed over the display.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None
    if address:
        _try_to_connect(address)
    with _own_signals():
        try:
            if address:
                ray.init(address, **_QUIET)
            else:
                ray.init(
                    "local",
                    include_dashboard=False,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    **_QUIET,
                )
        except Exception as error:  # Ray raises this class itself
            ray.shutdown()
            where = f"to the cluster at {address}" if address else "on this machine"
            raise LabError(
                f"Ray could not be started {where}: {_last_line(error)}.",
                "Mend that, or use the engine local.",
            ) from None
    return ray


def _try_to_connect(address: str) -> None:
    """See whether a cluster lets a driver in, in a process of its own.

    Left to itself Ray tries for minutes, and says so on the terminal.
    """
    remedy = (
        "Give the HOST:PORT that `ray start --head` printed, on a machine where Ray was started"
        " with this address."
    )
    if address != "auto":
        host, _, port = address.rpartition(":")
        if not host or "/" in host or not port.isdecimal():
            raise LabError(f"{address} is not the address of a Ray cluster.", remedy)
        try:
            socket.create_connection((host, int(port)), _LISTEN_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise LabError(f"No Ray cluster answers at {address}: {error}.", remedy) from None
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL, address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=CONNECT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"What is at {address} is no Ray cluster.", remedy) from None
    if trial.returncode:
        said = _last_line(trial.stderr.decode(errors="replace"))
        raise LabError(f"The Ray cluster at {address} can't be used: {said}.", remedy)


def _station(ray: Any, node_id: str) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor = ray.remote(
        num_cpus=0,
        max_restarts=0,
        max_task_retries=-1,  # a call that gets lost on its way is made again
        max_concurrency=THREADS,
        scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False),
    )
    return actor(Station).remote()


def _is_gone(ray: Any, error: Exception) -> bool:
    """Tell a machine that is gone from one whose station could not be made."""
    made = isinstance(error, ray.exceptions.ActorDiedError)
    return made and "Traceback" not in str(error)


def _last_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep Ray from answering signals in this process's place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
