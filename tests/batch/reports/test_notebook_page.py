from __future__ import annotations

import base64
import re

import pytest
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from enterprise_lab.batch.reports.notebook_page import (
    CELLS,
    notebook_cells,
    notebook_frame,
    to_mathml,
)

PNG = base64.b64encode(b"\x89PNG not really").decode()


def page(*cells: NotebookNode, **metadata: object) -> BeautifulSoup:
    notebook = new_notebook(cells=list(cells), metadata=metadata)
    html = notebook_frame().replace(CELLS, notebook_cells(notebook))
    return BeautifulSoup(html, "html.parser")


def showing(**data: object) -> NotebookNode:
    bundle = {kind.replace("__", "/"): content for kind, content in data.items()}
    return new_code_cell("x", outputs=[new_output("display_data", bundle)])


@pytest.mark.parametrize(
    ("text", "display"),
    [
        (r"so $a_1 = 6 N D$ it is", "inline"),
        (r"$$t = \frac{C}{\eta\,P}$$", "block"),
        ("$$\nt = \\sqrt{2}\n$$", "block"),
        (r"\begin{equation} a = b \end{equation}", "block"),
        ("\\begin{align} a &= b \\\\ c &= d \\end{align}", "block"),
    ],
)
def test_math_becomes_mathml(text: str, display: str) -> None:
    soup = page(new_markdown_cell(text))

    assert [m["display"] for m in soup.select("math")] == [display]
    assert "$" not in soup.main.text
    assert "\\" not in soup.main.text


def test_a_formula_that_cannot_be_converted_is_shown_as_it_was_written() -> None:
    assert to_mathml(r"\left( <a", block=False) == r"<code>\left( &lt;a</code>"


def test_latex_outputs_become_mathml() -> None:
    soup = page(showing(text__latex=r"$\displaystyle x^2$", text__plain="x**2"))

    assert soup.select_one("math msup") is not None


def test_nothing_is_loaded_and_no_script_is_left() -> None:
    cell = showing(text__html="<b>kept</b>", application__javascript="fetch('http://x')")
    soup = page(new_markdown_cell("$x$"), cell, widgets={"state": {}})

    assert soup.select("script") == []
    policy = soup.select_one("meta[http-equiv=Content-Security-Policy]")
    assert policy is not None
    assert policy["content"].startswith("default-src 'none'")
    assert "kept" in soup.text
    loads = [e.get("src") or e.get("href") for e in soup.select("[src], link[href]")]
    assert all(address.startswith("data:") for address in loads)
    assert not re.search(r"url\(\s*['\"]?https?:|@import", str(soup))


def test_a_picture_is_shown_in_place_of_its_widget() -> None:
    bundle = {
        "application/vnd.jupyter.widget-view+json": {"model_id": "abc"},
        "image/png": PNG,
        "text/plain": "interactive(...)",
    }
    soup = page(new_code_cell("x", outputs=[new_output("display_data", bundle)]))

    image = soup.select_one("main img")
    assert image is not None
    assert image["src"].startswith("data:image/png")
    assert image["alt"] == "Picture made by cell 1"
    assert "model_id" not in str(soup)
    assert "interactive" not in soup.main.text


def test_the_frame_is_shared_and_has_one_place_for_cells() -> None:
    assert notebook_frame().count(CELLS) == 1
    assert "<style" not in notebook_cells(new_notebook(cells=[new_markdown_cell("hello")]))


def test_links_lead_out_of_the_frame_but_not_those_within() -> None:
    soup = page(new_markdown_cell("[out](https://arxiv.org/abs/1) [in](#there)"))

    out, within = soup.main.select("a")
    assert (out["target"], out["rel"]) == ("_blank", ["noopener"])
    assert within.get("target") is None


def test_code_is_hidden_until_it_is_asked_for() -> None:
    soup = page(new_code_cell("x = 1"))

    assert soup.select_one("input#show-code") is not None
    assert "x" in soup.select_one(".jp-CodeCell").text
