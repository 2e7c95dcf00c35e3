"""How catalogue rows are shown on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from enterprise_lab.catalog.ec2 import Instance, prices
from enterprise_lab.catalog.rows import Row
from enterprise_lab.catalog.spot import spot_prices

UNVERIFIED = "†"
_FOOTNOTE = f"{UNVERIFIED} unverified: recalled, not read in a source"


class RowTable:
    """Rows of one kind as a rich table, a line a row."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table, and the footnote where a figure is unverified."""
        figures = [figure for figure in self.rows[0].figures if figure.brief]
        lines = [[figure.text(row, UNVERIFIED) for figure in figures] for row in self.rows]
        table = Table()
        for number, figure in enumerate(figures):
            table.add_column(figure.title, overflow="fold", no_wrap=number == 0)
        for line in lines:
            table.add_row(*map(Text, line))
        yield table
        yield from _footnote(cell for line in lines for cell in line)


class RowCard:
    """Everything about one row, with its source; of an instance also its prices."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the row's figures, note and source, then its prices."""
        lines = [(figure.title, figure.text(self.row, UNVERIFIED)) for figure in self.row.figures]
        grid = Table.grid(padding=(0, 2))
        for title, text in [*lines, ("Note", self.row.note or "–"), ("Source", self.row.source)]:
            grid.add_row(Text(title), Text(text, overflow="fold"))
        yield grid
        yield from _footnote(text for _, text in lines)
        if isinstance(self.row, Instance):
            spot = [row for row in spot_prices() if row.instance == self.row.name]
            for price in [*prices(self.row.name), *spot]:
                yield Text()
                yield RowCard(price)


def _footnote(texts: Iterator[str]) -> Iterator[Text]:
    if any(UNVERIFIED in text for text in texts):
        yield Text(_FOOTNOTE)
