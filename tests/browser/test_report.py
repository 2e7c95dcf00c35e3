"""The batch report as a person opens it: from disk, without a network."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from batch.past import batch, executed, figure, leave, run, status
from playwright.sync_api import Browser, Page, expect

from enterprise_lab.batch.attempt import Predicted, State
from enterprise_lab.batch.reports.compare import compare
from enterprise_lab.batch.reports.compare_page import compare_page
from enterprise_lab.batch.reports.report import write_report
from enterprise_lab.batch.reports.results import collect
from enterprise_lab.batch.run import Batch
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.measure.records import Origin


def make(store: Directory, slower: float = 1.0, seed: int = 0) -> Batch:
    """Twelve runs, of which one failed, one hasn't begun, and the others have figures."""
    rng = np.random.default_rng(seed)
    runs = [
        run("labs/train.ipynb", usd_per_hour=price, precision=precision, batch_size=size,
            device=device, predicted=Predicted(seconds=t, low_seconds=t / 2, high_seconds=2 * t))
        for device, price, t in [("cpu", 0.2, 90), ("NVIDIA H200", 5.0, 9)]
        for precision in ("fp32", "bf16")
        for size in (9, 100, 20)
    ]  # fmt: skip
    made = batch(*runs, title="Training on two machines")
    for number, one in enumerate(runs[:-1]):
        error = "ValueError: <too fast>" if number == 1 else ""
        seconds = one.predicted.seconds * slower * np.exp(0.03 * rng.standard_normal())
        ended = status(
            one, State.FAILED if error else State.SUCCEEDED, error=error, seconds=seconds
        )
        rate = figure("tokens_per_second", 1e4 / seconds, "tok/s", Origin.MEASURED, 0.05, 30)
        leave(store, "tiny", ended, [rate], executed(error=error, label=str(number)))
    return made


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Directory(tmp_path_factory.mktemp("report"))
    return Path(write_report(make(store), store))


@pytest.fixture
def page(browser: Browser, index: Path) -> Iterator[Page]:
    yield from opened(browser, index)


def opened(browser: Browser, path: Path) -> Iterator[Page]:
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    troubles: list[str] = []
    page.on("console", lambda m: troubles.append(m.text) if m.type != "log" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("requestfailed", lambda request: troubles.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert troubles == []


def sizes(page: Page) -> list[str]:
    return page.locator("#results-table tbody tr:visible td:nth-child(3)").all_inner_texts()


def test_the_report_opens_with_its_pictures(page: Page, screenshots: Path) -> None:
    widths = page.eval_on_selector_all("figure img", "images => images.map(i => i.naturalWidth)")

    assert len(widths) >= 4
    assert min(widths) > 100
    page.screenshot(path=screenshots / "report.png", full_page=True)


def test_a_click_on_a_header_sorts_by_number_and_again_backwards(page: Page) -> None:
    header = page.locator("#results-table th").filter(has_text="batch size")
    assert sizes(page)[:3] == ["9", "100", "20"]
    assert header.get_attribute("aria-sort") is None

    header.get_by_role("button").click()
    assert sizes(page)[::4] == ["9", "20", "100"]
    assert header.get_attribute("aria-sort") == "ascending"

    header.get_by_role("button").press("Enter")
    assert sizes(page)[::4] == ["100", "20", "9"]
    assert header.get_attribute("aria-sort") == "descending"

    page.locator("#results-table th").filter(has_text="tokens/s").get_by_role("button").click()
    assert header.get_attribute("aria-sort") is None
    last = page.locator("#results-table tbody tr").last
    assert last.locator("td").nth(3).inner_text() == "queued"


def test_rows_are_filtered_by_words_states_and_values_and_cards_with_them(page: Page) -> None:
    shown = page.get_by_role("status")
    expect(shown).to_have_text("12 of 12 runs")

    page.get_by_label("Search").fill("H200  BF16")
    expect(shown).to_have_text("3 of 12 runs")
    assert page.locator(".gallery li:not([hidden])").count() == 2  # one hasn't begun

    page.get_by_label("Search").fill("too fast")
    expect(shown).to_have_text("1 of 12 runs")

    page.get_by_label("Search").fill("")
    page.get_by_label("queued").check()
    expect(shown).to_have_text("1 of 12 runs")
    page.get_by_label("failed").check()
    expect(shown).to_have_text("2 of 12 runs")
    page.get_by_label("queued").uncheck()
    page.get_by_label("failed").uncheck()
    page.get_by_label("batch size", exact=True).select_option("9")
    expect(shown).to_have_text("4 of 12 runs")
    assert set(sizes(page)) == {"9"}
    page.get_by_label("Search").fill("no such thing")
    page.get_by_label("Search").press("Enter")
    expect(shown).to_have_text("0 of 12 runs")


def test_an_executed_notebook_opens_in_the_page_shows_math_and_hides_its_code(
    page: Page, screenshots: Path
) -> None:
    page.locator(".gallery a").first.click()

    frame = page.frame_locator("#run iframe")
    expect(frame.locator("math mfrac")).to_be_visible()
    expect(frame.locator("main img").first).to_be_visible()
    code = frame.locator(".jp-CodeCell .jp-Cell-inputWrapper").first
    expect(code).to_be_hidden()
    frame.get_by_label("Show code").check()
    expect(code).to_be_visible()
    about = page.get_by_role("region", name="About the run")
    expect(about).to_contain_text("start of the kernel")
    expect(about).to_contain_text("AMD EPYC 9654")
    page.screenshot(path=screenshots / "report_notebook.png")
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#run")).to_be_hidden()


def test_a_failed_run_opens_at_its_link_with_its_cell_and_code(page: Page) -> None:
    page.locator(".failure a").click()

    assert "#run=" in page.url
    about = page.get_by_role("region", name="About the run")
    expect(about).to_contain_text("ValueError: <too fast>")
    expect(about).to_contain_text("too_fast()")
    expect(page.frame_locator("#run iframe").locator(".jp-CodeCell").last).to_be_visible()
    expect(page.frame_locator("#run iframe").get_by_label("Show code")).to_be_checked()

    linked = page.url
    page.goto("about:blank")
    page.goto(linked)
    expect(page.locator("#run-name")).to_have_text("cpu · fp32 · batch size 100")
    page.goto(linked.partition("#")[0] + "#run=nothing")
    expect(page.locator("#run")).to_be_hidden()


def test_runs_are_walked_through_with_the_keyboard(page: Page) -> None:
    page.get_by_label("queued").focus()
    page.locator("#results-table tbody a").first.focus()
    page.keyboard.press("Enter")
    name = page.locator("#run-name")
    expect(name).to_have_text("cpu · fp32 · batch size 9")
    expect(page.get_by_role("button", name="Previous")).to_be_disabled()

    page.get_by_role("button", name="Next").press("Enter")
    expect(name).to_have_text("cpu · fp32 · batch size 100")
    page.keyboard.press("Enter")
    expect(name).to_have_text("cpu · fp32 · batch size 20")
    page.keyboard.press("Escape")
    expect(page.locator("#run")).to_be_hidden()
    expect(page).not_to_have_url(re.compile("#run="))


def test_a_run_that_left_no_notebook_says_so(page: Page) -> None:
    page.locator("#results-table tbody a").last.click()

    expect(page.locator("#run-notebook")).to_have_text("This run left no notebook.")


@pytest.mark.parametrize("width", [320, 420, 768])
def test_a_narrow_window_scrolls_tables_not_the_page(
    page: Page, screenshots: Path, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})

    overflow = "e => e.scrollWidth - e.clientWidth"
    assert page.locator("html").evaluate(overflow) <= 0
    page.screenshot(path=screenshots / f"report_{width}.png", full_page=True)
    page.locator(".failure a").click()
    expect(page.locator("#run iframe")).to_be_attached()
    assert page.locator("#run").evaluate(overflow) <= 0
    assert page.locator("#run").evaluate("e => e.scrollTop") == 0


def test_on_paper_there_are_no_controls_and_nothing_is_cut_off(page: Page) -> None:
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 690, "height": 980})

    expect(page.locator("#filters")).to_be_hidden()
    expect(page.locator(".gallery")).to_be_hidden()
    assert page.locator("html").evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    expect(page.locator("#results-table tbody tr").last).to_be_visible()


def test_two_batches_beside_each_other(browser: Browser, tmp_path: Path, screenshots: Path) -> None:
    stores = [Directory(tmp_path / name) for name in ("a", "b")]
    sides = [
        collect(make(store, slower, seed), store)
        for store, slower, seed in zip(stores, (1.0, 1.2), (1, 2), strict=True)
    ]
    path = tmp_path / "compare.html"
    path.write_text(compare_page(compare(*sides), "before", "after"), encoding="utf-8")

    for page in opened(browser, path):
        row = page.locator("tbody tr").filter(has_text="Run time").first
        expect(row).to_contain_text("worse")
        page.locator("summary").first.click()
        page.screenshot(path=screenshots / "compare.png", full_page=True)
        page.set_viewport_size({"width": 420, "height": 800})
        assert page.locator("html").evaluate("e => e.scrollWidth - e.clientWidth") <= 0
