import json
from pathlib import Path

from typer.testing import CliRunner

from enterprise_lab.cli import app
from enterprise_lab.commands.validation_page import page, write_page
from enterprise_lab.estimate.validation import held_out, impossible, scores, worst_rows

DOCS = Path(__file__).parents[2] / "docs"


def run(*words):
    found = CliRunner().invoke(app, ["validate", *words], env={"COLUMNS": "200"})
    assert found.exit_code == 0, found.output
    return found.output


def test_every_family_and_every_impossible_row_is_printed():
    text = run()
    for score in scores(held_out()):
        assert score.family in text
        assert f"{100 * score.median:.1f} %" in text
    for row in impossible():
        assert row.id in text


def test_programs_get_every_row():
    rows = json.loads(run("--json"))
    assert len(rows) == len(held_out())
    first = rows[0]
    assert first["covered"] == (first["low"] <= first["observed"] <= first["high"])


def test_the_worst_rows_have_reasons():
    assert all(row.reason for row in worst_rows(held_out(), 10))


def test_the_page_of_the_docs_is_what_the_rows_say():
    assert (DOCS / "validation.md").read_text(encoding="utf-8") == page(held_out())


def test_a_page_is_written_with_its_pictures(tmp_path):
    files = write_page(held_out()[:50], tmp_path)
    assert [file.name for file in files] == ["validation.png", "residuals.png", "validation.md"]
    text = files[-1].read_text(encoding="utf-8")
    for file in files[:-1]:
        assert f"images/{file.name}" in text
        assert file.read_bytes().startswith(b"\x89PNG")
