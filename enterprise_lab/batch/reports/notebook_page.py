"""An executed notebook as HTML that needs nothing else: no script, font or network.

Its cells are one part, and the page around them, with its style, is another, which many notebooks
share. What a notebook's own HTML would load or run is stopped by the page's
Content-Security-Policy.
"""

from __future__ import annotations

import copy
from functools import cache, lru_cache
from html import escape
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from jinja2.runtime import Context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters import Highlight2HTML, clean_html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.filters.widgetsdatatypefilter import WidgetsDataTypeFilter
from nbformat import NotebookNode
from nbformat.v4 import new_notebook
from papermill.execute import ERROR_MARKER_TAG
from traitlets.config import Config

_TEMPLATES = Path(__file__).parent / "templates"
CELLS = "<!-- cells -->"
"""Stands in the page around a notebook where its cells go."""
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


@lru_cache(maxsize=1024)
def to_mathml(latex: str, *, block: bool) -> str:
    """Convert a formula to MathML; one that cannot be is shown as it was written."""
    try:
        return str(convert(latex.strip(), display="block" if block else "inline"))
    except Exception:  # latex2mathml raises many unrelated kinds for what it does not know
        return f"<code>{escape(latex)}</code>"


def notebook_frame() -> str:
    """Return the page around a notebook; CELLS in it is where its cells go."""
    html, _ = _exporter("frame.html.j2").from_notebook_node(new_notebook())  # type: ignore[no-untyped-call]
    return str(html)


def notebook_cells(notebook: NotebookNode) -> str:
    """Render an executed notebook's cells."""
    html, _ = _exporter("index.html.j2").from_notebook_node(_without_network(notebook))
    # A link leads out of the report, not out of the frame that a notebook is shown in.
    return str(html).replace('<a href="http', '<a rel="noopener" target="_blank" href="http')


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return to_mathml(body, block=True)

    def inline_math(self, body: str) -> str:
        return to_mathml(body, block=False)

    def latex_environment(self, name: str, body: str) -> str:
        # latex2mathml numbers no equations, so equation and align are just their bodies.
        body = rf"\begin{{aligned}}{body}\end{{aligned}}" if name.startswith("align") else body
        return to_mathml(body, block=True)


@lru_cache(maxsize=1024)
def _clean(html: str) -> str:
    """Clean highlighted code; most of it is the same in all runs of a notebook."""
    return str(clean_html(html))  # type: ignore[no-untyped-call]


@cache
def _exporter(template: str) -> _Exporter:
    exporter = _Exporter(  # type: ignore[no-untyped-call]
        template_name="notebook_page",
        template_file=template,
        extra_template_basedirs=[str(_TEMPLATES)],
        config=Config({"NbConvertBase": {"display_data_priority": _SHOWN_FIRST}}),
    )
    exporter.register_filter("clean_html", _clean)  # type: ignore[no-untyped-call]
    return exporter


class _Exporter(HTMLExporter):
    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> Any:
        """Render without HTMLExporter's last step, which takes four fifths of the time.

        It parses all of the page once more, to add to it what these templates don't lack.
        """
        lexer = nb.metadata.get("language_info", {}).get("pygments_lexer", "ipython3")
        made = self._init_resources(resources)  # type: ignore[no-untyped-call]
        for name, made_filter in (
            ("highlight_code", Highlight2HTML(lexer, parent=self)),  # type: ignore[no-untyped-call]
            (
                "filter_data_type",
                WidgetsDataTypeFilter(  # type: ignore[no-untyped-call]
                    notebook_metadata=self._nb_metadata, parent=self, resources=made
                ),
            ),
        ):
            self.register_filter(name, made_filter)  # type: ignore[no-untyped-call]
        return TemplateExporter.from_notebook_node(self, nb, made, **kw)

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
