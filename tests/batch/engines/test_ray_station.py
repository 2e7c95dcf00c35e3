"""A station without its cluster: calls that come twice, and what Ray sets in its process."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

import pytest

from enterprise_lab.batch.attempt import Ended, Event, Job, State
from enterprise_lab.batch.engine import Node, Stop
from enterprise_lab.batch.engines import ray_station
from enterprise_lab.batch.engines.ray_station import Made, Station

from ..making import job


class Played:
    """An engine that keeps to itself what it is asked to start."""

    def __init__(self) -> None:
        self.started: list[tuple[Path, Future[Ended]]] = []

    def nodes(self) -> tuple[Node]:
        return (Node("here", 1, 1e9),)

    def start(
        self, _: str, __: Job, work: Path, ___: Stop, ____: Callable[[Event], None]
    ) -> object:
        self.started.append((work, Future()))
        return self.started[-1][1]


def test_an_attempt_that_is_asked_for_twice_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Played()
    monkeypatch.setattr(ray_station, "LocalEngine", lambda: engine)
    station = Station()

    station.begin(7, job("1"))
    station.begin(7, job("1"))
    ((work, future),) = engine.started
    (work / "stdout.log").write_text("said")
    ended = Ended(
        state=State.SUCCEEDED, started=datetime.now(UTC), run_seconds=1, host="here", device="cpu"
    )
    future.set_result(ended)
    station.begin(7, job("1"))

    assert station.news(0) == [(7, Made(ended, {"stdout.log": b"said"}))]
    assert not work.exists()
    assert len(engine.started) == 1


def test_what_ray_sets_in_its_processes_does_not_reach_kernels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_station, "LocalEngine", Played)
    for given, kept in (({}, None), ({"OMP_NUM_THREADS": "1"}, "1")):
        monkeypatch.setattr(ray_station.psutil.Process, "environ", lambda _, given=given: given)
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        Station()
        assert os.environ.get("OMP_NUM_THREADS") == kept
