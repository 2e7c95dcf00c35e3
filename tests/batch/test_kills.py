"""Batches that are killed at random moments, and resumed."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest


@pytest.mark.parametrize(("runners", "seed"), [(1, 1), (2, 2)])
def test_what_is_killed_at_random_is_completed_once(
    tmp_path: Path, runners: int, seed: int
) -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "batch_kills.py"

    siege = runpy.run_path(str(path))["besiege"](
        tmp_path, kills=6, runs=4, runners=runners, seed=seed, pause_seconds=1.0
    )

    assert siege.faults == [], (tmp_path / "runners.log").read_text()
    assert siege.kills.total() > 2
