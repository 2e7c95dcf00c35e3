"""The report of a batch: one page that opens from disk, without a network or a second file."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from enterprise_lab import __version__
from enterprise_lab.batch.attempt import State, Status
from enterprise_lab.batch.reports import comparison
from enterprise_lab.batch.reports.forecast import forecast_picture, forecasts, side_by_side
from enterprise_lab.batch.reports.left import Left, read_left
from enterprise_lab.batch.reports.notebook_page import CELLS, notebook_frame
from enterprise_lab.batch.reports.pictures import comparison_pictures
from enterprise_lab.batch.reports.provenance import facts_of, made_again, provenance
from enterprise_lab.batch.reports.results import (
    OWN_METRICS,
    TABLE,
    Result,
    collect,
)
from enterprise_lab.batch.run import Batch
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.store import Store
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.units import HOUR, format_figure, format_range, format_seconds, format_usd

PAGE = "report/index.html"
MOST_COLUMNS = 16
"""Metrics in the table; a run's own view has all."""
MOST_CHOICES = 40
"""Values of a parameter that can be chosen from a list to filter by."""
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Figure:
    """One figure of the results table."""

    value: float
    text: str
    origin: str
    interval: str
    source: str
    doubt: str

    @classmethod
    def of(cls, record: Record) -> Figure:
        """Write a record for people."""
        interval = format_range(record.value, record.low, record.high, record.unit)
        text = format_figure(record.value, record.unit)
        if interval == f"{text} to {text}":
            interval = ""  # a single sample has no spread
        source = "; ".join(filter(None, [record.source, record.device]))
        return cls(record.value, text, record.origin, interval, source, record.doubt)


@dataclass(frozen=True)
class Row:
    """One run as the page shows it."""

    result: Result
    name: str
    parameters: list[str]
    figures: list[list[Figure]]
    left: Left
    view: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """The run's name in the store and on the page."""
        return self.result.run_id


def write_report(batch: Batch, store: Store) -> str:
    """Write `report/index.html` for what the batch has left so far; return its address."""
    attempts = ledger.attempts(store, batch.name)
    results = collect(batch, store, attempts)
    left = read_left(store, batch.name, results)
    target = f"{batch.name}/{PAGE}"
    store.replace(target, _page(batch, store, results, attempts, left).encode())
    return f"{store.url}/{target}"


def page_environment() -> Environment:
    """Return what renders pages: text is escaped, a script is allowed by its digest."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "seconds": format_seconds,
        "usd": format_usd,
        "spoken": lambda name: str(name).replace("_", " "),
        "embedded_json": _embedded_json,
        "digest": lambda script: base64.b64encode(
            hashlib.sha256(script.encode()).digest()
        ).decode(),
    }
    return environment


def _page(
    batch: Batch,
    store: Store,
    results: list[Result],
    attempts: Mapping[str, Sequence[Status]],
    left: Mapping[str, Left],
) -> str:
    varying = comparison.varying_parameters(results)
    names = comparison.independent_parameters(results) or [comparison.NOTEBOOK]
    metrics = _metrics(results)
    rows = [_row(r, names, metrics, left.get(r.run_id, Left())) for r in results]
    predicted = forecasts(results)
    return page_environment().get_template("report.html.j2").render(
        batch=batch,
        rows=rows,
        broken=[r for r in rows if r.result.error],
        names=names,
        choices={n: c for n in names if 1 < len(c := _choices(results, n)) <= MOST_CHOICES},
        metrics=[comparison.metric_label(m) for m in metrics],
        constant=_constant(results, varying),
        following=[n for n in varying if n not in names],
        notebooks=list(dict.fromkeys(r.notebook for r in results)),
        pictures=comparison_pictures(results),
        forecasts=predicted,
        forecast_picture=forecast_picture(predicted),
        side_by_side=side_by_side(results),
        again=[(a.changes, [comparison.description(r, names) for r in a.results])
               for a in made_again(results, attempts)],
        provenance=provenance(results),
        totals=_totals(results),
        states={s: n for s in State if (n := sum(r.state == s for r in results))},
        frame=_compressed(notebook_frame()),
        cells_marker=CELLS,
        place=store.url,
        table=f"{batch.name}/{TABLE}",
        made=datetime.now(UTC),
        version=__version__,
    )  # fmt: skip


def _row(result: Result, names: Sequence[str], metrics: Sequence[str], left: Left) -> Row:
    name = comparison.description(result, names)
    return Row(
        result,
        name,
        [comparison.value(result, n) for n in names],
        [_figures(result, metric) for metric in metrics],
        left,
        _view(result, name, left),
    )


def _metrics(results: Sequence[Result]) -> list[str]:
    """Choose the table's metrics: those that most runs have, and the runner's own after them."""
    counts = Counter(metric for r in results for metric in {one.metric for one in r.records})
    found = list(dict.fromkeys(s.metric for s in comparison.all_series(results)))
    others = [metric for metric in found if metric not in OWN_METRICS]
    kept = sorted(others, key=lambda metric: -counts[metric])[:MOST_COLUMNS]
    own = [metric for metric in OWN_METRICS if metric in found]
    return [metric for metric in others if metric in kept] + own


def _figures(result: Result, metric: str) -> list[Figure]:
    """List the metric's latest figure of each origin, what was measured first."""
    latest = {r.origin: r for r in result.records if r.metric == metric}
    return [Figure.of(latest[origin]) for origin in Origin if origin in latest]


def _choices(results: Sequence[Result], name: str) -> list[str]:
    return list(dict.fromkeys(comparison.value(r, name) for r in results))


def _constant(results: Sequence[Result], names: Sequence[str]) -> dict[str, str]:
    """List the parameters that all runs have alike."""
    if not results:
        return {}
    return {n: str(v) for n, v in results[0].parameters.items() if n not in names}


def _totals(results: Sequence[Result]) -> dict[str, str]:
    """Write the head's figures, those that are known."""
    statuses = [s for r in results for s in r.attempts]
    if not statuses:
        return {}
    began = min(s.ended.started for s in statuses)
    over = max(s.ended.started.timestamp() + s.ended.run_seconds for s in statuses)
    gpu_hours = sum(r.gpus * r.seconds for r in results) / HOUR
    costs = [r.usd for r in results if r.usd is not None]
    again = sum(len(r.attempts) - 1 for r in results if r.attempts)
    devices = list(dict.fromkeys(s.ended.device for s in statuses if s.ended.device))
    totals = {
        "time from first to last": format_seconds(over - began.timestamp()),
        "time of all runs together": format_seconds(sum(r.seconds for r in results)),
    }
    if gpu_hours:
        totals["GPU-hours"] = f"{gpu_hours:,.3g}"
    if costs:
        totals["cost of all runs together"] = format_usd(sum(costs))
    if again:
        totals["attempts made again"] = str(again)
    totals["run on"] = "; ".join(devices)
    return totals


def _view(result: Result, name: str, left: Left) -> dict[str, Any]:
    """Say all of one run, in words that the page only has to lay out."""
    status = result.status
    return {
        "name": name,
        "state": str(result.state),
        "error": result.error,
        "cell": left.cell,
        "traceback": left.traceback,
        "parameters": [[n, str(v)] for n, v in result.parameters.items()],
        "attempts": [_attempt(s) for s in result.attempts],
        "figures": [
            [comparison.metric_label(r.metric), f.text, f.origin, f.interval, f.source, f.doubt]
            for r in result.records
            for f in [Figure.of(r)]
        ],
        "steps": [[s.name, s.seconds, format_seconds(s.seconds)] for s in left.steps],
        "marks": list(left.marks),
        "log": left.log,
        "provenance": list(facts_of(status).items()) if status else [],
        "place": left.place,
        "is_too_much": left.is_too_much,
    }


def _attempt(status: Status) -> list[str]:
    ended = status.ended
    usd = status.usd
    return [
        str(status.attempt),
        str(status.state),
        ended.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
        format_seconds(ended.run_seconds),
        "" if usd is None else format_usd(usd),
        ended.host,
        ended.error,
    ]


def _compressed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _embedded_json(content: object) -> str:
    """Write JSON that can stand in a script element, whatever is in it."""
    from markupsafe import Markup

    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
