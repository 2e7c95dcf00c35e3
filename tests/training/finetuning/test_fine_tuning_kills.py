"""The siege of a fine-tuning: a training that hangs is told of, and killed."""

import itertools
import multiprocessing
import runpy
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

KILLS = runpy.run_path(
    str(Path(__file__).parents[3] / "benchmarks" / "fine_tuning_kills.py"), run_name="kills"
)


@pytest.fixture
def hanging(monkeypatch):
    """Return a process that does nothing for long, of which little is waited for."""
    monkeypatch.setitem(KILLS["kill"].__globals__, "PATIENCE_SECONDS", 0.05)
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,))
    process.start()
    yield process
    assert not process.is_alive()


def test_one_that_writes_no_checkpoint_is_killed(hanging, tmp_path):
    chance = SimpleNamespace(choice=lambda _: "training")
    with pytest.raises(AssertionError, match="hangs"):
        KILLS["kill"](hanging, tmp_path, 1, chance)


def test_one_that_begins_no_second_checkpoint_is_killed(hanging, tmp_path, monkeypatch):
    steps = itertools.count()
    monkeypatch.setitem(KILLS["kill"].__globals__, "newest", lambda _: next(steps))
    chance = SimpleNamespace(choice=lambda _: "writing")
    with pytest.raises(AssertionError, match="hangs"):
        KILLS["kill"](hanging, tmp_path, 1, chance)
    assert next(steps) == 3


def test_one_that_never_ends_is_killed(hanging, tmp_path):
    with pytest.raises(AssertionError, match="nobody killed"):
        KILLS["outcome"](hanging, tmp_path)
