"""The command `elab batch`: check, run, status, report, compare, schema."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from enterprise_lab.batch.attempt import Status
    from enterprise_lab.batch.engine import Engine
    from enterprise_lab.batch.plans.budget import Total
    from enterprise_lab.batch.reports.results import Result
    from enterprise_lab.batch.run import Batch
    from enterprise_lab.errors import LabError

OVER_BUDGET = 3

batch_app = typer.Typer(
    no_args_is_help=True, help="Run notebooks over parameters on a machine or a cluster; compare."
)


class EngineName(StrEnum):
    """Where attempts are made."""

    LOCAL = "local"
    RAY = "ray"


PlanArgument = Annotated[Path, typer.Argument(help="The plan file: batches/NAME.yaml.")]
StoreOption = Annotated[
    str | None,
    typer.Option("--store", help="Where results are kept, instead of the plan's: folder or URL."),
]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="This machine, or a cluster.")]
AddressOption = Annotated[
    str | None,
    typer.Option("--address", help="Of a Ray cluster: HOST:PORT or auto. None: one of its own."),
]
SlotsOption = Annotated[
    int | None,
    typer.Option("--slots", min=1, max=256, help="Runs without GPUs side by side on a machine."),
]
UsdOption = Annotated[
    float | None, typer.Option("--max-usd", min=0, help="Refuse a plan that may cost more.")
]
HoursOption = Annotated[
    float | None, typer.Option("--max-hours", min=0, help="Refuse a plan that may take longer.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write the answer for programs.")]


@batch_app.command("check")
def check(
    plan: PlanArgument,
    store: StoreOption = None,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    slots: SlotsOption = None,
    max_usd: UsdOption = None,
    max_hours: HoursOption = None,
    as_json: JsonOption = False,
) -> None:
    """List all that is wrong with a plan; else its runs, with time, memory and dollars predicted.

    Runs nothing. Exits with 0 when the plan is sound, 2 when it is not, 3 when it may take longer
    or cost more than allowed.
    """
    from enterprise_lab.batch import tables
    from enterprise_lab.batch.reports.results import collect
    from enterprise_lab.batch.stores.store import open_store

    with _problems_as_json(as_json), _engine(engine, address) as machines:
        batch = _checked(plan, store, slots, machines)
        results = _as_predicted_now(batch, collect(batch, open_store(batch.store)))
        total = _left(batch, results, machines)
    over = _over(total, max_usd, max_hours)
    if as_json:
        _write_json(tables.batch_as_rows(batch, results, total) | _problem_rows(over))
    else:
        tables.show_batch(tables.console(), batch, results, total)
    _say(over)
    if over:
        raise typer.Exit(OVER_BUDGET)


@batch_app.command("run")
def run(
    plan: PlanArgument,
    store: StoreOption = None,
    engine: EngineOption = EngineName.LOCAL,
    address: AddressOption = None,
    slots: SlotsOption = None,
    max_usd: UsdOption = None,
    max_hours: HoursOption = None,
    notice: Annotated[
        Path | None,
        typer.Option("--notice", help="A file that appears when this machine is to be taken away."),
    ] = None,
    mlflow: Annotated[
        str | None, typer.Option("--mlflow", help="A tracking URI to log the runs to as well.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run what has not succeeded yet; then write the table and the report.

    Exits with 0 when all runs have succeeded, 1 when one has not, 2 when the plan is wrong, 3 when
    it may take longer or cost more than allowed, 130 after Ctrl-C, and 143 after a termination
    notice: SIGTERM, or the file of --notice. The same command goes on where it stopped.
    """
    from enterprise_lab.batch import session, tables
    from enterprise_lab.batch.reports.results import collect
    from enterprise_lab.batch.stores.store import open_store

    console = tables.console(for_programs=as_json)
    with _problems_as_json(as_json), _engine(engine, address) as machines:
        batch = _checked(plan, store, slots, machines)
        results = collect(batch, open_store(batch.store))
        if over := _over(_left(batch, results, machines), max_usd, max_hours):
            if as_json:
                _write_json(_problem_rows(over))
            _say(over)
            raise typer.Exit(OVER_BUDGET)
        done = session.run(batch, machines, console, notice_file=notice, mlflow=mlflow)
    if as_json:
        _write_json(tables.results_as_rows(batch, done.results) | {"report": done.report})
    raise typer.Exit(done.exit_code)


@batch_app.command("status")
def status(plan: PlanArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Say how every run of a plan stands."""
    from enterprise_lab.batch import tables
    from enterprise_lab.batch.reports.results import collect
    from enterprise_lab.batch.stores import ledger
    from enterprise_lab.batch.stores.store import open_store

    with _problems_as_json(as_json):
        batch = _checked(plan, store)
        place = open_store(batch.store)
        under_way = ledger.running(place, batch.name)
        results = collect(batch, place)
    if as_json:
        _write_json(tables.results_as_rows(batch, results, under_way))
    else:
        tables.show_results(tables.console(), results, under_way)


@batch_app.command("report")
def report(plan: PlanArgument, store: StoreOption = None) -> None:
    """Write the table and the report of what a plan's runs have left so far."""
    from enterprise_lab.batch.reports.report import write_report
    from enterprise_lab.batch.reports.results import collect, write_table
    from enterprise_lab.batch.stores.store import open_store

    batch = _checked(plan, store)
    place = open_store(batch.store)
    write_table(batch.name, place, collect(batch, place))
    typer.echo(write_report(batch, place))


@batch_app.command("compare")
def compare(
    a: Annotated[str, typer.Argument(help="A batch's results: STORE/NAME, such as runs/starter.")],
    b: Annotated[str, typer.Argument(help="Those to compare with it.")],
    page: Annotated[
        Path | None, typer.Option("--page", help="Write the page with all pairs there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what got slower, dearer or worse from A to B, and whether that is more than noise.

    Runs are paired by notebook and parameters. Exits with 1 where something got worse: a metric
    over all pairs or in one of them, or a run that succeeded in A and not in B. Exits with 2 where
    there are no pairs.
    """
    from enterprise_lab.batch.compare_table import show_comparison
    from enterprise_lab.batch.reports.compare import compare
    from enterprise_lab.batch.reports.compare_page import compare_page
    from enterprise_lab.batch.tables import console
    from enterprise_lab.errors import LabError

    with _problems_as_json(as_json):
        found = compare(_kept(a), _kept(b))
    if page:
        page.write_text(compare_page(found, a, b), encoding="utf-8")
    if as_json:
        _write_json(found.as_rows())
    else:
        show_comparison(console(), found)
    if not found.pairs:
        raise LabError(
            f"No run of {a} has its like in {b}.",
            "Compare batches of the same notebooks with the same parameters.",
        )
    raise typer.Exit(int(found.is_worse))


@batch_app.command("schema")
def schema() -> None:
    """Write the JSON schema of plan files, for editors."""
    import json

    from enterprise_lab.batch.plans.schema import schema

    typer.echo(json.dumps(schema(), indent=2))


@contextmanager
def _engine(name: EngineName, address: str | None) -> Iterator[Engine]:
    from enterprise_lab.errors import InvalidValueError

    machines: Engine
    if name == EngineName.RAY:
        from enterprise_lab.batch.engines.ray_engine import RayEngine

        machines = RayEngine(address)
    elif address is not None:
        raise InvalidValueError(
            "--address is that of a Ray cluster.", "Add --engine ray, or leave it out."
        )
    else:
        from enterprise_lab.batch.engines.local import LocalEngine

        machines = LocalEngine()
    try:
        yield machines
    finally:
        machines.close()


def _checked(
    plan: Path, store: str | None, slots: int | None = None, machines: Engine | None = None
) -> Batch:
    """Check a plan; with an engine, for its machines, and with predictions."""
    from enterprise_lab.batch.plans.check import check_plan
    from enterprise_lab.measure.this_machine import this_machine

    if machines is None:
        return check_plan(plan, store, earlier=_earlier)
    return check_plan(
        plan,
        store,
        slots=slots,
        nodes=machines.nodes(),
        processor=cache(this_machine),
        earlier=_earlier,
    )


def _kept(batch: str) -> list[Result]:
    from enterprise_lab.batch.reports.results import collect_all
    from enterprise_lab.batch.stores.store import open_store
    from enterprise_lab.errors import LabError

    store, _, name = batch.rstrip("/").rpartition("/")
    found = collect_all(open_store(store or "."), name)
    if not found:
        raise LabError(
            f"{batch} holds no runs of a batch.", "Give a store and a plan's name: runs/starter."
        )
    return found


def _earlier(store: str, name: str) -> Iterator[Status]:
    from enterprise_lab.batch.stores import ledger
    from enterprise_lab.batch.stores.store import open_store

    for attempts in ledger.attempts(open_store(store), name).values():
        yield from attempts


def _as_predicted_now(batch: Batch, results: Sequence[Result]) -> list[Result]:
    """Put what is predicted of the runs in place of what was before they were first made."""
    return [
        replace(one, predicted=run.predicted, usd_per_hour=run.usd_per_hour)
        for one, run in zip(results, batch.runs, strict=True)
    ]


def _left(batch: Batch, results: Sequence[Result], machines: Engine) -> Total:
    """Add up what is predicted of the runs that have not succeeded yet."""
    from enterprise_lab.batch.attempt import State
    from enterprise_lab.batch.plans.budget import total

    done = {one.run_id for one in results if one.state == State.SUCCEEDED}
    left = [run for run in batch.runs if run.run_id not in done]
    return total(left, batch.slots, machines.nodes())


def _over(found: Total, max_usd: float | None, max_hours: float | None) -> LabError | None:
    from enterprise_lab.batch.plans.budget import over

    return over(found, max_usd, max_hours)


def _say(error: LabError | None) -> None:
    if error:
        typer.echo(f"elab: {error.problem}\n{error.remedy}", err=True)


@contextmanager
def _problems_as_json(as_json: bool) -> Iterator[None]:
    """Write what is wrong for programs, too, where they asked."""
    from enterprise_lab.errors import LabError

    try:
        yield
    except LabError as error:
        if as_json:
            _write_json(_problem_rows(*getattr(error, "problems", (error,))))
        raise


def _problem_rows(*errors: LabError | None) -> dict[str, Any]:
    return {"problems": [{"problem": e.problem, "remedy": e.remedy} for e in errors if e]}


def _write_json(content: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(content, indent=2))
