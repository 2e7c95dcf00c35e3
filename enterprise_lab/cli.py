"""The command `elab`."""

from __future__ import annotations

import sys
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


def main() -> None:
    """Run the command line: a user's mistake is two sentences on stderr and exit code 2."""
    try:
        app()
    except LabError as error:
        typer.echo(f"elab: {error.problem}\n{error.remedy}", err=True)
        sys.exit(2)
