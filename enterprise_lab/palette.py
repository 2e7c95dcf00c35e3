"""Colours and marks of all pictures, so that a lab and a report draw a figure's origin alike."""

from __future__ import annotations

from enterprise_lab.measure.records import Origin

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito, "Color universal design" (2008), less the yellow, too pale on white."""
MARKERS = {
    Origin.MEASURED: "o",
    Origin.ESTIMATED: "D",
    Origin.RECORDED: "s",
    Origin.PUBLISHED: "^",
}
"""One shape an origin; what is estimated is drawn hollow besides."""
