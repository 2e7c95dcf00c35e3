"""How fast plans are searched, in seconds of one core, best of five: GPT-3 175B on A100.

python benchmarks/plan_search.py
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from enterprise_lab import catalog
from enterprise_lab.estimate.plan_table import Plans
from enterprise_lab.estimate.search import plans

A100 = catalog.accelerator("A100-SXM4-80GB")
BOUNDLESS = A100.model_copy(update={"memory_bytes": 10**15})
SIXTEEN = [64 * n for n in range(1, 17)]


def search(
    devices: int | list[int], chip: catalog.Accelerator = A100, context_parallel: bool = False
) -> Plans:
    """Search and choose, as a user would."""
    found = plans(
        catalog.model("gpt-3-175b").shape,
        devices=devices,
        accelerator=chip,
        global_batch=1536,
        sequence_length=2048,
        context_parallel=context_parallel,
    )
    assert found.fastest
    assert found.cheapest
    assert found.pareto
    return found


def best_seconds(run: Callable[[], object]) -> float:
    """Processor time of the quickest of five runs; numpy is kept to one thread."""
    times = []
    for _ in range(5):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


for name, run in {
    "GPT-3 175B on 1,024 A100, batch 1,536": lambda: search(1024),
    "the same, were memory boundless": lambda: search(1024, BOUNDLESS),
    "the same with context parallelism": lambda: search(1024, context_parallel=True),
    "64, 128 ... 1,024 A100": lambda: search(SIXTEEN),
    "64, 128 ... 1,024 A100, were memory boundless": lambda: search(SIXTEEN, BOUNDLESS),
}.items():
    found, seconds = run(), best_seconds(run)
    sys.stdout.write(f"{name}: {seconds:.3f} s\n")
    for what, count in {
        "considered": found.considered,
        "possible, memory known": found.possible,
        "fitting, time known too": found.fitting,
    }.items():
        sys.stdout.write(f"  {what:<24}{count:>11,}{count / seconds:>13,.0f} a second\n")
