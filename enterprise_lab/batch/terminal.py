"""What `elab batch` shows on the terminal."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from enterprise_lab.batch import comparison, store
from enterprise_lab.batch.check import Batch, Run, check_plan
from enterprise_lab.batch.results import RUN_SECONDS, Result, collect, write_table
from enterprise_lab.batch.runner import pending, run_pending
from enterprise_lab.batch.store import State, Status
from enterprise_lab.errors import LabError
from enterprise_lab.units import format_seconds

_COLOURS = {State.SUCCEEDED: "green", State.QUEUED: "dim", State.CANCELLED: "yellow"}
_METRICS_SHOWN = 3


def _console() -> Console:
    # A log has no width of its own; 80 columns would fold every line.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def check(plan: Path, runs_folder: Path) -> None:
    """Check a plan and list its runs; PlanError when it cannot be run."""
    batch = check_plan(plan, runs_folder)
    console = _console()
    done = len(batch.runs) - len(pending(batch))
    console.print(f"{escape(str(plan))} is sound: {len(batch.runs)} runs, {done} of them done.")
    names = comparison.varying_parameters(batch.runs)
    table = Table("run", *names)
    for run in batch.runs:
        table.add_row(run.run_id, *(escape(comparison.value(run, n)) for n in names))
    console.print(table)


def run(plan: Path, runs_folder: Path) -> int:
    """Run what is pending of a plan, write the table and the report; return the exit code."""
    batch = check_plan(plan, runs_folder)
    console = _console()
    try:
        with store.alone(batch.folder):
            cancelled = _run_all(console, batch)
            results = collect(batch)
            write_table(batch, results)
            from enterprise_lab.batch.report import write_report

            page = write_report(batch, results)
    except OSError as error:
        raise LabError(
            f"Outputs cannot be written to {batch.folder}: {error.strerror or error}.",
            "Free some space, or give another folder with --runs, and run the plan again.",
        ) from error
    console.print(_summary(results))
    console.print(f"report: {escape(str(page))}", soft_wrap=True)
    if cancelled:
        console.print("Interrupted. The same command goes on where this one stopped.")
        return 130
    return int(any(r.state != State.SUCCEEDED for r in results))


def _run_all(console: Console, batch: Batch) -> bool:
    """Run what is pending, a line each; return whether a Ctrl-C cut the batch off."""
    todo = {run.run_id for run in pending(batch)}
    console.print(
        f"{escape(batch.title)}: {len(batch.runs)} runs,"
        f" {len(batch.runs) - len(todo)} done already, results in {escape(str(batch.folder))}",
        soft_wrap=True,
    )
    names = comparison.independent_parameters(batch.runs)
    for run in batch.runs:
        if run.run_id not in todo:
            console.print(_line("done before", "dim", None, run, names), soft_wrap=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    state = None
    with bar:
        task = bar.add_task("", total=len(todo))
        for run, status in run_pending(batch):
            if status is None:
                bar.update(task, description=escape(comparison.description(run, names)))
                continue
            state = status.status
            colour = _COLOURS.get(state, "red")
            console.print(_line(state, colour, status, run, names), soft_wrap=True)
            bar.advance(task)
    return state == State.CANCELLED


def _line(word: str, colour: str, status: Status | None, run: Run, names: list[str]) -> str:
    seconds = f"{status.run_seconds:7.1f} s" if status else " " * 9
    error = f"\n    {escape(status.error)}" if status and status.error else ""
    return f"[{colour}]{word:<11}[/] {seconds}  {escape(comparison.description(run, names))}{error}"


def _summary(results: list[Result]) -> Table:
    """Tabulate a row a run: what tells it apart, how it ended, and the figures runs share."""
    names = comparison.independent_parameters([r.run for r in results])
    shared = comparison.shared_series(results)
    series = [s for s in shared if s.metric != RUN_SECONDS][:_METRICS_SHOWN]
    names = names or [comparison.NOTEBOOK]
    table = Table()
    for heading in (*names, "status", "run time"):
        table.add_column(heading, overflow="fold")
    for one in series:
        table.add_column(f"{one.label}\n({one.origin})", justify="right")
    for result in results:
        colour = _COLOURS.get(result.state, "red")
        figures = (one.text(result) for one in series)
        seconds = format_seconds(result.status.run_seconds) if result.status else ""
        table.add_row(
            *(escape(comparison.value(result.run, n)) for n in names),
            f"[{colour}]{result.state}[/]",
            seconds,
            *figures,
        )
    return table
