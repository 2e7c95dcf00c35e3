"""A predicted figure with its range, and how it shows itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from enterprise_lab.catalog.render import escape
from enterprise_lab.errors import require_finite, require_kind, require_positive
from enterprise_lab.units import format_figure, format_range


@dataclass(frozen=True)
class Estimate:
    """A predicted figure: `value`, the range from `low` to `high`, its terms and its source.

    `low` and `high` are None where nothing yet says how far off the figure may be. The terms are
    in the same unit and sum to the value where the figure is a sum.
    """

    value: float
    unit: str
    source: str
    low: float | None = None
    high: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        ends = {"low": self.low, "high": self.high}
        given = {name: end for name, end in ends.items() if end is not None}
        require_finite(value=self.value, **given)
        for name, text in (("unit", self.unit), ("source", self.source)):
            require_kind(name, text, str, "'s'")

    def scaled(self, factor: float, unit: str, source: str) -> Estimate:
        """Return this figure times a positive, exactly known factor, in another unit."""
        require_positive(factor=factor)
        low, high = (None if x is None else x * factor for x in (self.low, self.high))
        return Estimate(self.value * factor, unit, source, low, high)

    def plus(self, other: Estimate, source: str) -> Estimate:
        """Return the sum of two figures in one unit that are off together, if they are."""
        low, high = (
            None if a is None or b is None else a + b
            for a, b in ((self.low, other.low), (self.high, other.high))
        )
        return Estimate(self.value + other.value, self.unit, source, low, high)

    def rate_of(self, amount: float, unit: str, source: str) -> Estimate:
        """Return how much of a positive, exactly known amount there is for each of this figure."""
        require_positive(amount=amount)
        low, high = (None if x is None else amount / x for x in (self.high, self.low))
        return Estimate(amount / self.value, unit, source, low, high)

    def __str__(self) -> str:
        text = format_figure(self.value, self.unit)
        return f"{text} ({self.range})" if self.range else text

    @property
    def range(self) -> str:
        """The range as text, in the unit of the value; empty where there is none."""
        return format_range(self.value, self.low, self.high, self.unit)

    def _repr_html_(self) -> str:
        terms = [(name, format_figure(term, self.unit)) for name, term in self.terms.items()]
        return html_table([*terms, ("estimate", str(self))], caption=self.source)


def html_table(
    rows: Sequence[tuple[str, ...]],
    header: tuple[str, ...] = (),
    caption: str = "",
    numeric: bool = True,
) -> str:
    """Render rows of text as a small HTML table, all but the first column to the right.

    Tables of words rather than figures (`numeric=False`) keep to the left.
    """

    def line(cells: tuple[str, ...], tag: str) -> str:
        sides = ("left", *["right" if numeric else "left"] * (len(cells) - 1))
        return "".join(
            f'<{tag} style="text-align:{side}">{escape(cell)}</{tag}>'
            for cell, side in zip(cells, sides, strict=True)
        )

    head = f"<thead><tr>{line(header, 'th')}</tr></thead>" if header else ""
    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    below = "caption-side:bottom;text-align:left"
    title = f'<caption style="{below}">{escape(caption)}</caption>' if caption else ""
    return f"<table>{title}{head}<tbody>{body}</tbody></table>"
