"""The page of the docs that says how far off estimates are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from enterprise_lab.estimate.intervals import COVERAGE
from enterprise_lab.estimate.validation import (
    HeldOut,
    impossible,
    scores,
    worst_rows,
)
from enterprise_lab.units import format_figure

_WORST = 10
_TEXT = """# How far off the estimates are

This page is written by `elab validate --page docs`; `elab validate` prints the same table, and
`elab validate --refit` makes every figure again from the rows.

Every row below was predicted by a time model that had not seen it. Rows are left out by fold (all
rows of one model, one framework or one chip together), the few coefficients of the model are
fitted to all the others, and the left-out rows are predicted. No row's own speed, efficiency or
utilisation enters its prediction. Memory has no coefficient fitted to any row.

The {rows} rows are published training and inference speeds, each with its source in the
catalogue, and steps and memory peaks measured on a processor with two cores.

{table}

*Median error* and *90th percentile* are of the absolute error, as a share of what was observed.
*Bias* is the median error with its sign: above zero, predictions are too long or too large.
*Coverage* is the share of rows inside their {coverage:.0f} % interval, which was made from the
errors of other folds; over all rows it is {covered:.0f} %.

![Predicted against observed, a panel for each family, with intervals](images/validation.png)

![Observed over predicted for every row, a line for each family](images/residuals.png)

## The worst {worst} rows, and likely why

{worst_table}

## Rows that can't be right

These published figures are above what the chip can do at all, and are used nowhere.

{impossible_table}

## What no row speaks for

- Decoding for a single request on a GPU: the only published row is one whose own source doubts
  it. The estimate rests on the physics (weights and cache read at the rates the other rows show),
  which the rows of decoding on a processor bear out.
- Pipelines, tensor parallel training, context parallelism, offloading and low-rank adapters: no
  usable row trains with them. Their estimates rest on the same roofline and collectives, and
  their intervals are wider for each.
- Networks between nodes: the catalogue's figures for the usual node of a chip are unverified.
- Memory on GPUs: the measured peaks are those of tensors on a processor. What a GPU's driver and
  allocator add are allowances, shown as terms of their own.
"""


def write_page(rows: Sequence[HeldOut], folder: Path) -> list[Path]:
    """Write validation.md and its pictures into a folder of docs, and return the files."""
    from enterprise_lab.course.pictures import validation_picture
    from enterprise_lab.course.residual_picture import residuals_picture

    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    files = [images / "validation.png", images / "residuals.png", folder / "validation.md"]
    for draw, file in zip((validation_picture, residuals_picture), files, strict=False):
        draw(rows).savefig(file, dpi=110)
    files[-1].write_text(page(rows), encoding="utf-8")
    return files


def page(rows: Sequence[HeldOut]) -> str:
    """Return the page's text."""
    found = [
        (
            score.family,
            f"{score.rows}",
            f"{100 * score.median:.1f} %",
            f"{100 * score.p90:.1f} %",
            f"{100 * score.bias:+.1f} %",
            f"{100 * score.coverage:.0f} %",
        )
        for score in scores(rows)
    ]
    worst = [
        (
            row.id,
            row.family,
            row.what,
            format_figure(row.observed, row.unit),
            format_figure(row.predicted, row.unit),
            row.reason,
        )
        for row in worst_rows(rows, _WORST)
    ]
    header = ("family", "rows", "median error", "90th percentile", "bias", "coverage")
    return _TEXT.format(
        rows=len(rows),
        table=_table(header, found),
        coverage=100 * COVERAGE,
        covered=100 * sum(row.covered for row in rows) / len(rows),
        worst=_WORST,
        worst_table=_table(("row", "family", "what", "observed", "predicted", "likely why"), worst),
        impossible_table=_table(
            ("row", "what", "why"),
            [(row.id, f"{row.model}, {row.accelerator}", row.excluded) for row in impossible()],
        ),
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
