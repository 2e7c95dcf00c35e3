"""Batches that are killed at random moments, and resumed."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_what_is_killed_at_random_is_completed_once(tmp_path: Path) -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "batch_kills.py"

    siege = runpy.run_path(str(path))["besiege"](
        tmp_path, kills=6, runs=4, runners=2, seed=2, pause_seconds=1.0
    )

    assert siege.faults == [], (tmp_path / "runners.log").read_text()
    assert siege.kills.total() > 2
