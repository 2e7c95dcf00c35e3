"""A Ray cluster of several machines, all of them this one: attempts as anywhere, and losses."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

import enterprise_lab
from enterprise_lab.batch.attempt import Ended, Event, State
from enterprise_lab.batch.engine import LostError, Stop
from enterprise_lab.batch.engines import ray_engine
from enterprise_lab.batch.engines.ray_engine import RayEngine
from enterprise_lab.batch.runner import Listener, run_batch
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.store import open_store
from enterprise_lab.errors import LabError

from ..making import is_alive, job, wait_for
from ..workshop import RECORD, Workshop

SLEEP = "import time\nprint('asleep', flush=True)\ntime.sleep(600)"
# Says who it is and waits until it is told to go on.
WAIT = """\
import os, subprocess, time, uuid
from pathlib import Path
folder = Path(label)
if not (folder / "go").exists():
    sleeper = subprocess.Popen(["sleep", "600"])
    (folder / f".{os.getpid()}").write_text(f"{os.getpid()} {sleeper.pid}")
    (folder / f".{os.getpid()}").rename(folder / f"pids-{uuid.uuid4().hex}")
    while not (folder / "go").exists():
        time.sleep(0.1)
    sleeper.kill()
"""

MACHINE = {"object_store_memory": 80_000_000, "include_log_monitor": False}


class Made:
    """An attempt, as those see it who asked for it."""

    def __init__(self, engine: RayEngine, node: str, work: Path, *code: str, **options: Any):
        work.mkdir()
        self.work = work
        self.stop = Stop()
        self.events: list[Event] = []
        self.future: Future[Ended] = engine.start(
            node, job(*code, **options), work, self.stop, self.events.append
        )

    def ended(self) -> Ended:
        return self.future.result(120)

    def wait_for_cell(self, number: int) -> None:
        wait_for(lambda: any(e.cell == number for e in self.events))

    def log(self) -> str:
        return (self.work / "stdout.log").read_text()


def join(cluster: Any, **options: Any) -> Any:
    """Add a machine. Ray gives one up that isn't ready after 15 s, as on a busy computer."""
    try:
        return cluster.add_node(**MACHINE, **options)
    except Exception:
        return cluster.add_node(**MACHINE, **options)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    os.environ |= ray_engine._SETTINGS
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    join(cluster, num_cpus=1, include_dashboard=False, no_monitor=True)
    join(cluster, num_cpus=2, num_gpus=2)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def engine(cluster: Any) -> Iterator[RayEngine]:
    engine = RayEngine(cluster.address)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def plain(engine: RayEngine) -> str:
    return next(node.name for node in engine.nodes() if not node.gpus)


@pytest.fixture(scope="module")
def with_gpus(engine: RayEngine) -> str:
    return next(node.name for node in engine.nodes() if node.gpus)


def elab(workshop: Workshop, cluster: Any) -> subprocess.Popen[str]:
    command = "from enterprise_lab.cli import main; main()"
    options = ["--engine", "ray", "--address", cluster.address]
    return subprocess.Popen(
        [sys.executable, "-c", command, "batch", "run", str(workshop.plan_path), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=workshop.root,
    )


def pids(folder: Path) -> list[int]:
    return [int(pid) for path in folder.glob("pids-*") for pid in path.read_text().split()]


def test_an_address_where_no_cluster_is_is_told_at_once() -> None:
    begun = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(LabError, match=f"No Ray cluster answers at 127.0.0.1:{port}"):
        RayEngine(f"127.0.0.1:{port}")
    for address in ("here", "ray://127.0.0.1:10001", "127.0.0.1:port"):
        with pytest.raises(LabError, match=r"is not the address|No Ray cluster answers"):
            RayEngine(address)
    assert time.monotonic() - begun < 20


def test_what_listens_but_is_no_cluster_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(LabError, match=f"What is at {address} is no Ray cluster"):
            RayEngine(address)


def test_a_missing_ray_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LabError, match=r"pip install 'enterprise-lab\[ray\]'"):
        RayEngine(None)


def test_machines_are_listed_with_their_gpus(engine: RayEngine) -> None:
    head, other = sorted(engine.nodes(), key=lambda node: node.cores)
    assert (head.cores, head.gpus) == (1, ())
    assert (other.cores, len(other.gpus)) == (2, 2)
    assert head.name.startswith(socket.gethostname())
    assert head.name != other.name
    assert head.memory_bytes > 1e9


def test_attempts_end_as_anywhere(
    engine: RayEngine, plain: str, with_gpus: str, tmp_path: Path
) -> None:
    seen = (
        "import os\n"
        "print(label, os.environ['CUDA_VISIBLE_DEVICES'], os.nice(0))\n"
        "print(os.environ.get('OMP_NUM_THREADS'))"
    )
    stopped = Made(engine, plain, tmp_path / "stopped", SLEEP)
    late = Made(engine, with_gpus, tmp_path / "late", SLEEP, deadline_seconds=8)
    success = Made(
        engine, with_gpus, tmp_path / "success", RECORD.replace("speed", "1"), seen,
        parameters={"label": "two"}, gpus=(1,),
    )  # fmt: skip
    failed = Made(engine, plain, tmp_path / "failed", "raise ValueError('no such thing')")
    dead = Made(engine, with_gpus, tmp_path / "dead", "import os\nos.kill(os.getpid(), 9)")
    stopped.wait_for_cell(2)
    stopped.stop.ask("it is enough")

    assert (success.ended().state, success.ended().error) == (State.SUCCEEDED, "")
    assert f"two 1 0\n{os.environ.get('OMP_NUM_THREADS')}\n" in success.log()
    assert sorted(path.name for path in success.work.iterdir()) == [
        "events.jsonl", "notebook.ipynb", "records.jsonl", "stdout.log",
    ]  # fmt: skip
    assert [event.kind for event in success.events] == ["begun", *["cell"] * 4, "ended"]

    assert (failed.ended().state, failed.ended().cell) == (State.FAILED, 2)
    assert "ValueError: no such thing" in failed.ended().error
    assert dead.ended().state == State.KERNEL_DIED
    assert late.ended().state == State.TIMED_OUT
    assert "asleep" in late.log()
    assert stopped.ended().state == State.CANCELLED
    assert "it is enough" in stopped.ended().error
    # Ray makes its processes deaf to interrupts; a kernel has to hear them.
    assert [e.kind for e in stopped.events if e.cell is None] == ["begun", "interrupted", "ended"]
    assert "KeyboardInterrupt" in (stopped.work / "notebook.ipynb").read_text()


def test_a_batch_survives_the_loss_of_a_machine(
    engine: RayEngine, cluster: Any, workshop: Workshop
) -> None:
    """A machine joins, is used, and is killed in the middle of a run or two."""
    before = {node.name for node in engine.nodes()}
    third = join(cluster, num_cpus=1)
    wait_for(lambda: len(engine.nodes()) == 3)
    (name,) = {node.name for node in engine.nodes()} - before
    workshop.notebook(RECORD, WAIT)
    runs = [{
        "notebook": "tiny.ipynb",
        "parameters": {"label": str(workshop.root)},
        "matrix": {"steps": [1, 2, 3, 4, 5]},
    }]  # fmt: skip
    workshop.plan(runs=runs)
    batch = workshop.check()
    store = open_store(batch.store)
    heard = _Heard()
    runner = Thread(target=run_batch, args=(batch, engine, store, Stop(), heard))
    runner.start()
    wait_for(lambda: len(pids(workshop.root)) == 6)

    os.kill(third.all_processes["raylet"][0].process.pid, signal.SIGKILL)
    wait_for(lambda: heard.cancelled)
    (workshop.root / "go").touch()
    runner.join(120)

    assert not runner.is_alive()
    attempts = ledger.attempts(store, batch.name)
    assert len(attempts) == 5
    lost = [one for statuses in attempts.values() for one in statuses[:-1]]
    assert lost
    assert {one.state for one in lost} == {State.CANCELLED}
    assert {one.ended.error for one in lost} == {f"its machine was lost: {name}"}
    assert {statuses[-1].state for statuses in attempts.values()} == {State.SUCCEEDED}
    assert {node.name for node in engine.nodes()} == before
    wait_for(lambda: not any(map(is_alive, pids(workshop.root))))
    cluster.remove_node(third)
    gone = Made(engine, name, workshop.root / "gone", "1")
    assert isinstance(gone.future.exception(), LostError)


class _Heard(Listener):
    cancelled = False

    def attempt_ended(self, _run: object, status: Any, will_retry: bool) -> None:
        self.cancelled |= status.state == State.CANCELLED and will_retry


def test_a_killed_driver_leaves_no_process_and_no_folder(cluster: Any, workshop: Workshop) -> None:
    workshop.notebook(WAIT)
    runs = [{
        "notebook": "tiny.ipynb",
        "parameters": {"label": str(workshop.root)},
        "matrix": {"steps": [1, 2]},
    }]  # fmt: skip
    workshop.plan(runs=runs)
    driver = elab(workshop, cluster)
    wait_for(lambda: len(pids(workshop.root)) == 4)
    folders = {Path(psutil.Process(pid).cwd()) for pid in pids(workshop.root)}
    assert len(folders) == 2

    driver.kill()
    driver.communicate()

    wait_for(lambda: not any(map(is_alive, pids(workshop.root))))
    wait_for(lambda: not any(folder.exists() for folder in folders))


def test_a_machine_with_another_kit_is_refused(
    engine: RayEngine, cluster: Any, workshop: Workshop
) -> None:
    package = Path(enterprise_lab.__file__).parent
    other = workshop.root / "other" / "enterprise_lab"
    shutil.copytree(package, other, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "units.py").write_text((other / "units.py").read_text() + "\n# another\n")
    before = engine.nodes()
    node = join(cluster, num_cpus=1, env_vars={"PYTHONPATH": str(other.parent)})
    workshop.notebook()
    workshop.plan()

    driver = elab(workshop, cluster)
    output, _ = driver.communicate(timeout=120)

    assert driver.returncode == 2, output
    assert f"has enterprise_lab {enterprise_lab.__version__}" in output
    assert "Install the same on all machines" in output
    assert "Traceback" not in output
    assert engine.nodes() == before, "one that joins late is left alone"
    cluster.remove_node(node)
