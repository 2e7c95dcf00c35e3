"""A batch from its first run to its report, as `elab batch run` does it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from enterprise_lab.batch import tables
from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.engine import Engine, Stop
from enterprise_lab.batch.reports import comparison
from enterprise_lab.batch.reports.report import write_report
from enterprise_lab.batch.reports.results import Result, collect, write_table
from enterprise_lab.batch.run import Batch
from enterprise_lab.batch.runner import run_batch
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.store import Store, open_store
from enterprise_lab.batch.terminal import Display
from enterprise_lab.batch.termination import TERMINATED, notices
from enterprise_lab.errors import LabError


@dataclass(frozen=True)
class Done:
    """What came of it: every run of the plan, the exit code, and the report's place.

    No report is written after a termination notice: the machine is about to be taken away.
    """

    results: list[Result]
    exit_code: int
    report: str = ""


def run(
    batch: Batch, engine: Engine, console: Console, *, notice_file: Path | None, mlflow: str | None
) -> Done:
    """Run what is pending of a batch, showing how it goes; then write the table and the report."""
    store = open_store(batch.store)
    before = collect(batch, store)
    telling = comparison.independent_parameters(before)
    names = {one.run_id: comparison.description(one, telling) for one in before}
    done = {one.run_id for one in before if one.state == State.SUCCEEDED}
    todo = {run.run_id: run for run in batch.runs if run.run_id not in done}
    console.print(
        f"{escape(batch.title)}: {len(batch.runs)} runs, {len(done)} of them done already,"
        f" results in {escape(batch.store)}",
        soft_wrap=True,
    )
    stop = Stop()
    with notices(stop, notice_file) as noticed:
        with Display(console, names, todo) as display:
            run_batch(batch, engine, store, stop, display)
        results = collect(batch, store)
        report = "" if noticed.exit_code == TERMINATED else _report(batch, store, results)
    tables.show_results(console, results, ledger.running(store, batch.name))
    if report:
        console.print(f"report: {report}", soft_wrap=True, markup=False)
    is_logged = not (report and mlflow) or _track(batch, store, results, mlflow, console)
    if noticed.exit_code is None:
        is_done = is_logged and all(one.state == State.SUCCEEDED for one in results)
        return Done(results, int(not is_done), report)
    console.print(
        f"Stopped: {stop.reason}. The same command goes on where this one stopped.", markup=False
    )
    return Done(results, noticed.exit_code, report)


def _report(batch: Batch, store: Store, results: list[Result]) -> str:
    write_table(batch.name, store, results)
    return write_report(batch, store)


def _track(
    batch: Batch, store: Store, results: list[Result], mlflow: str, console: Console
) -> bool:
    """Log the runs to MLflow; say so where that can't be done, which undoes no run."""
    from enterprise_lab.batch.reports.tracking import track

    try:
        track(results, mlflow, batch.name, store)
    except LabError as error:
        console.print(f"{error.problem}\n{error.remedy}", soft_wrap=True, markup=False)
        return False
    return True
