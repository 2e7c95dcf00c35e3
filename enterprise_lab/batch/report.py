"""The report of a batch: one folder of HTML that opens from disk, without a network."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nbformat import NotebookNode

from enterprise_lab import __version__
from enterprise_lab.batch import comparison, store
from enterprise_lab.batch.check import Batch
from enterprise_lab.batch.notebook_file import read_notebook
from enterprise_lab.batch.notebook_page import notebook_page
from enterprise_lab.batch.pictures import comparison_pictures
from enterprise_lab.batch.results import RUN_SECONDS, Result
from enterprise_lab.batch.store import State
from enterprise_lab.errors import LabError
from enterprise_lab.units import format_figure, format_range, format_seconds

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Figure:
    """One figure of the results table."""

    value: float
    text: str
    origin: str
    interval: str
    source: str


@dataclass(frozen=True)
class Row:
    """One run as the report shows it; `page` is empty when it left no notebook."""

    run_id: str
    name: str
    parameters: list[str]
    state: State
    error: str
    seconds: float | None
    figures: list[list[Figure]]
    page: str
    thumbnail: str


def write_report(batch: Batch, results: list[Result]) -> Path:
    """Write `report/index.html` and a page for every executed notebook; return the index."""
    work = batch.folder / ".report"
    shutil.rmtree(work, ignore_errors=True)
    (work / "notebooks").mkdir(parents=True)
    names = comparison.varying_parameters(batch.runs) or [comparison.NOTEBOOK]
    metrics = list(
        dict.fromkeys(s.metric for s in comparison.all_series(results) if s.metric != RUN_SECONDS)
    )
    rows = [_row(batch, result, names, metrics, work) for result in results]
    constant = {
        name: value for name, value in batch.runs[0].parameters.items() if name not in names
    }
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["seconds"] = format_seconds
    html = environment.get_template("report.html.j2").render(
        batch=batch,
        rows=rows,
        names=names,
        metrics=[comparison.metric_label(m) for m in metrics],
        constant=constant,
        notebooks=list(dict.fromkeys(r.notebook for r in batch.runs)),
        pictures=comparison_pictures(results),
        states={s: n for s in State if (n := sum(r.state == s for r in rows))},
        made=datetime.now(UTC),
        version=__version__,
    )
    (work / "index.html").write_text(html, encoding="utf-8")
    store.replace_folder(work, batch.folder / "report")
    return batch.folder / "report" / "index.html"


def _row(batch: Batch, result: Result, names: list[str], metrics: list[str], work: Path) -> Row:
    run, status = result.run, result.status
    parameters = [comparison.value(run, n) for n in names]
    name = comparison.description(run, comparison.independent_parameters(batch.runs))
    error = status.error if status else ""
    page = thumbnail = ""
    if notebook := _executed(batch.folder / run.run_id):
        page = f"notebooks/{run.run_id}.html"
        thumbnail = _first_picture(notebook)
        shown = {
            "back": "../index.html",
            "subtitle": name,
            "state": str(result.state),
            "error": error,
            "show_code": result.state != State.SUCCEEDED,
        }
        html = notebook_page(notebook, shown)
        (work / page).write_text(html, encoding="utf-8")
    return Row(
        run.run_id,
        name,
        parameters,
        result.state,
        error,
        status.run_seconds if status else None,
        [_figures(result, metric) for metric in metrics],
        page,
        thumbnail,
    )


def _executed(folder: Path) -> NotebookNode | None:
    """Read the notebook a run left; None when it was cut off before papermill saved one."""
    try:
        return read_notebook(folder / store.NOTEBOOK)
    except LabError:
        return None


def _figures(result: Result, metric: str) -> list[Figure]:
    """List the metric's latest figure of each origin; the first is what the table sorts by."""
    latest = {r.origin: r for r in result.records if r.metric == metric}
    return [
        Figure(
            r.value,
            format_figure(r.value, r.unit),
            r.origin,
            format_range(r.value, r.low, r.high, r.unit),
            r.source,
        )
        for r in latest.values()
    ]


def _first_picture(notebook: NotebookNode) -> str:
    pictures = (
        output.data["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    )
    picture = next(pictures, "")
    return f"data:image/png;base64,{''.join(picture.split())}" if picture else ""
