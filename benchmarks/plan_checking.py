"""How long a plan of a thousand runs takes to be read, checked and listed, and what that holds.

python benchmarks/plan_checking.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from enterprise_lab import catalog
from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans.budget import total
from enterprise_lab.batch.plans.check import check_plan

ROOT = Path(__file__).parents[1]
LAB = "solutions/02_hardware_comparison/hardware_comparison.ipynb"
TUNING = "batches/notebooks/fine_tuning.ipynb"
HEAD = "name: thousand\nslots: 2\nprice: {instance: g5.xlarge}\nruns:\n"
PLANS = {
    "a matrix": f"  - notebook: {LAB}\n    matrix: {{seed: {list(range(100))}, width:"
    f" {list(range(1, 11))}}}\n",
    "a thousand entries": "".join(
        f"  - notebook: {LAB}\n    parameters: {{seed: {seed}}}\n" for seed in range(1000)
    ),
    "a workload to estimate": f"  - notebook: {TUNING}\n    workload: training\n"
    f"    resources: {{gpus: 1}}\n    matrix: {{seed: {list(range(10))}, batch_size:"
    f" {list(range(1, 101))}}}\n",
}
NODES = [Node("here", 8, 64e9, ("NVIDIA A10G",))]


def main() -> None:
    """Print the seconds of each plan, and of the whole command for the first."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in ("solutions", "constraints.txt"):
            (root / name).symlink_to(ROOT / name)
        (root / "batches").mkdir()
        (root / "batches" / "notebooks").symlink_to(ROOT / "batches" / "notebooks")
        plan = root / "batches" / "thousand.yaml"
        for what, runs in PLANS.items():
            plan.write_text(HEAD + runs)
            started = time.perf_counter()
            batch = check_plan(plan, nodes=NODES, processor=lambda: catalog.accelerator("A10G"))
            found = total(batch.runs, batch.slots, NODES)
            seconds = time.perf_counter() - started
            _say(f"{found.runs} runs of {what}: checked and added up in {seconds:.2f} s")
        plan.write_text(HEAD + PLANS["a matrix"])
        started = time.perf_counter()
        command = [sys.executable, "-m", "enterprise_lab", "batch", "check", str(plan)]
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds = time.perf_counter() - started
        _say(f"`elab batch check`: {len(listed.splitlines())} lines in {seconds:.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    _say(f"most memory held while checking: {peak / 1e6:.0f} MB")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
