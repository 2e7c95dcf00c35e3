from __future__ import annotations

import base64
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag

from enterprise_lab.batch.report import write_report
from enterprise_lab.batch.results import collect
from enterprise_lab.batch.runner import run_pending

from .workshop import PICTURE, RECORD, Workshop


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workshop = Workshop(tmp_path_factory.mktemp("report"))
    workshop.notebook(RECORD, PICTURE, "if speed > 3:\n    raise ValueError('<too fast>')")
    workshop.plan(
        title="Tiny & sound",
        runs=[{"notebook": "tiny.ipynb", "matrix": {"speed": [1, 2, 4]}}],
    )
    batch = workshop.check()
    batch.folder.mkdir(parents=True)
    assert len(list(run_pending(batch))) == 6
    return write_report(batch, collect(batch)).parent


@pytest.fixture(scope="module")
def soup(folder: Path) -> BeautifulSoup:
    return BeautifulSoup((folder / "index.html").read_text(), "html.parser")


def test_nothing_is_loaded_from_anywhere(folder: Path) -> None:
    pages = [folder / "index.html", *sorted((folder / "notebooks").iterdir())]
    assert len(pages) == 4
    for path in pages:
        page = BeautifulSoup(path.read_text(), "html.parser")
        loads = [e.get("src") or e.get("href") for e in page.select("[src], link[href]")]
        assert all(address.startswith("data:") for address in loads), path
        assert "$$" not in page.text


def test_links_lead_to_pages_that_are_there(folder: Path, soup: BeautifulSoup) -> None:
    links = {a["href"] for a in soup.select("a")}

    assert links == {f"notebooks/{p.name}" for p in (folder / "notebooks").iterdir()}


def test_the_table_has_a_row_a_run_and_an_origin_a_figure(soup: BeautifulSoup) -> None:
    rows = soup.select("#results-table tbody tr")

    assert [r.select_one("td").text for r in rows] == ["1.0", "2.0", "4.0"]
    assert [r.select_one(".state").text for r in rows] == ["succeeded", "succeeded", "failed"]
    cost = rows[1].select("td.number")[0]
    assert isinstance(cost, Tag)
    assert (cost["data-sort"], cost.select_one(".origin").text) == ("2000.0", "estimated")
    assert cost.select_one(".interval").text == "$1,600 to $2,600"
    assert all(cell.select_one(".origin") for cell in soup.select("td.number"))


def test_there_are_comparison_pictures_with_words(soup: BeautifulSoup) -> None:
    images = soup.select("figure img")

    assert len(images) >= 2
    for image in images:
        assert "estimated" in image["alt"] or "measured" in image["alt"]
        svg = base64.b64decode(image["src"].partition(",")[2])
        assert b"<svg" in svg


def test_a_failure_is_told_with_its_error(soup: BeautifulSoup) -> None:
    failure = soup.select_one(".failure")

    assert failure is not None
    assert "cell In [5]: ValueError: <too fast>" in failure.text


def test_the_title_is_text(soup: BeautifulSoup) -> None:
    assert soup.h1.text == "Tiny & sound"
