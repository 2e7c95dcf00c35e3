"""How long the report of a thousand runs takes, and how large its page is.

python benchmarks/batch_report.py

Every run leaves the executed notebook of lab 01, so most of them don't fit on the page.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from enterprise_lab.batch.attempt import (
    NOTEBOOK,
    RECORDS,
    STATUS,
    STDOUT,
    Ended,
    Identity,
    Predicted,
    State,
    Status,
)
from enterprise_lab.batch.reports.report import write_report
from enterprise_lab.batch.reports.results import collect, write_table
from enterprise_lab.batch.run import Batch, Need, Retries, Run
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.measure.records import Origin, Record

RUNS = 1_000
LAB = Path(__file__).parents[1] / "solutions/01_compute_estimation/compute_estimation.ipynb"


def main() -> None:
    """Print the processor's seconds for each part, and the page's size."""
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        store = Directory(folder)
        runs = tuple(make(n) for n in range(RUNS))
        for run in runs:
            leave(store, run, rng)
        batch = Batch("thousand", "A thousand runs", runs, folder)
        started = time.process_time()
        results = collect(batch, store)
        write_table(batch.name, store, results)
        _say(f"results read, table written: {time.process_time() - started:.1f} s")
        started = time.process_time()
        page = Path(write_report(batch, store))
        _say(f"report written: {time.process_time() - started:.1f} s")
        _say(f"its page: {page.stat().st_size / 1e6:.1f} MB")


def make(number: int) -> Run:
    """Make a run of a matrix of three parameters and ten seeds."""
    identity = Identity(
        notebook=LAB.name,
        parameters={
            "width": 2 ** (3 + number % 5),
            "depth": 1 + number // 5 % 4,
            "precision": ("fp32", "fp16", "bf16", "fp8", "int8")[number // 20 % 5],
            "seed": number // 100,
        },
        code="", lock="", package="",
    )  # fmt: skip
    return Run(
        run_id=f"{number:012x}", notebook=LAB.name, content="", given=identity.parameters,
        identity=identity, need=Need(), deadline_seconds=60, retries=Retries(),
        predicted=Predicted(seconds=10, low_seconds=5, high_seconds=20), usd_per_hour=2.0,
    )  # fmt: skip


def leave(store: Directory, run: Run, rng: random.Random) -> None:
    """Leave what a run leaves."""
    failed = rng.random() < 0.02
    ended = Ended(
        state=State.FAILED if failed else State.SUCCEEDED,
        error="ValueError: too fast" if failed else "",
        started=datetime(2026, 3, 2, tzinfo=UTC),
        run_seconds=10 * rng.lognormvariate(0, 0.3),
        host="node-1",
        device="a processor",
    )
    status = Status(
        run_id=run.run_id, attempt=1, runner="1", identity=run.identity, ended=ended,
        predicted=run.predicted, usd_per_hour=run.usd_per_hour,
    )  # fmt: skip
    records = [
        Record(lab="a", metric=f"part{n}_seconds", value=rng.random(), unit="s",
               origin=Origin.MEASURED)
        for n in range(10)
    ]  # fmt: skip
    work = store.scratch(f"thousand/.work/{run.run_id}")
    (work / NOTEBOOK).write_bytes(LAB.read_bytes())
    (work / RECORDS).write_text("".join(r.model_dump_json() + "\n" for r in records))
    (work / STDOUT).write_text("a line\n" * 500)
    (work / STATUS).write_text(status.model_dump_json())
    place = ledger.place("thousand", run.run_id, 1, STATUS)
    assert store.publish(Path(place).parent.as_posix(), work, STATUS)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
