"""Two batches beside each other, as one page that opens from disk, without a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from enterprise_lab import __version__
from enterprise_lab.batch.reports.compare import Change, Comparison, MetricChange, Verdict
from enterprise_lab.batch.reports.comparison import capitalised, metric_label
from enterprise_lab.batch.reports.drawing import SOFT, Picture, data_uri, plain_numbers, styled
from enterprise_lab.batch.reports.report import page_environment
from enterprise_lab.palette import COLOURS
from enterprise_lab.units import format_figure

MOST_ROWS = 40
_LOOKS = {
    Verdict.WORSE: (COLOURS[1], "X"),
    Verdict.BETTER: (COLOURS[2], "o"),
    Verdict.DIFFERS: (COLOURS[0], "D"),
    Verdict.NO_MORE_THAN_NOISE: ("#7b8794", "o"),
    Verdict.CANT_TELL: ("#7b8794", "s"),
}
_HOLLOW = (Verdict.NO_MORE_THAN_NOISE, Verdict.CANT_TELL)
_TOLD = (Verdict.WORSE, Verdict.BETTER, Verdict.DIFFERS)


def compare_page(comparison: Comparison, name_a: str, name_b: str) -> str:
    """Render a comparison as HTML; the names are what people call the two batches."""
    changed = [m for m in comparison.metrics if m.overall.verdict in _TOLD or _told(m.pairs)]
    ratios = [m for m in comparison.metrics if m.is_ratio]
    return page_environment().get_template("compare.html.j2").render(
        comparison=comparison,
        name_a=name_a,
        name_b=name_b,
        summary=_summary(comparison),
        rows=[
            (m, _label(m), change_text(m, m.overall), _told(m.pairs)) for m in comparison.metrics
        ],
        overview=_overview(ratios) if ratios else None,
        pictures=[_pairs_picture(m) for m in changed if m.is_ratio and len(m.pairs) > 1],
        listed=[
            (_label(m), [(c, *_figures(m, c), change_text(m, c)) for c in m.pairs[:MOST_ROWS]])
            for m in changed
        ],
        made=datetime.now(UTC),
        version=__version__,
    )  # fmt: skip


def change_text(metric: MetricChange, change: Change) -> str:
    """Write a change with its interval: `+10 % (+7.8 % to +12 %)`."""

    def text(value: float) -> str:
        if metric.is_ratio:
            return f"{value:.3g} x" if value >= 2 else f"{100 * (value - 1):+.2g} %"
        return ("+" if value >= 0 else "") + format_figure(value, metric.unit)

    if change.low is None or change.high is None:
        return text(change.change)
    return f"{text(change.change)} ({text(change.low)} to {text(change.high)})"


def _summary(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """Name the metrics by what is to be said of them, over all pairs, then of single ones."""
    overall, single = (lambda m: [m.overall]), (lambda m: m.pairs)
    groups = [
        *((f"{v} over all pairs", _having(comparison.metrics, overall, v)) for v in _TOLD),
        *((f"{v} in single pairs", _having(comparison.metrics, single, v)) for v in _TOLD),
        *((f"{v} over all pairs", _having(comparison.metrics, overall, v)) for v in _HOLLOW),
    ]
    return [(said, names) for said, names in groups if names]


def _having(
    metrics: Sequence[MetricChange],
    changes: Callable[[MetricChange], Sequence[Change]],
    verdict: Verdict,
) -> list[str]:
    return [_label(m) for m in metrics if any(c.verdict == verdict for c in changes(m))]


def _label(metric: MetricChange) -> str:
    return capitalised(metric_label(metric.metric))


def _told(changes: Sequence[Change]) -> list[Change]:
    return [c for c in changes if c.verdict in _TOLD]


def _figures(metric: MetricChange, change: Change) -> tuple[str, str]:
    a, b = (
        "" if value is None else format_figure(value, metric.unit) for value in (change.a, change.b)
    )
    return a, b


def _overview(metrics: Sequence[MetricChange]) -> Picture:
    ordered = sorted(metrics, key=lambda m: -m.overall.change)
    rows = [(_label(m), m.overall, change_text(m, m.overall)) for m in ordered]
    return _ratios("All metrics, over all pairs", rows)


def _pairs_picture(metric: MetricChange) -> Picture:
    kept = sorted(metric.pairs[:MOST_ROWS], key=lambda c: -c.change)
    rows = [(c.name, c, change_text(metric, c)) for c in kept]
    left_out = len(metric.pairs) - len(kept)
    note = f"The {len(kept)} largest changes; {left_out} are smaller." if left_out else ""
    return _ratios(_label(metric), rows, note)


def _ratios(title: str, rows: Sequence[tuple[str, Change, str]], note: str = "") -> Picture:
    """Draw B over A of every row with its interval, around the line of no change."""
    with styled():
        figure = Figure(figsize=(7.2, 1.4 + 0.36 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.spines["left"].set_visible(False)
        axes.axvline(1, color=SOFT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        for y, (_, change, text) in enumerate(rows):
            colour, marker = _LOOKS[change.verdict]
            if change.low is not None and change.high is not None:
                axes.plot(
                    [change.low, change.high], [y, y], color=colour, linewidth=1.6, marker="|"
                )
            axes.plot(
                [change.change], [y], marker, color=colour, markersize=7, zorder=3,
                markerfacecolor="white" if change.verdict in _HOLLOW else colour,
            )  # fmt: skip
            axes.annotate(
                text.partition(" (")[0], (1, y), xycoords=("axes fraction", "data"), xytext=(6, 0),
                textcoords="offset points", va="center", fontsize=9, color=SOFT,
                annotation_clip=False,
            ).set_in_layout(True)  # fmt: skip
        _scale(axes, [v for _, c, _ in rows for v in (c.change, c.low, c.high) if v is not None])
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        seen = list(dict.fromkeys(change.verdict for _, change, _ in rows))
        figure.legend(
            handles=[_handle(v) for v in Verdict if v in seen],
            loc="outside lower right", ncols=len(seen), frameon=False, fontsize=10,
        )  # fmt: skip
        source = data_uri(figure)
    said = "; ".join(f"{name}: {text}, {change.verdict}" for name, change, text in rows)
    return Picture(title, source, f"{title}, B over A. {said}.", note=note)


def _scale(axes: Axes, ratios: Sequence[float]) -> None:
    """Give small changes an axis in percent, and large ones a logarithmic one of ratios."""
    reach = max([abs(math.log(ratio)) for ratio in ratios] + [0.02])
    if reach > math.log(2):
        axes.set(xscale="log", xlim=(math.exp(-1.08 * reach), math.exp(1.08 * reach)))
        plain_numbers(axes.xaxis)
        axes.set_xlabel("B / A [1, log scale]")
    else:
        farthest = 1.08 * max(abs(ratio - 1) for ratio in (*ratios, 1.02))
        axes.set_xlim(1 - farthest, 1 + farthest)
        axes.xaxis.set_major_formatter(_percent)
        axes.set_xlabel("change from A to B [%]")


def _percent(ratio: float, _: object) -> str:
    return "0" if abs(ratio - 1) < 1e-9 else f"{100 * (ratio - 1):+.3g}"


def _handle(verdict: Verdict) -> Line2D:
    colour, marker = _LOOKS[verdict]
    return Line2D(
        [], [], color=colour, linestyle="none", marker=marker, label=str(verdict),
        markerfacecolor="white" if verdict in _HOLLOW else colour,
    )  # fmt: skip
