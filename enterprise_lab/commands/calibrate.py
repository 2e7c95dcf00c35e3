"""The command `elab calibrate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from enterprise_lab.measure.records import Record


def calibrate(
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Measure again, also where rates were kept.")
    ] = False,
    recorded: Annotated[
        bool,
        typer.Option("--recorded", help="Show the rates that come with the package instead."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write records for programs.")] = False,
) -> None:
    """Measure how fast this machine multiplies matrices and copies memory, in under 20 seconds.

    The rates are kept in your cache folder, where estimates for this machine find them, and are
    shown again without measuring until you say --fresh. Let nothing else run meanwhile: rates
    that other processes disturbed are shown, and not kept.
    """
    found = _recorded() if recorded else _rates(fresh)
    if not recorded:
        _warn_if_disturbed(found)
    if as_json:
        import json

        typer.echo(json.dumps([one.model_dump(mode="json") for one in found], indent=2))
        return
    _show(found)


def _recorded() -> Sequence[Record]:
    from enterprise_lab.measure.records import recorded

    return recorded("cpu_rates")


def _rates(fresh: bool) -> Sequence[Record]:
    """Return the rates that were kept, or measure them with a bar on the error stream."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from enterprise_lab.measure import calibrate as calibration

    found = [] if fresh else calibration.kept()
    if found:
        return found
    console = Console(stderr=True)
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=1.0)
        return calibration.calibrate(
            calibration.BUDGET_SECONDS,
            lambda name, share: bar.update(task, description=name, completed=share),
        )


def _warn_if_disturbed(found: Sequence[Record]) -> None:
    from enterprise_lab.measure.rates import disturbed

    if disturbed(found):
        typer.echo(
            "This machine is busy: rates vary too much to rely on. They are not kept.\n"
            "Run `elab calibrate --fresh` again when nothing else runs.",
            err=True,
        )


def _show(found: Sequence[Record]) -> None:
    from rich.console import Console
    from rich.table import Table

    from enterprise_lab.measure.rates import describe
    from enterprise_lab.units import format_figure, format_range

    console = Console(highlight=False)
    for device in dict.fromkeys(one.device for one in found):
        rows = [one for one in found if one.device == device]
        title = f"{device}: {rows[0].origin} {rows[0].time:%Y-%m-%d %H:%M} UTC"
        table = Table(title=title, title_justify="left")
        for name in ("library", "what", "rate", "low to best"):
            table.add_column(name, justify="left" if name in ("library", "what") else "right")
        for one in rows:
            table.add_row(
                str(one.parameters["library"]),
                describe(one),
                format_figure(one.value, one.unit),
                format_range(one.value, one.low, one.high, one.unit),
            )
        console.print(table)
