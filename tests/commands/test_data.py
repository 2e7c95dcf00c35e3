"""`elab data`: what is shown, asked and exited with."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from enterprise_lab.commands.data import data_app
from enterprise_lab.data import manifest_files
from enterprise_lab.errors import LabError

CONTENT = b"a file" * 1000


def run(*words: str, answers: str = "", columns: int = 100) -> Result:
    return CliRunner().invoke(data_app, list(words), input=answers, env={"COLUMNS": str(columns)})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One data set that a mirror has, recorded as `set` and unrecorded as `new`."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    monkeypatch.setattr(manifest_files, "folder", lambda: folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ENTERPRISE_LAB_MIRROR", str(tmp_path / "mirror"))
    file = {
        "path": "a.bin",
        "addresses": ["https://x.org/a.bin"],
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "sha256_source": "this test",
    }
    unknown = file | {"bytes": None, "sha256": None, "at_most_bytes": 10_000}
    for name, one in (("set", file), ("new", unknown)):
        (tmp_path / "mirror" / name).mkdir(parents=True)
        (tmp_path / "mirror" / name / "a.bin").write_bytes(CONTENT)
        content = {
            "name": name,
            "title": name.title(),
            "kind": "data",
            "about": "A [set] of bytes.",
            "licence": {"name": "CC0", "address": "https://x.org/cc0", "student_may": "Do all."},
            "citation": "Nobody (2026)",
            "homepage": "https://x.org/",
            "files": [one],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "cache" / "enterprise-lab" / "data"


def test_the_list_of_the_package_is_readable_at_100_columns() -> None:
    found = run("list")
    assert found.exit_code == 0, found.output
    lines = found.output.splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in found.output
    for one in manifest_files.manifests():
        assert any(f" {one.name} " in line for line in lines)
    assert "embedded" in found.output


def test_programs_get_every_manifest(cache: Path) -> None:
    found = {one["name"]: one for one in json.loads(run("list", "--json").output)}

    assert found["set"]["state"] == "to fetch"
    assert found["new"]["state"] == "sha256 not recorded"
    assert found["new"]["size_bytes"] is None
    assert found["set"]["folder"] == str(cache / "set")
    assert json.loads(run("show", "set", "--json").output) == found["set"]


@pytest.mark.usefixtures("cache")
def test_one_is_shown_with_all_that_a_student_needs() -> None:
    text = run("show", "set").output
    for said in ("A [set] of bytes.", "Do all.", "Nobody (2026)", "https://x.org/a.bin", "6 kB",
                 "to fetch", "this test", "none"):  # fmt: skip
        assert said in text


def test_fetching_prints_the_folder_and_verifying_reads_it(cache: Path) -> None:
    assert run("verify").output == ""
    assert run("fetch", "set").output == f"{cache / 'set'}\n"
    assert "at hand" in run("list").output
    assert run("verify").output == "set: as it should be\n"

    (cache / "set" / "a.bin").write_bytes(bytes(len(CONTENT)))
    for words in (("verify",), ("verify", "set")):
        found = run(*words)
        assert found.exit_code == 1
        assert "set: a.bin has the sha256" in found.output
        assert "elab data fetch" in found.output


def test_nothing_is_fetched_where_one_name_is_unknown(cache: Path) -> None:
    found = run("fetch", "set", "sett")
    assert isinstance(found.exception, LabError)
    assert not (cache / "set").exists()


def test_cleaning_asks_and_says_what_it_frees(cache: Path) -> None:
    assert "Nothing of it was downloaded." in run("clean").output
    run("fetch", "set")

    refused = run("clean", answers="n\n")
    assert refused.exit_code == 1
    assert "set: 6 kB in" in refused.output
    assert (cache / "set" / "a.bin").exists()

    assert "Freed 6 kB." in run("clean", "set", "--yes").output
    assert not (cache / "set").exists()


@pytest.mark.usefixtures("cache")
def test_recording_shows_asks_and_writes() -> None:
    refused = run("record", "new", answers="n\n")
    assert "Recorded 0 file(s)" in refused.output
    assert isinstance(run("fetch", "new").exception, LabError)

    agreed = run("record", "new", answers="y\n")
    assert hashlib.sha256(CONTENT).hexdigest() in agreed.output
    assert "Recorded 1 file(s) in data_manifests/new.yaml." in agreed.output
    assert run("fetch", "new").exit_code == 0
