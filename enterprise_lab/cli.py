"""The command `elab`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from enterprise_lab import __version__
from enterprise_lab.commands import calibrate, doctor, validate
from enterprise_lab.commands.batch import batch_app
from enterprise_lab.commands.data import data_app
from enterprise_lab.commands.estimate import estimate_app
from enterprise_lab.errors import LabError

app = typer.Typer(
    name="elab",
    help="Say what an AI workload needs, run it, measure it, explain the difference.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, help="Show the version and leave.")
    ] = False,
) -> None:
    """Options of every command."""


app.command()(doctor.doctor)
app.command()(calibrate.calibrate)
app.command()(validate.validate)
app.add_typer(estimate_app, name="estimate")
app.add_typer(data_app, name="data")
app.add_typer(batch_app, name="batch")

release_app = typer.Typer(help="Make and check what students get.", no_args_is_help=True)
app.add_typer(release_app, name="release")


@release_app.command("make")
def release_make(
    everything: Annotated[
        bool,
        typer.Option("--all", help="Run every solution again, also where its code is unchanged."),
    ] = False,
) -> None:
    """Bring the executed solutions and the student notebooks up to date with the scripts.

    A solution is run when its code changed; use --all when the package it shows changed.
    """
    from enterprise_lab.authoring.release import make

    make(Path(), everything, typer.echo)


@release_app.command("check")
def release_check() -> None:
    """List everything that keeps the labs from being released; exit with 1 if there is anything."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from enterprise_lab.authoring.check import check

    faults = check(Path(), typer.echo)
    if not faults:
        typer.echo("The labs can be released.")
        return
    table = Table("lab", "what is wrong", "what to do", show_lines=True)
    for fault in faults:
        table.add_row(fault.lab, Text(fault.problem), Text(fault.remedy))
    Console().print(table)
    raise typer.Exit(1)


@app.command()
def grade(
    submissions: Annotated[
        Path, typer.Argument(help="A folder that holds STUDENT/NN_name/name.ipynb.")
    ],
    csv: Annotated[Path, typer.Option("--csv", help="The file to write the scores to.")],
    cell_seconds: Annotated[
        int, typer.Option(min=1, help="How long one cell of a submission may run.")
    ] = 60,
) -> None:
    """Autograde submissions and write every student's scores as a table.

    This runs students' code with your rights, on this machine: nothing here confines it. Do it
    in a container or on a machine that holds nothing you would miss or keep secret.
    """
    from enterprise_lab.authoring.grade import grade_submissions

    grade_submissions(Path(), submissions, csv, cell_seconds, typer.echo)


catalog_app = typer.Typer(
    help="Look facts up: chips, EC2 instances, prices, models; with sources and dates.",
    no_args_is_help=True,
)
app.add_typer(catalog_app, name="catalog")

CatalogText = Annotated[str, typer.Argument(help="Only what mentions these words.")]


@catalog_app.command("accelerators")
def catalog_accelerators(text: CatalogText = "") -> None:
    """List accelerators with their dense peak rates and memory."""
    from enterprise_lab import catalog

    _print_rows("accelerator", text, catalog.accelerators)


@catalog_app.command("instances")
def catalog_instances(text: CatalogText = "") -> None:
    """List EC2 instance types with their newest on-demand price and its date."""
    from functools import partial

    from enterprise_lab import catalog

    _print_rows("EC2 instance", text, partial(catalog.instances, include_retired=True))


@catalog_app.command("models")
def catalog_models(text: CatalogText = "") -> None:
    """List published Transformers with their shapes and parameter counts."""
    from enterprise_lab import catalog

    _print_rows("model", text, catalog.models)


@catalog_app.command("retired")
def catalog_retired(text: CatalogText = "") -> None:
    """List offerings that courses still name, and what replaced them."""
    from enterprise_lab import catalog

    _print_rows("retired offering", text, catalog.retired)


@catalog_app.command("show")
def catalog_show(name: str) -> None:
    """Show everything about one chip, instance, model or retired offering, with its source."""
    from rich.console import Console

    from enterprise_lab import catalog
    from enterprise_lab.catalog.console import RowCard

    Console().print(RowCard(catalog.entry(name)))


def _print_rows(kind: str, text: str, rows_about: Callable[[str], Sequence[Any]]) -> None:
    from rich.console import Console

    from enterprise_lab.catalog.console import RowTable
    from enterprise_lab.errors import UnknownNameError

    rows = rows_about(text)
    if not rows:
        raise UnknownNameError(kind, text, [row.name for row in rows_about("")])
    Console().print(RowTable(rows))


def main() -> None:
    """Run the command line: a user's mistake is two sentences on stderr and exit code 2."""
    try:
        app()
    except KeyboardInterrupt:
        typer.echo("elab: interrupted.", err=True)
        sys.exit(130)
    except LabError as error:
        problem, remedy = error.problem, error.remedy
    except OSError as error:
        problem = f"{error.filename or 'The system'}: {error.strerror}."
        remedy = "Check that the disk has space and that you may read and write there."
    else:
        return
    typer.echo(f"elab: {problem}\n{remedy}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
