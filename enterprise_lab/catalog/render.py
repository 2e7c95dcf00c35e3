"""How catalogue rows are shown: in Jupyter as HTML, elsewhere as text."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

UNVERIFIED_HTML = ' <em style="color:#b35900">(unverified)</em>'


@dataclass(frozen=True)
class Figure:
    """One line of a row's table: its title with the unit, the field it shows, and how."""

    title: str
    field: str
    write: Callable[[Any], str] = str
    brief: bool = True
    """Whether it is also a column where many rows are listed."""

    def text(self, row: Any, mark: str) -> str:
        """Write the figure of `row` as text, with `mark` behind it where it is unverified."""
        value = getattr(row, self.field)
        if value is None or value == "":
            return "–"
        return self.write(value) + (mark if self.field in row.unverified else "")


def escape(text: str) -> str:
    """Escape text for HTML; a dollar sign stays one, and begins no formula in JupyterLab."""
    return html.escape(text).replace("$", "<span>$</span>")


def card(row: Any) -> str:
    """Write a row as an HTML table of its figures, with its note and its source as a link."""
    lines = [(figure.title, _cell(figure, row)) for figure in row.figures]
    if row.note:
        lines.append(("Note", escape(row.note)))
    lines.append(("Source", _linked(row.source)))
    body = "".join(
        f'<tr><th style="text-align:left; white-space:nowrap">{escape(title)}</th>'
        f'<td style="text-align:left">{text}</td></tr>'
        for title, text in lines
    )
    return f"<table>{body}</table>"


def table(rows: Sequence[Any]) -> str:
    """Write rows of one kind as one HTML table, a line a row."""
    if not rows:
        return "<p>Nothing in the catalogue matches.</p>"
    figures = [figure for figure in rows[0].figures if figure.brief]
    head = "".join(f"<th>{escape(figure.title)}</th>" for figure in figures)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(figure, row)}</td>" for figure in figures) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(figure: Figure, row: Any) -> str:
    marker = "\0"
    return escape(figure.text(row, marker)).replace(marker, UNVERIFIED_HTML)


def _linked(source: str) -> str:
    """Escape the text and make each address in it a link."""
    parts = re.split(r"(https?://[^\s;]+)", source)
    return "".join(
        f'<a href="{html.escape(part)}">{html.escape(part)}</a>' if index % 2 else html.escape(part)
        for index, part in enumerate(parts)
    )
