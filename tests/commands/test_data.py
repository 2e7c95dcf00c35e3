"""`elab data`: what is shown, asked and exited with."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from enterprise_lab import data
from enterprise_lab.commands.data import data_app
from enterprise_lab.data import manifest_files
from enterprise_lab.data import record as recording
from enterprise_lab.data.download import part_of
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
    assert "a.bin is not recorded, as you don't agree" in refused.output
    assert "Recorded" not in refused.output
    assert isinstance(run("fetch", "new").exception, LabError)

    agreed = run("record", "new", answers="y\n")
    assert hashlib.sha256(CONTENT).hexdigest() in agreed.output
    assert "Recorded 1 file(s) in data_manifests/new.yaml." in agreed.output
    assert run("fetch", "new").exit_code == 0
    for name in ("new", "set"):
        assert f"the sha256 of every file of {name} is recorded" in run("record", name).output


@pytest.fixture
def unreadable(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of `set`, in the cache, as one that another user has made."""
    run("fetch", "set")
    folder, rmtree = cache / "set", shutil.rmtree

    def refusing(method: Callable[..., Any]) -> Callable[..., Any]:
        def asked(path: Path, *rest: Any, **more: Any) -> Any:
            if folder in Path(path).parents or (path == folder and method is rmtree):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return method(path, *rest, **more)

        return asked

    for owner, name in ((Path, "stat"), (Path, "lstat"), (shutil, "rmtree")):
        monkeypatch.setattr(owner, name, refusing(getattr(owner, name)))
    return folder


@pytest.mark.usefixtures("unreadable")
def test_a_folder_that_may_not_be_read_hides_no_other() -> None:
    found = {one["name"]: one["state"] for one in json.loads(run("list", "--json").output)}
    assert found == {"new": "sha256 not recorded", "set": "unreadable"}

    verified = run("verify")
    assert verified.exit_code == 1
    assert "set: a.bin cannot be read: Permission denied" in verified.output


def test_cleaning_tells_what_it_cannot_remove_and_removes_the_rest(unreadable: Path) -> None:
    run("record", "new", "--yes")
    cleaned = run("clean", "--yes")

    assert cleaned.exit_code == 1
    assert f"{unreadable} can't be removed: Permission denied.\nMake it" in cleaned.output
    assert "Freed 6 kB." in cleaned.output
    assert not unreadable.with_name("new").exists()


def test_a_file_in_the_place_of_the_folder_is_told_and_cleaned(cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / "set").write_text("in the way")

    told = run("fetch", "set").exception
    assert isinstance(told, LabError)
    assert told.problem.startswith(f"{cache / 'set'} is in the way, while set was fetched")
    assert "Freed 10 B." in run("clean", "set", "--yes").output
    assert run("fetch", "set").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [(("fetch", "set"), "2 kB of 6 kB."), (("record", "new"), "2 kB of under 10 kB.")],
)
def test_an_interrupted_download_says_where_it_goes_on(
    cache: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, str], told: str
) -> None:
    monkeypatch.delenv("ENTERPRISE_LAB_MIRROR")
    part = part_of(cache / words[1] / "a.bin")

    def interrupted(*_: object) -> None:
        part.parent.mkdir(parents=True)
        part.write_bytes(CONTENT[:2000])
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "fetch", interrupted)
    monkeypatch.setattr(recording, "record", interrupted)
    found = run(*words)

    assert found.exit_code == 130
    assert f"Run the same again: it goes on from {told}" in found.output
