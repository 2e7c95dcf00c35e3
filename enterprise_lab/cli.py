"""The command `elab`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from enterprise_lab import __version__
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
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_show_version, help="Show the version and leave.")
    ] = False,
) -> None:
    """Options of every command."""


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

    make(Path.cwd(), everything, typer.echo)


@release_app.command("check")
def release_check() -> None:
    """List everything that keeps the labs from being released; exit with 1 if there is anything."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from enterprise_lab.authoring.check import check

    faults = check(Path.cwd(), typer.echo)
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

    grade_submissions(Path.cwd(), submissions, csv, cell_seconds, typer.echo)


def main() -> None:
    """Run the command line: a user's mistake is two sentences on stderr and exit code 2."""
    try:
        app()
    except LabError as error:
        typer.echo(f"elab: {error.problem}\n{error.remedy}", err=True)
        sys.exit(2)
