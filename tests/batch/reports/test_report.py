from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag

from enterprise_lab.batch.attempt import Predicted, State
from enterprise_lab.batch.reports.report import write_report
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.measure.records import Origin

from ..past import batch, executed, figure, leave, run, status


def page(store: Directory, address: str) -> BeautifulSoup:
    content = Path(address).read_text(encoding="utf-8")
    assert address == f"{store.url}/tiny/report/index.html"
    return BeautifulSoup(content, "html.parser")


@pytest.fixture(scope="module")
def soup(tmp_path_factory: pytest.TempPathFactory) -> BeautifulSoup:
    store = Directory(tmp_path_factory.mktemp("report"))
    said = Predicted(seconds=18, low_seconds=10, high_seconds=30, memory_bytes=1e9)
    made = batch(
        *(run(speed=speed, predicted=said, usd_per_hour=36.0) for speed in (1.0, 2.0, 4.0, 8.0))
    )
    for speed, one in zip((1, 2), made.runs, strict=False):
        figures = [
            figure("cost_usd", 1000 * speed, "USD", spread=0.2),
            figure("mfu", 0.2 * speed, "1", Origin.MEASURED),
        ]
        leave(store, "tiny", status(one, seconds=10 * speed), figures, executed())
    leave(store, "tiny", status(made.runs[2], State.TIMED_OUT, error="not done after 600 s"))
    error = "ValueError: </script><b>too fast</b>"
    leave(
        store, "tiny", status(made.runs[2], State.FAILED, attempt=2, error=error), [],
        executed(error=error), log=f"the last words {error}\n",
    )  # fmt: skip
    earlier = run(speed=1.0, code="01d")
    leave(store, "tiny", status(earlier, minutes=-60))
    return page(store, write_report(made, store))


def views(soup: BeautifulSoup) -> list[dict[str, object]]:
    return [json.loads(s.string) for s in soup.select("script[type='application/json']")]


def test_nothing_is_loaded_from_anywhere(soup: BeautifulSoup) -> None:
    loads = [e.get("src") or e.get("href") for e in soup.select("[src], link[href]")]

    assert all(address.startswith("data:") for address in loads)
    policy = soup.select_one("meta[http-equiv]")["content"]
    assert policy.startswith("default-src 'none'")
    assert "unsafe-inline" not in policy.partition("script-src")[2]


def test_links_lead_to_runs_that_are_there(soup: BeautifulSoup) -> None:
    links = {a["href"].removeprefix("#run=") for a in soup.select("a")}

    assert links == {row["data-run"] for row in soup.select("#results-table tbody tr")}
    assert all(soup.find(id=f"run-{run_id}") for run_id in links)


def test_the_table_has_a_row_a_run_and_an_origin_a_figure(soup: BeautifulSoup) -> None:
    rows = soup.select("#results-table tbody tr")
    heads = [h.text for h in soup.select("#results-table th")]

    assert heads == [
        "speed", "state", "attempts", "cost", "MFU", "run time", "peak memory of the run",
        "cost of the run",
    ]  # fmt: skip
    assert [r.select_one("td").text for r in rows] == ["1.0", "2.0", "4.0", "8.0"]
    states = ["succeeded", "succeeded", "failed", "queued"]
    assert [r.select_one(".state").text for r in rows] == states
    run_time, cost = rows[1].select("td")[5], rows[1].select("td")[3]
    assert isinstance(run_time, Tag)
    assert run_time["data-sort"] == "20.0"
    assert [o.text for o in run_time.select(".origin")] == ["measured", "estimated"]
    assert cost.select_one(".interval").text == "$1,600 to $2,400"
    assert rows[2].select("td")[2].text == "2"


def test_the_head_adds_up_all_attempts(soup: BeautifulSoup) -> None:
    totals = {d.dt.text: d.dd.text for d in soup.select(".tiles > div")}

    assert totals["time of all runs together"] == "70 s"
    assert totals["cost of all runs together"] == "$0.70"
    assert totals["attempts made again"] == "1"
    assert totals["run on"] == "AMD EPYC 9654"


def test_a_failure_is_told_first_with_its_error_its_cell_and_its_last_words(
    soup: BeautifulSoup,
) -> None:
    failure = soup.select_one("main > section .failure")

    assert failure is not None
    assert soup.main.section.h2.text == "What went wrong"
    assert "ValueError: </script><b>too fast</b>" in failure.select_one(".error").text
    assert "after 2 attempts" in failure.text
    cell, log = failure.select("pre")
    assert cell.text == "too_fast()"
    assert "the last words" in log.text


def test_what_a_notebook_says_is_text_wherever_it_stands(soup: BeautifulSoup) -> None:
    assert soup.h1.text == "Tiny & sound"
    assert soup.select("b")[0].find_parent("section") is not None
    assert not any(b.text == "too fast" for b in soup.select("b"))
    failed = next(v for v in views(soup) if v["state"] == "failed")
    assert failed["error"] == "ValueError: </script><b>too fast</b>"


def test_what_changed_since_earlier_runs_is_said(soup: BeautifulSoup) -> None:
    again = soup.find(id="again").find_parent("section")

    assert [li.text for li in again.select("li")] == ["the notebook's code: 1 run (speed 1.0)"]


def test_predictions_are_held_against_measurements(soup: BeautifulSoup) -> None:
    section = soup.find("table", class_=None)
    rows = [[c.text.strip() for c in r.select("th, td")] for r in section.select("tbody tr")]

    assert ["Run time", "2", "2 of 2", "0.83", "28 %"] in rows
    assert ["Peak memory of the run", "2", "no interval", "1.50", "50 %"] in rows


def test_there_are_comparison_pictures_with_words(soup: BeautifulSoup) -> None:
    images = soup.select("figure img")

    assert len(images) == 3
    for image in images:
        assert "estimated" in image["alt"] or "measured" in image["alt"]
        assert b"<svg" in base64.b64decode(image["src"].partition(",")[2])


def test_a_run_has_a_view_of_its_own(soup: BeautifulSoup) -> None:
    first = views(soup)[0]

    assert first["name"] == "speed 1.0"
    assert first["parameters"] == [["speed", "1.0"]]
    assert ["host", "node-1"] in first["provenance"]
    assert ["digest of the notebook's code", "c0de"] in first["provenance"]
    assert [name for name, *_ in first["steps"]] == [
        "start of the kernel", "cell 1 of 3", "cell 2 of 3", "cell 3 of 3",
    ]  # fmt: skip
    failed = next(v for v in views(soup) if v["state"] == "failed")
    assert [a[:2] for a in failed["attempts"]] == [["1", "timed_out"], ["2", "failed"]]


@pytest.mark.parametrize("parameters", [[], [{}], [{"x": 1}, {"x": 2}], [{"notebook": "?"}]])
def test_a_batch_that_has_not_begun_has_a_report(
    tmp_path: Path, parameters: list[dict[str, int]]
) -> None:
    store = Directory(tmp_path)

    soup = page(store, write_report(batch(*(run(**p) for p in parameters)), store))

    assert len(soup.select("#results-table tbody tr")) == len(parameters)
