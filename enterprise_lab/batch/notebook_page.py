"""An executed notebook as one HTML page that needs nothing else: no script, font or network.

What a notebook's own HTML would load or run is stopped by the page's Content-Security-Policy.
"""

from __future__ import annotations

import copy
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from papermill.execute import ERROR_MARKER_TAG
from traitlets.config import Config

_TEMPLATES = Path(__file__).parent / "templates"
_WIDGET = "application/vnd.jupyter.widget-view+json"
# Scripts are left out: they would be run by the page, and most load others from a network.
_SHOWN_FIRST = [
    "image/svg+xml",
    "image/png",
    "image/jpeg",
    "text/html",
    "text/markdown",
    "text/plain",
]


def to_mathml(latex: str, *, block: bool) -> str:
    """Convert a formula to MathML; one that cannot be is shown as it was written."""
    try:
        return str(convert(latex.strip(), display="block" if block else "inline"))
    except Exception:  # latex2mathml raises many unrelated kinds for what it does not know
        return f"<code>{escape(latex)}</code>"


def notebook_page(notebook: NotebookNode, page: dict[str, Any]) -> str:
    """Render an executed notebook.

    `page` is what its heading shows: title, subtitle, state, error, show_code and back, the
    address of the report.
    """
    html, _ = _Exporter(  # type: ignore[no-untyped-call]
        template_name="notebook_page",
        extra_template_basedirs=[str(_TEMPLATES)],
        config=Config({"NbConvertBase": {"display_data_priority": _SHOWN_FIRST}}),
    ).from_notebook_node(_without_network(notebook), {"page": page})
    return str(html)


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return to_mathml(body, block=True)

    def inline_math(self, body: str) -> str:
        return to_mathml(body, block=False)

    def latex_environment(self, name: str, body: str) -> str:
        # latex2mathml numbers no equations, so equation and align are just their bodies.
        body = rf"\begin{{aligned}}{body}\end{{aligned}}" if name.startswith("align") else body
        return to_mathml(body, block=True)


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context: Context, source: str) -> str:
        cell = context.get("cell") or {}
        renderer = _Renderer(
            escape=False,
            attachments=cell.get("attachments", {}),
            exclude_anchor_links=True,
        )
        return str(MarkdownWithMath(renderer=renderer).render(source))


def _without_network(notebook: NotebookNode) -> NotebookNode:
    """Return a copy whose outputs show without scripts: pictures for widgets, MathML for LaTeX."""
    notebook = copy.deepcopy(notebook)
    notebook.metadata.pop("widgets", None)
    # The page's heading says where it failed; papermill's banners would say it twice more.
    notebook.cells = [
        c for c in notebook.cells if ERROR_MARKER_TAG not in c.metadata.get("tags", [])
    ]
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            data = output.get("data")
            if data is None:
                continue
            data.pop(_WIDGET, None)
            if latex := data.pop("text/latex", None):
                body = latex.strip().strip("$")
                data.setdefault("text/html", to_mathml(body, block=True))
            for kind in ("image/png", "image/jpeg"):
                if kind in data:
                    shown = output.metadata.setdefault(kind, {})
                    shown.setdefault("alt", f"Picture made by cell {number}")
    return notebook
