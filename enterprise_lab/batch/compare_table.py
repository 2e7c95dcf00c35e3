"""Two batches held against each other, on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from enterprise_lab.batch.reports.compare import Comparison, Verdict
from enterprise_lab.batch.reports.compare_page import change_text
from enterprise_lab.batch.reports.comparison import metric_label
from enterprise_lab.batch.tables import coloured

_TOLD = (Verdict.WORSE, Verdict.BETTER, Verdict.DIFFERS)


def show_comparison(to: Console, found: Comparison) -> None:
    """Say what changed between two batches: metrics over all pairs, runs, and likely reasons."""
    table = Table("metric", "over all pairs, B to A", "", "pairs that changed by more than noise")
    for metric in found.metrics:
        told = [one for one in metric.pairs if one.verdict in _TOLD]
        table.add_row(
            escape(metric_label(metric.metric)),
            change_text(metric, metric.overall),
            _verdict(metric.overall.verdict),
            "\n".join(
                f"{escape(one.name)}: {change_text(metric, one)} {_verdict(one.verdict)}"
                for one in told
            ),
        )
    to.print(f"{found.pairs} pair{'s' * (found.pairs != 1)} of runs")
    if found.metrics:
        to.print(table)
    for fate in found.fates:
        to.print(
            f"{escape(fate.name)}: {coloured(fate.a)} in A, {coloured(fate.b)} in B."
            f" {escape(fate.error)}"
        )
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            to.print(f"Only in {side}: {escape('; '.join(names))}")
    for one in found.differences:
        to.print(
            f"{escape(one.name)}: {escape(', '.join(one.a))} in A, {escape(', '.join(one.b))} in B"
        )


def _verdict(verdict: Verdict) -> str:
    colour = {Verdict.WORSE: "red", Verdict.BETTER: "green"}.get(verdict, "dim")
    return f"[{colour}]{verdict}[/]"
