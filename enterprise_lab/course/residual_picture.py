"""The picture of how far off predictions are, family by family."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from enterprise_lab.course.drawing import canvas, finish, legend_above
from enterprise_lab.estimate.validation import HeldOut, scores
from enterprise_lab.palette import COLOURS

_TICKS = (0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2)


def residuals_picture(rows: Sequence[HeldOut]) -> Figure:
    """Draw observed over predicted for every row, a line a family, with the middle 80 %."""
    families = scores(rows)
    figure, axes = canvas(1.2 + 0.38 * len(families))
    rng = np.random.default_rng(0)
    for line, score in enumerate(families):
        ratios = np.array([1 / (1 + row.error) for row in rows if row.family == score.family])
        places = line + rng.uniform(-0.28, 0.28, len(ratios))
        axes.plot(
            ratios, places, ".", color=COLOURS[0], alpha=0.45, markersize=5, label="a left-out row"
        )
        axes.plot(
            np.quantile(ratios, [0.1, 0.9]), [line, line], color=COLOURS[1], linewidth=3,
            alpha=0.9, label="middle 80 %",
        )  # fmt: skip
        axes.plot(np.median(ratios), line, "d", color="black", markersize=6, label="median")
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="observed / predicted (1: exact; right of it: took more)")
    axes.set_xlim(0.45, 2.4)
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS], minor=False)
    axes.set_xticks([], minor=True)
    names = [f"{score.family} ({score.rows})" for score in families]
    axes.set_yticks(range(len(families)), names)
    axes.invert_yaxis()
    handles, labels = axes.get_legend_handles_labels()
    legend_above(figure, 3, handles[:3], labels[:3])
    return finish(
        figure, "observed: published or measured; predicted: estimated, its group left out"
    )
