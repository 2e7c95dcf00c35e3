"""Whether a batch survives its killing: `python benchmarks/batch_kills.py --kills 200`.

Random processes of a batch are killed at random moments: a runner, the process its runs come from,
a run's own process, a kernel. Runners that are dead are started again. When all kills are done the
batch is resumed to its end. Then every run must have exactly one recorded success, everything in
the store must be whole, and nothing may be left at work, neither a folder nor a process.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from enterprise_lab.batch import attempt
from enterprise_lab.batch.attempt import Event, State
from enterprise_lab.batch.engine import Stop
from enterprise_lab.batch.engines.local import LocalEngine
from enterprise_lab.batch.plans.check import check_plan
from enterprise_lab.batch.run import Batch
from enterprise_lab.batch.runner import Listener, run_batch
from enterprise_lab.batch.stores.ledger import attempts
from enterprise_lab.batch.stores.store import open_store
from enterprise_lab.measure import records

MARK = "BATCH_KILLS"
NAME = "killed"
END_SECONDS = 600.0
KIND_SECONDS = 5.0
PAUSE_SECONDS = 2.5
RUNNER, NURSERY, CHILD, KERNEL = "runner", "nursery", "run's process", "kernel"
SHARES = {RUNNER: 0.2, NURSERY: 0.1, CHILD: 0.3, KERNEL: 0.4}
"""How often which kind of process is chosen: a runner takes the longest to come back."""
RECORD = """\
import time
from pathlib import Path
from enterprise_lab.measure.records import Origin, Record, append
for part in range(4):
    time.sleep(seconds / 4)
    append(Path("records.jsonl"), [Record(
        lab="killed", metric=f"part_{part}", value=number, unit="1", origin=Origin.ESTIMATED)])
print("done", number)
"""


@dataclass
class Siege:
    """What was killed, and what was found to be wrong in the end."""

    kills: Counter[str] = field(default_factory=Counter)
    runners: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def besiege(
    folder: Path,
    *,
    kills: int,
    runs: int,
    runners: int,
    seed: int,
    pause_seconds: float = PAUSE_SECONDS,
) -> Siege:
    """Run a batch in a new folder under so many kills, then to its end, and look at it."""
    siege, start = Siege(runs=runs), time.monotonic()
    chance = random.Random(seed)
    batch = make_batch(folder, runs)
    (folder / "batch").write_bytes(pickle.dumps(batch))
    mark = uuid.uuid4().hex
    working = [start_runner(folder, mark, siege) for _ in range(runners)]
    while siege.kills.total() < kills and unfinished(batch):
        for number, one in enumerate(working):
            if one.poll() is not None:
                working[number] = start_runner(folder, mark, siege)
        kind = chance.choices(list(SHARES), list(SHARES.values()))[0]
        siege.kills[kind] += kill_one(kind, chance.uniform(0, pause_seconds), chance, mark)
    finish(batch, folder, mark, siege, working)
    siege.faults += faults(batch, mark)
    for statuses in attempts(open_store(batch.store), NAME).values():
        siege.attempts.update(f"{one.state}" for one in statuses)
    siege.seconds = time.monotonic() - start
    return siege


def make_batch(folder: Path, runs: int) -> Batch:
    """Write a notebook and a plan of so many runs of about a second, and check it."""
    parameters = new_code_cell("number: int = 0\nseconds: float = 1.0")
    parameters.metadata["tags"] = ["parameters"]
    nbformat.write(new_notebook(cells=[parameters, new_code_cell(RECORD)]), folder / "one.ipynb")
    plan = {
        "name": NAME,
        "runs": [{"notebook": "one.ipynb", "matrix": {"number": list(range(runs))}}],
        "slots": 2,
        "retries": {"times": 20, "on": ["failed", "kernel_died"]},
    }
    (folder / "batches").mkdir()
    path = folder / "batches" / "killed.yaml"
    path.write_text(yaml.safe_dump(plan))
    return check_plan(path, str(folder / "runs"))


def start_runner(folder: Path, mark: str, siege: Siege) -> subprocess.Popen[bytes]:
    """Start a runner of the batch; it and all that comes of it bear the mark."""
    siege.runners += 1
    with (folder / "runners.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, __file__, "--work", str(folder)],
            env={**os.environ, MARK: mark},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def work(folder: Path) -> None:
    """Be a runner."""
    batch = pickle.loads((folder / "batch").read_bytes())
    engine = LocalEngine()
    run_batch(batch, engine, open_store(batch.store), Stop(), Listener())
    engine.close()


def unfinished(batch: Batch) -> bool:
    """Whether a run has not succeeded yet."""
    ended = attempts(open_store(batch.store), NAME)
    return any(
        State.SUCCEEDED not in [one.state for one in ended.get(run.run_id, ())]
        for run in batch.runs
    )


def kill_one(kind: str, seconds: float, chance: random.Random, mark: str) -> bool:
    """Kill a process of a kind, some seconds after there is one; False where none is then."""
    patience_ends = time.monotonic() + KIND_SECONDS
    while time.monotonic() < patience_ends:
        if any(kind_of(one) == kind for one in marked(mark)):
            time.sleep(seconds)
            found = [one for one in marked(mark) if kind_of(one) == kind]
            return bool(found) and end(chance.choice(found))
        time.sleep(0.05)
    return False


def marked(mark: str) -> Iterator[psutil.Process]:
    """Yield all living processes that bear the mark."""
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue


def kind_of(process: psutil.Process) -> str:
    """Tell a batch's processes apart by what they were started as."""
    try:
        words = " ".join(process.cmdline())
        if "batch_kills.py" in words:
            return RUNNER
        if "ipykernel" in words:
            return KERNEL
        parent = process.parent()
        is_fork = parent and "attempts.nursery" in " ".join(parent.cmdline())
        return CHILD if is_fork else NURSERY
    except psutil.Error:
        return "gone"


def end(process: psutil.Process) -> bool:
    """Kill a process; False where it ended by itself before."""
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.Error:
        return False
    return True


def finish(
    batch: Batch,
    folder: Path,
    mark: str,
    siege: Siege,
    working: list[subprocess.Popen[bytes]],
) -> None:
    """Let the runners come to their ends, and others after them until all is done."""
    patience_ends = time.monotonic() + END_SECONDS
    for one in working:
        one.wait(END_SECONDS)
    while True:
        one = start_runner(folder, mark, siege)
        if one.wait(END_SECONDS):
            siege.faults.append(f"a runner nobody killed ended with {one.returncode}")
        if not unfinished(batch):
            return
        if time.monotonic() > patience_ends:
            siege.faults.append("the batch doesn't come to its end")
            return


def faults(batch: Batch, mark: str) -> list[str]:
    """List all that is wrong with what a batch has left."""
    found = []
    store = open_store(batch.store)
    ended = attempts(store, NAME)
    for run in batch.runs:
        states = [one.state for one in ended.get(run.run_id, ())]
        if states.count(State.SUCCEEDED) != 1:
            found.append(f"{run.run_id} succeeded {states.count(State.SUCCEEDED)} times")
    if strangers := ended.keys() - {run.run_id for run in batch.runs}:
        found.append(f"runs from nowhere: {strangers}")
    top = Path(batch.store) / NAME
    for path in [*top.rglob("*"), *top.glob(".*")]:
        inner = path.relative_to(top).parts
        if inner[0] == ".work" or (inner[0] == ".runners" and path.is_file()):
            found.append(f"left behind: {path}")
        if path.is_dir() and len(inner) == 2 and not (path / attempt.STATUS).is_file():
            found.append(f"no status in {path}")
        if path.is_file() and (wrong := unreadable(path)):
            found.append(f"{path} is not whole: {wrong}")
    for run_id, statuses in ended.items():
        for one in statuses:
            if one.state == State.SUCCEEDED:
                found += incomplete(top / run_id / str(one.attempt))
    patience_ends = time.monotonic() + 20
    while (left := list(marked(mark))) and time.monotonic() < patience_ends:
        time.sleep(0.1)
    return found + [f"a process is left: {kind_of(one)} {one}" for one in left]


def unreadable(path: Path) -> str:
    """Say why a file can't be read as what it is; "" where it can."""
    try:
        match path.name:
            case attempt.NOTEBOOK:
                nbformat.validate(nbformat.read(path, as_version=4))
            case attempt.EVENTS:
                for line in path.read_text().splitlines():
                    Event.model_validate_json(line)
            case _ if path.suffix == ".json":
                json.loads(path.read_bytes())
    except Exception as error:
        return str(error)
    return ""


def incomplete(folder: Path) -> list[str]:
    """List what a successful attempt lacks."""
    found = []
    if len(records.read(folder / attempt.RECORDS)) != 4:
        found.append(f"{folder}: not all is recorded")
    if "done" not in (folder / attempt.NOTEBOOK).read_text():
        found.append(f"{folder}: the notebook wasn't executed to its end")
    return found


def report(seed: int, siege: Siege) -> str:
    """Say in a line what was done to a batch, and what it did."""
    kills = ", ".join(f"{number} of a {kind}" for kind, number in siege.kills.items())
    ends = ", ".join(f"{number} {state}" for state, number in siege.attempts.items())
    return (
        f"seed {seed}: {siege.runs} runs, {siege.kills.total()} kills ({kills}),"
        f" {siege.runners} runners, {siege.seconds:.0f} s; attempts: {ends}\n"
    )


def main() -> int:
    """Besiege batches as the command line says, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--runners", type=int, default=1, help="at once, on one store")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.work)
        return 0
    left, seed, wrong = asked.kills, asked.seed, 0
    while left > 0:
        with tempfile.TemporaryDirectory() as folder:
            siege = besiege(
                Path(folder), kills=left, runs=asked.runs, runners=asked.runners, seed=seed
            )
            sys.stdout.write(report(seed, siege))
            for fault in siege.faults:
                sys.stdout.write(f"  FAULT: {fault}\n")
            if siege.faults:
                sys.stdout.write((Path(folder) / "runners.log").read_text()[-5000:])
            sys.stdout.flush()
        left, seed, wrong = left - siege.kills.total(), seed + 1, wrong + len(siege.faults)
    sys.stdout.write(f"{wrong or 'no'} faults\n")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
