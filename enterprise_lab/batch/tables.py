"""A batch and its results as tables on a terminal, and as plain values for programs."""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from enterprise_lab.batch.attempt import Predicted, State
from enterprise_lab.batch.plans.budget import Range, Total
from enterprise_lab.batch.reports import comparison
from enterprise_lab.batch.reports.results import OWN_METRICS, Result
from enterprise_lab.batch.run import Batch
from enterprise_lab.units import HOUR, format_bytes, format_range, format_seconds, format_usd

_COLOURS = {
    State.SUCCEEDED: "green", State.QUEUED: "dim", State.RUNNING: "cyan", State.CANCELLED: "yellow",
}  # fmt: skip
_METRICS_SHOWN = 3


def console(*, for_programs: bool = False) -> Console:
    """Make the console for people: on standard error where a program reads standard output."""
    stream = sys.stderr if for_programs else sys.stdout
    # A log has no width of its own; 80 columns would fold every line.
    return Console(file=stream, highlight=False, width=None if stream.isatty() else 160)


def coloured(state: State, width: int = 0) -> str:
    """Write a state in its colour, as rich's markup."""
    return f"[{_COLOURS.get(state, 'red')}]{state:<{width}}[/]"


def show_batch(to: Console, batch: Batch, results: Sequence[Result], total: Total) -> None:
    """List the runs of a sound plan, with what is predicted of each and of all that are left."""
    done = sum(one.state == State.SUCCEEDED for one in results)
    to.print(
        f"{escape(batch.title)} is sound: {len(results)} runs, {done} of them done;"
        f" results in {escape(batch.store)}",
        soft_wrap=True,
    )
    names = _telling(results)
    table = Table("run", *(escape(n) for n in names), "state", "time", "memory", "cost")
    for one in results:
        table.add_row(
            one.run_id,
            *(escape(comparison.value(one, n)) for n in names),
            coloured(one.state),
            _seconds(one.predicted),
            format_bytes(one.predicted.memory_bytes) if one.predicted.memory_bytes else "",
            _usd(one),
        )
    to.print(table)
    sources = sorted({one.predicted.source for one in results if one.predicted.source})
    if sources:
        to.print(f"Time, memory and cost are predictions: {'; '.join(sources)}.")
    to.print(_total_in_words(total))


def show_results(
    to: Console, results: Sequence[Result], under_way: Container[str] = frozenset()
) -> None:
    """Tabulate a row a run: what tells it apart, how it stands, and the figures runs share."""
    names = _telling(results)
    shared = comparison.shared_series(results)
    series = [s for s in shared if s.metric not in OWN_METRICS][:_METRICS_SHOWN]
    table = Table()
    for heading in (*names, "state", "attempts", "run time"):
        table.add_column(escape(heading), overflow="fold")
    for one in series:
        table.add_column(f"{one.label}\n({one.origin})", justify="right")
    for result in results:
        table.add_row(
            *(escape(comparison.value(result, n)) for n in names),
            coloured(_state(result, under_way)),
            str(len(result.attempts) or ""),
            format_seconds(result.status.ended.run_seconds) if result.status else "",
            *(one.text(result) for one in series),
        )
    to.print(table)


def batch_as_rows(batch: Batch, results: Sequence[Result], total: Total) -> dict[str, Any]:
    """Return a sound plan's runs and what is predicted of them, as plain values."""
    return results_as_rows(batch, results) | {
        "predicted": {
            "seconds": _ends(total.seconds),
            "gpu_hours": _ends(total.gpu_hours),
            "usd": _ends(total.usd) if total.usd else None,
            "runs": total.runs,
            "runs_not_predicted": total.unknown,
        }
    }


def results_as_rows(
    batch: Batch, results: Sequence[Result], under_way: Container[str] = frozenset()
) -> dict[str, Any]:
    """Return how a batch's runs stand and what they measured, as plain values."""
    return {
        "name": batch.name,
        "title": batch.title,
        "store": batch.store,
        "runs": [_row(one, _state(one, under_way)) for one in results],
    }


def _telling(results: Sequence[Result]) -> list[str]:
    """List what tells runs apart; of a single one, its notebook."""
    return comparison.independent_parameters(results) or [comparison.NOTEBOOK]


def _state(result: Result, under_way: Container[str]) -> State:
    return State.RUNNING if result.run_id in under_way else result.state


def _row(result: Result, state: State) -> dict[str, Any]:
    figures = [
        one.model_dump(
            mode="json", include={"metric", "value", "unit", "origin", "low", "high", "n"}
        )
        for one in result.records
    ]
    return {
        "run_id": result.run_id,
        "notebook": result.notebook,
        "parameters": dict(result.parameters),
        "device": result.identity.device,
        "state": state,
        "error": result.error,
        "attempts": len(result.attempts),
        "seconds": result.status.ended.run_seconds if result.status else None,
        "usd": result.usd,
        "predicted": result.predicted.model_dump(mode="json"),
        "figures": figures,
    }


def _seconds(predicted: Predicted) -> str:
    if predicted.seconds is None:
        return "unknown"
    return format_seconds(predicted.seconds, 2)


def _usd(result: Result) -> str:
    if result.usd_per_hour is None or result.predicted.seconds is None:
        return ""
    return format_usd(result.usd_per_hour * result.predicted.seconds / HOUR)


def _ends(found: Range) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _total_in_words(total: Total) -> str:
    if not total.runs:
        return "Nothing is left to run."
    left = "the run that is left" if total.runs == 1 else f"the {total.runs} runs that are left"
    if total.unknown == total.runs:
        usd = f" and {format_usd(total.usd.high)}" if total.usd else ""
        most = f"{format_seconds(total.seconds.high)}{usd}"
        return f"Nothing is known yet of {left}; {most} at most, by the deadlines."
    parts = [f"{format_seconds(total.seconds.value)}{_around(total.seconds, 's')}"]
    if total.gpu_hours.high:
        parts.append(f"{total.gpu_hours.value:.3g} GPU-hours")
    if total.usd:
        parts.append(f"{format_usd(total.usd.value)}{_around(total.usd, 'USD')}")
    said = f"Predicted for {left}: {', '.join(parts)}."
    if total.unknown:
        said += f" Of {total.unknown} of them nothing is known: they count as nothing."
    if total.unbounded:
        said += f" The high end has the deadlines of {total.unbounded}."
    return said


def _around(found: Range, unit: str) -> str:
    said = format_range(found.value, found.low, found.high, unit)
    return f" ({said})" if said else ""
