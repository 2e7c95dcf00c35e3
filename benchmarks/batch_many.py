"""What many runs cost: `python benchmarks/batch_many.py --runs 500`.

Trivial runs, one after another in two slots: the memory of the runner, and of the process its runs
come from, after every so many. Then the seconds to plan, check and list a thousand runs that all
have ended, as `elab batch check` does.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import numpy as np
import psutil
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from enterprise_lab.batch.attempt import STATUS, Ended, State, Status
from enterprise_lab.batch.engine import Stop
from enterprise_lab.batch.engines.local import LocalEngine
from enterprise_lab.batch.plans.check import check_plan
from enterprise_lab.batch.run import Batch, Run
from enterprise_lab.batch.runner import Listener, pending, run_batch
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.batch.stores.ledger import attempts, place
from enterprise_lab.batch.stores.store import open_store

MIB = 2**20
STEP = 50
LISTED = 1_000


class Scales(Listener):
    """Weighs the runner, and the processes that are its own, every so many runs."""

    def __init__(self) -> None:
        self.ended = 0
        self.weights: list[tuple[int, float, float]] = []

    def attempt_ended(self, run: Run, status: Status, will_retry: bool) -> None:  # noqa: ARG002
        """Weigh when it is time."""
        self.ended += 1
        if self.ended % STEP == 0:
            runner = psutil.Process()
            nurseries = [one for one in runner.children() if "nursery" in " ".join(one.cmdline())]
            own, theirs = _mib([runner]), _mib(nurseries)
            self.weights.append((self.ended, own, theirs))
            sys.stdout.write(f"{self.ended:5} runs: runner {own:6.1f} MiB, nursery {theirs:6.1f}\n")
            sys.stdout.flush()


def _mib(processes: Sequence[psutil.Process]) -> float:
    return sum(one.memory_info().rss for one in processes) / MIB


def make_batch(folder: Path, runs: int) -> Batch:
    """Write a plan of so many trivial runs, and check it."""
    (folder / "batches").mkdir(exist_ok=True)
    cell = new_code_cell("number: int = 0", metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[cell]), folder / "one.ipynb")
    plan = {
        "name": "many",
        "runs": [{"notebook": "one.ipynb", "matrix": {"number": list(range(runs))}}],
        "slots": 2,
    }
    path = folder / "batches" / "many.yaml"
    path.write_text(yaml.safe_dump(plan))
    return check_plan(path, str(folder / "runs"))


def weigh(runs: int) -> float:
    """Make so many runs; return by how many bytes the runner grows with each of the later half."""
    scales = Scales()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, closing(LocalEngine()) as engine:
        batch = make_batch(Path(folder), runs)
        run_batch(batch, engine, open_store(batch.store), Stop(), scales)
        left = len(pending(batch, attempts(open_store(batch.store), batch.name)))
    seconds = time.monotonic() - start
    later = scales.weights[len(scales.weights) // 2 :]
    numbers, own, theirs = np.array(later).T
    slopes = [np.polyfit(numbers, weights, 1)[0] * MIB for weights in (own, theirs)]
    sys.stdout.write(
        f"{runs} runs in {seconds:.0f} s, {left} without success; from run {int(numbers[0])} on"
        f" the runner grows by {slopes[0] / 1024:.2f} KiB a run, its nursery by"
        f" {slopes[1] / 1024:.2f} KiB\n"
    )
    return float(slopes[0])


def list_many() -> float:
    """Return the seconds to plan, check and list runs that have all ended."""
    with tempfile.TemporaryDirectory() as folder:
        batch = make_batch(Path(folder), LISTED)
        store = Directory(batch.store)
        ended = Ended(
            state=State.FAILED, started=datetime.now(UTC), run_seconds=1, host="", device=""
        )
        for run in batch.runs:
            status = Status(
                run_id=run.run_id, attempt=1, runner="r", identity=run.identity, ended=ended
            )
            path = Path(batch.store) / place("many", run.run_id, 1, STATUS)
            path.parent.mkdir(parents=True)
            path.write_text(status.model_dump_json())
            (path.parent / "notebook.ipynb").write_text("{}")
            (path.parent / "stdout.log").touch()
        start = time.monotonic()
        again = make_batch(Path(folder), LISTED)
        checked = time.monotonic()
        assert len(pending(again, attempts(store, "many"))) == LISTED
        listed = time.monotonic()
    sys.stdout.write(
        f"{LISTED} runs planned and checked in {checked - start:.2f} s, and what they left listed"
        f" in {listed - checked:.2f} s\n"
    )
    return listed - start


def main() -> None:
    """Weigh and time as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    runs = parser.parse_args().runs
    list_many()
    if runs:
        weigh(runs)


if __name__ == "__main__":
    main()
