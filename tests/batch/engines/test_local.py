"""Attempts side by side, on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from enterprise_lab.batch.attempt import Event, State
from enterprise_lab.batch.engine import Engine, Stop
from enterprise_lab.batch.engines import local
from enterprise_lab.batch.engines.local import LocalEngine
from enterprise_lab.errors import LabError
from enterprise_lab.measure import devices
from enterprise_lab.measure.devices import Gpu

from ..making import job


@pytest.fixture(scope="module")
def engine() -> Iterator[LocalEngine]:
    engine = LocalEngine()
    yield engine
    engine.close()


def test_this_machine_is_its_node(engine: Engine) -> None:
    (node,) = engine.nodes()

    assert node.name == socket.gethostname()
    assert node.cores >= 1
    assert node.memory_bytes > 1e9


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    here = devices.machine()
    gpus = tuple(Gpu(f"GPU {number}", 80 * 10**9, 80 * 10**9) for number in range(4))
    monkeypatch.setattr(local, "machine", lambda: replace(here, gpus=gpus))


@pytest.mark.usefixtures("four_gpus")
def test_gpus_are_those_this_process_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    engine = LocalEngine()
    (node,) = engine.nodes()
    wanted = job("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])", gpus=(1,))
    engine.start(node.name, wanted, tmp_path, Stop(), lambda _: None).result(120)
    engine.close()

    assert node.gpus == ("GPU 3", "GPU 1")
    assert (tmp_path / "stdout.log").read_text() == "1\n"


def test_a_gpu_that_only_a_cluster_knows_of_goes_by_its_number(
    engine: Engine, tmp_path: Path
) -> None:
    wanted = job("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])", gpus=(5,))
    engine.start(engine.nodes()[0].name, wanted, tmp_path, Stop(), lambda _: None).result(120)

    assert (tmp_path / "stdout.log").read_text() == "5\n"


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(("given", "known"), [("", 0), ("-1", 0), ("7,2", 1), (None, 4)])
def test_gpus_may_all_be_given_or_none(
    given: str | None, known: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    engine = LocalEngine()
    engine.close()

    assert len(engine.nodes()[0].gpus) == known


def test_gpus_without_numbers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5a1c2b3d")

    with pytest.raises(LabError, match="by their numbers"):
        LocalEngine()


def test_many_that_start_together_do_not_meet(engine: Engine, tmp_path: Path) -> None:
    together = 8
    node = engine.nodes()[0].name
    code = "import os; print(label, os.getpid())"
    for turn in range(2):
        heard: dict[str, list[Event]] = {str(number): [] for number in range(together)}
        futures = []
        for label, events in heard.items():
            work = tmp_path / f"{turn}.{label}"
            work.mkdir()
            wanted = job(code, parameters={"label": label})
            futures.append(engine.start(node, wanted, work, Stop(), events.append))

        assert {f.result(120).state for f in futures} == {State.SUCCEEDED}
        said = [(tmp_path / f"{turn}.{label}" / "stdout.log").read_text() for label in heard]
        assert [text.split()[0] for text in said] == list(heard)
        assert len({text.split()[1] for text in said}) == together
        assert all(events[-1].kind == "ended" for events in heard.values())


def test_one_of_two_can_be_stopped(engine: Engine, tmp_path: Path) -> None:
    node = engine.nodes()[0].name
    stops = Stop(), Stop()
    begun = threading.Event()
    futures = []
    for number, stop in enumerate(stops):
        work = tmp_path / str(number)
        work.mkdir()
        wanted = job("import time; time.sleep(3)")

        def tell(event: Event) -> None:
            if event.cell == 2:
                begun.set()

        futures.append(engine.start(node, wanted, work, stop, tell))
    begun.wait(60)
    stops[0].ask("enough of it")

    assert [f.result(60).state for f in futures] == [State.CANCELLED, State.SUCCEEDED]
    assert futures[0].result().error.startswith("enough of it")


def test_an_engine_that_is_closed_leaves_no_process_and_no_open_file(tmp_path: Path) -> None:
    me = psutil.Process()
    before = {child.pid for child in me.children(recursive=True)}
    files = me.num_fds()
    engine = LocalEngine()
    engine.start(engine.nodes()[0].name, job(), tmp_path, Stop(), lambda _: None).result(120)

    engine.close()

    assert {child.pid for child in me.children(recursive=True)} <= before
    assert me.num_fds() <= files
