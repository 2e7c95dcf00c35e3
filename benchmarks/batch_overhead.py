"""What the batch runner adds to papermill: seconds a run, throughput of two slots, memory.

    python benchmarks/batch_overhead.py [--repeats 9] [--runs 500]

Bare papermill executes each notebook in one warm process. Ours makes attempts on the local engine,
one at a time; the two take turns, and medians are compared. Two slots are compared with one on
notebooks that wait about half of their time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path

import nbformat
import papermill
import psutil
from nbformat.v4 import new_code_cell, new_notebook
from rich.console import Console
from rich.table import Table

from enterprise_lab.batch.attempt import Ended, Job, State
from enterprise_lab.batch.engine import Stop
from enterprise_lab.batch.engines.local import LocalEngine

PARAMETERS = "seconds: float = 1.0"
NOTEBOOKS = {
    "trivial": ["print(seconds)"],
    "ten cells": [f"print({k}, seconds)" for k in range(10)],
    "five seconds": ["import time\ntime.sleep(seconds)"] * 5,
}
HALF_BUSY = """\
import time
for _ in range(20):
    end = time.process_time() + 0.05 * seconds
    while time.process_time() < end:
        pass
    time.sleep(0.1 * seconds)
"""


def content(code: list[str]) -> str:
    """Return the JSON of a notebook of some code cells."""
    parameters = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    notebook = new_notebook(cells=[parameters, *map(new_code_cell, code)])
    return nbformat.writes(notebook)


class Bare:
    """Papermill in a warm process of its own, told one folder a line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--bare"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def execute(self, notebook: str) -> float:
        """Execute a notebook and return the seconds it took."""
        folder = Path(tempfile.mkdtemp())
        (folder / "in.ipynb").write_text(notebook, encoding="utf-8")
        clock = time.monotonic()
        self._process.stdin.write(f"{folder}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"
        seconds = time.monotonic() - clock
        shutil.rmtree(folder)
        return seconds

    def close(self) -> None:
        """End the process."""
        self._process.stdin.close()
        self._process.wait()


def be_bare() -> None:
    """Execute a notebook in each folder that standard input names."""
    for line in sys.stdin:
        os.chdir(line.strip())
        papermill.execute_notebook(
            "in.ipynb",
            "out.ipynb",
            parameters={"seconds": 1.0},
            kernel_name="python3",
            language="python",
            progress_bar=False,
        )
        sys.stdout.write("done\n")
        sys.stdout.flush()


def start(engine: LocalEngine, notebook: str, folder: Path) -> Future[Ended]:
    """Start an attempt."""
    job = Job(
        run_id="abc",
        attempt=1,
        notebook="in.ipynb",
        content=notebook,
        parameters={"seconds": 1.0},
        deadline_seconds=600,
    )
    return engine.start(engine.nodes()[0].name, job, folder, Stop(), lambda _: None)


def ours(engine: LocalEngine, notebook: str, slots: int = 1, runs: int = 1) -> float:
    """Make attempts in so many slots and return how long that took."""
    folders = [Path(tempfile.mkdtemp()) for _ in range(runs)]
    waiting = list(folders)
    clock = time.monotonic()
    busy: list[Future[Ended]] = []
    while waiting or busy:
        while waiting and len(busy) < slots:
            busy.append(start(engine, notebook, waiting.pop()))
        ended = next((f for f in busy if f.done()), None)
        if ended is None:
            time.sleep(0.002)
            continue
        busy.remove(ended)
        assert ended.result().state is State.SUCCEEDED, ended.result()
    seconds = time.monotonic() - clock
    for folder in folders:
        shutil.rmtree(folder)
    return seconds


def overhead(engine: LocalEngine, repeats: int) -> Table:
    """Compare one run at a time with papermill alone."""
    table = Table("notebook", "bare", "ours", "difference", "share", title="Overhead, medians")
    bare = Bare()
    for name, code in NOTEBOOKS.items():
        notebook = content(code)
        bare.execute(notebook), ours(engine, notebook)
        pairs = [(bare.execute(notebook), ours(engine, notebook)) for _ in range(repeats)]
        before = statistics.median(b for b, _ in pairs)
        after = statistics.median(o for _, o in pairs)
        table.add_row(
            name,
            f"{before:.3f} s",
            f"{after:.3f} s",
            f"{after - before:+.3f} s",
            f"{after / before - 1:+.1%}",
        )
    bare.close()
    return table


def throughput(engine: LocalEngine, repeats: int) -> Table:
    """Compare two slots with one."""
    table = Table("slots", "runs", "seconds", "gain", title="Throughput, medians")
    notebook = content([HALF_BUSY])
    runs = 4
    pairs = [
        (ours(engine, notebook, 1, runs), ours(engine, notebook, 2, runs)) for _ in range(repeats)
    ]
    one = statistics.median(one for one, _ in pairs)
    two = statistics.median(two for _, two in pairs)
    table.add_row("1", str(runs), f"{one:.2f} s", "")
    table.add_row("2", str(runs), f"{two:.2f} s", f"{one / two:.2f}")
    return table


def memory(engine: LocalEngine, runs: int) -> Table:
    """Look at the process of the engine while it makes many attempts."""
    table = Table("after runs", "memory", "open files", "threads", title="The engine's process")
    me = psutil.Process()
    notebook = content(NOTEBOOKS["trivial"])
    for done in range(0, runs + 1, max(1, runs // 10)):
        table.add_row(
            str(done),
            f"{me.memory_info().rss / 1e6:.1f} MB",
            str(me.num_fds()),
            str(me.num_threads()),
        )
        if done < runs:
            ours(engine, notebook, slots=2, runs=max(1, runs // 10))
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--runs", type=int, default=0, help="trivial runs for the memory's table")
    arguments = parser.parse_args()
    if arguments.bare:
        be_bare()
        return
    engine = LocalEngine()
    console = Console()
    try:
        console.print(overhead(engine, arguments.repeats))
        console.print(throughput(engine, max(1, arguments.repeats // 3)))
        if arguments.runs:
            console.print(memory(engine, arguments.runs))
    finally:
        engine.close()


if __name__ == "__main__":
    main()
