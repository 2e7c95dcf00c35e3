"""The batch report as a person opens it: from disk, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Browser, Page

from enterprise_lab.batch.check import check_plan
from enterprise_lab.batch.report import write_report
from enterprise_lab.batch.results import collect
from enterprise_lab.batch.runner import run_pending

RECORD = """\
from pathlib import Path
import matplotlib.pyplot as plt
from enterprise_lab.measure.records import Origin, Record, append
append(Path("records.jsonl"), [
    Record(lab="tiny", metric="training_seconds", value=days * 86_400, unit="s",
           origin=Origin.ESTIMATED, low=days * 70_000, high=days * 100_000),
    Record(lab="tiny", metric="cost_usd", value=days * 10, unit="USD", origin=Origin.ESTIMATED)])
plt.plot([0, days], [0, 1]);
"""


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    (root / "batches").mkdir()
    cells = [
        new_markdown_cell("# A lab\n\n$$t = \\frac{C}{P}$$"),
        new_code_cell("days: float = 1.0", metadata={"tags": ["parameters"]}),
        new_code_cell(RECORD),
    ]
    nbformat.write(new_notebook(cells=cells), root / "lab.ipynb")
    plan = {"name": "tiny", "runs": [{"notebook": "lab.ipynb", "matrix": {"days": [9, 100, 20]}}]}
    (root / "batches" / "tiny.yaml").write_text(yaml.safe_dump(plan))
    batch = check_plan(root / "batches" / "tiny.yaml", root / "runs")
    batch.folder.mkdir(parents=True)
    list(run_pending(batch))
    return write_report(batch, collect(batch))


@pytest.fixture
def page(browser: Browser, index: Path) -> Iterator[Page]:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("requestfailed", lambda request: troubles.append(request.url))
    page.goto(index.as_uri())
    yield page
    context.close()
    assert troubles == []


def test_the_report_opens_with_its_pictures(page: Page, screenshots: Path) -> None:
    widths = page.eval_on_selector_all("figure img", "images => images.map(i => i.naturalWidth)")

    assert len(widths) >= 2
    assert min(widths) > 100
    page.screenshot(path=screenshots / "report.png", full_page=True)


def test_a_click_on_a_header_sorts_by_number_and_again_backwards(page: Page) -> None:
    def column() -> list[str]:
        return page.locator("#results-table tbody td:first-child").all_inner_texts()

    header = page.locator("#results-table th").filter(has_text="training time")
    assert column() == ["9.0", "100.0", "20.0"]
    assert header.get_attribute("aria-sort") is None

    header.get_by_role("button").click()
    assert column() == ["9.0", "20.0", "100.0"]
    assert header.get_attribute("aria-sort") == "ascending"

    header.get_by_role("button").press("Enter")
    assert column() == ["100.0", "20.0", "9.0"]
    assert header.get_attribute("aria-sort") == "descending"

    page.locator("#results-table th").first.get_by_role("button").click()
    assert column() == ["9.0", "20.0", "100.0"]
    assert header.get_attribute("aria-sort") is None


def test_an_executed_notebook_opens_shows_math_and_hides_its_code(
    page: Page, screenshots: Path
) -> None:
    page.locator(".gallery a").first.click()

    assert page.locator("math mfrac").is_visible()
    assert page.locator("main img").first.is_visible()
    code = page.locator(".jp-CodeCell .jp-Cell-inputWrapper").first
    assert not code.is_visible()
    page.get_by_label("Show code").check()
    assert code.is_visible()
    page.screenshot(path=screenshots / "report_notebook.png", full_page=True)
    page.get_by_role("link", name="Report").click()
    assert page.locator("#results-table").is_visible()


def test_a_narrow_window_scrolls_the_table_not_the_page(page: Page, screenshots: Path) -> None:
    page.set_viewport_size({"width": 400, "height": 800})

    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert overflow <= 0
    page.screenshot(path=screenshots / "report_narrow.png", full_page=True)
