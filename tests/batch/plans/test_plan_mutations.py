from __future__ import annotations

import runpy
from pathlib import Path


def test_damaged_plans_are_refused_or_sound() -> None:
    path = Path(__file__).parents[3] / "benchmarks" / "plan_mutations.py"

    found, failures = runpy.run_path(str(path))["mutations"](300, seed=7)

    assert failures == []
    assert found["refused"] > 150
    assert found["batches"] > 10
