"""The command `elab validate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Column

    from enterprise_lab.estimate.validation import HeldOut


def validate(
    refit: Annotated[
        bool,
        typer.Option("--refit", help="Fit everything again here, without each fold (minutes)."),
    ] = False,
    worst: Annotated[int, typer.Option(min=0, help="How many of the worst rows to list.")] = 10,
    page: Annotated[
        Path | None, typer.Option(help="Write the page of the docs and its pictures there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write every row for programs.")] = False,
) -> None:
    """Say how far off estimates are, always on rows that the calibration had not seen.

    Rows are left out by fold (all rows of one model, framework or chip), the time model is fitted
    to the others, and the left-out rows are predicted. Errors are shares of what was observed;
    coverage is the share of rows in their 80 % interval. Shown are the figures that came with
    this version; with --refit they are made again.
    """
    from enterprise_lab.estimate.validation import held_out

    rows = _refitted() if refit else held_out()
    if page:
        from enterprise_lab.commands.validation_page import write_page

        for file in write_page(rows, page):
            typer.echo(file)
        return
    if as_json:
        import json

        typer.echo(json.dumps([_for_programs(row) for row in rows], indent=2))
        return
    _show(rows, worst)


def _for_programs(row: HeldOut) -> dict[str, object]:
    known = row.model_dump(mode="json", exclude={"unverified", "note"})
    return known | {"error": row.error, "covered": row.covered}


def _refitted() -> list[HeldOut]:
    from rich.console import Console
    from rich.progress import Progress

    from enterprise_lab.commands.observed import memory_peaks, observed
    from enterprise_lab.estimate.calibration import calibration
    from enterprise_lab.estimate.validation import cross_validate, fold_count, with_intervals

    observations = observed()
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("fits without a fold", total=fold_count(observations))
        rows = cross_validate(observations, calibration(), lambda: progress.advance(task))
    peaks = memory_peaks()
    return rows + with_intervals(peaks, peaks.predict())


def _show(rows: Sequence[HeldOut], worst: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from enterprise_lab.estimate.validation import impossible, scores, worst_rows

    console = Console()
    table = Table(
        "family", *(_right(name) for name in ("rows", "median error", "90th percentile", "bias",
                                              "coverage")),
        title="Left-out rows: predicted beside observed", title_justify="left",
        caption="The interval should cover 80 % of rows.", caption_justify="left",
    )  # fmt: skip
    for score in scores(rows):
        shares = (score.median, score.p90)
        table.add_row(
            score.family,
            str(score.rows),
            *(f"{100 * share:.1f} %" for share in shares),
            f"{100 * score.bias:+.1f} %",
            f"{100 * score.coverage:.0f} %",
        )
    console.print(table)
    if worst:
        listed = Table(
            "row", "family", "what", _right("off by"), "likely reason",
            title=f"The worst {worst}", title_justify="left",
        )  # fmt: skip
        for row in worst_rows(rows, worst):
            off = f"{100 * row.error:+.0f} %"
            listed.add_row(row.id, row.family, row.what, off, row.reason)
        console.print(listed)
    above = Table("row", "what", "why", title="Impossible rows, used nowhere", title_justify="left")
    for fact in impossible():
        above.add_row(fact.id, f"{fact.model}, {fact.accelerator}", fact.excluded)
    console.print(above)


def _right(name: str) -> Column:
    from rich.table import Column

    return Column(name, justify="right")
