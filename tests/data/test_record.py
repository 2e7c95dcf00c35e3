"""Recording a sha256: what was downloaded is shown, agreed to, and written into the manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from enterprise_lab import data
from enterprise_lab.data import manifest_files, record
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.record import Finding

from .conftest import Server, Workshop, digest

TEXT = """# Who wrote this manifest, and why
name: set
title: "A set"   # of two files
kind: data
about: >-
  Two files,
  on two lines.
licence: {name: CC0, address: "https://x.org/cc0", student_may: Do all.}
citation: Nobody (2026)
homepage: https://x.org/
files:
  - path: a.bin
    addresses: [ADDRESS/gone, ADDRESS/a.bin]
    bytes: null   # nobody knows
    sha256: null
    sha256_source: >-
      not recorded, as no
      published one was found

    at_most_bytes: 1000
  # the second
  - {path: b.bin, addresses: [ADDRESS/b.bin], bytes: null, sha256: ~, sha256_source: 'none',
     at_most_bytes: 10}
# the end, without a newline"""


@pytest.fixture
def manifest(workshop: Workshop, server: Server) -> Path:
    file = workshop.manifests / "set.yaml"
    file.write_text(TEXT.replace("ADDRESS", server.address))
    server.serve("/a.bin", b"a" * 900)
    server.serve("/b.bin", b"b")
    return file


def test_size_and_digest_are_written_and_the_rest_stays(manifest: Path, server: Server) -> None:
    before = manifest.read_text()
    with pytest.raises(DataError, match="Record it with `elab data record set`"):
        data.fetch("set")
    shown: list[Finding] = []

    written = record.record("set", lambda found: not shown.append(found))

    assert [(one.path, one.size_bytes, one.sha256) for one in shown] == [
        ("a.bin", 900, digest(b"a" * 900)),
        ("b.bin", 1, digest(b"b")),
    ]
    assert written == shown
    asked = data.manifest("set")
    assert asked.recorded
    assert asked.size_bytes == 901
    after = manifest.read_text()
    changed = ("null", "{path", "sha256_source", "recorded", "published")
    for line in before.splitlines():
        assert line in after or any(word in line for word in changed)
    assert "bytes: 900   # nobody knows" in after
    assert after.endswith("# the end, without a newline")
    asked_before = len(server.asked)
    assert (data.fetch("set") / "a.bin").read_bytes() == b"a" * 900
    assert len(server.asked) == asked_before


def test_what_is_not_agreed_to_is_dropped(manifest: Path, workshop: Workshop) -> None:
    before = manifest.read_text()

    assert record.record("set", lambda _: False) == []

    assert manifest.read_text() == before
    assert not [path for path in workshop.cache.rglob("*.bin*") if path.is_file()]


@pytest.mark.parametrize(
    ("content", "how", "told"),
    [
        (b"a" * 1001, {}, "offers 1,001 bytes where the manifest says at most 1,000"),
        (b"a" * 1001, {"length": False}, "holds more than the 1,000 bytes"),
        (b"a" * 900, {"breaks_after": 100}, "broke off after 100 B"),
        (b"", {}, "is empty"),
        (b"<html>", {"kind": "text/html"}, "a web page"),
    ],
)
def test_what_cannot_be_the_file_is_not_recorded(
    manifest: Path, server: Server, content: bytes, how: dict[str, object], told: str
) -> None:
    server.serve("/a.bin", content, **how)
    before = manifest.read_text()

    with pytest.raises(DataError, match=told):
        record.record("set", lambda _: True)
    assert manifest.read_text() == before


def test_what_was_downloaded_is_kept_where_the_manifest_cannot_be_written(
    manifest: Path, server: Server
) -> None:
    in_the_way = manifest.with_name(".set.yaml.new")
    in_the_way.mkdir()
    for _ in range(2):
        with pytest.raises(DataError, match=r"set.yaml can't be written: .*\. Make it .*writable"):
            record.record("set", lambda _: True)
    in_the_way.rmdir()

    written = record.record("set", lambda _: True)

    assert [asked[0] for asked in server.asked] == ["/gone", "/a.bin", "/b.bin"]
    assert [one.source for one in written] == [f"{server.address}/{x}.bin" for x in "ab"]
    assert (data.fetch("set") / "a.bin").read_bytes() == b"a" * 900
    assert not (data.fetch("set") / ".incoming").exists()


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize("etag", ['"one"', ""])
def test_a_cut_off_download_goes_on_only_with_the_same_version(server: Server, etag: str) -> None:
    server.serve("/a.bin", b"a" * 900, etag=etag, breaks_after=100)
    with pytest.raises(DataError, match="broke off after 100 B"):
        record.record("set", lambda _: True)
    server.serve("/a.bin", b"b" * 900, etag='"two"')
    server.asked.clear()

    record.record("set", lambda _: True)

    assert (server.asked[0] == ("/a.bin", "bytes=100-", '"one"')) == bool(etag)
    assert (data.fetch("set") / "a.bin").read_bytes() == b"b" * 900


@pytest.mark.usefixtures("manifest")
def test_an_empty_file_is_asked_for_again(server: Server) -> None:
    server.serve("/a.bin", b"")
    with pytest.raises(DataError, match="is empty"):
        record.record("set", lambda _: True)
    server.serve("/a.bin", b"a")

    assert [one.size_bytes for one in record.record("set", lambda _: True)] == [1, 1]


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize("folder", ['a "quoted" one', "back\\slash", "Prüfung 😀", "two\nlines: #"])
def test_any_mirror_folder_can_be_written_into_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    mirror = tmp_path / folder
    monkeypatch.setenv("ENTERPRISE_LAB_MIRROR", str(mirror))
    (mirror / "set").mkdir(parents=True)
    for name in ("a.bin", "b.bin"):
        (mirror / "set" / name).write_bytes(b"x")

    record.record("set", lambda _: True)

    files = data.manifest("set").files
    assert files
    assert files[1].sha256_source.endswith(f", from {mirror}/set/b.bin")


@pytest.mark.usefixtures("manifest")
def test_a_mirrors_file_is_not_taken_for_a_download(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in part, after a download that was cut off, nor whole."""
    server.files["/a.bin"].breaks_after = 100
    with pytest.raises(DataError, match="broke off"):
        record.record("set", lambda _: True)
    server.files["/a.bin"].breaks_after = None
    (tmp_path / "mirror" / "set").mkdir(parents=True)
    (tmp_path / "mirror" / "set" / "a.bin").write_bytes(b"other")

    def stopped(_: Finding) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setenv("ENTERPRISE_LAB_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(KeyboardInterrupt):
        record.record("set", stopped)
    monkeypatch.delenv("ENTERPRISE_LAB_MIRROR")

    assert record.record("set", lambda _: True)[0].sha256 == digest(b"a" * 900)


@pytest.mark.usefixtures("manifest")
def test_a_mirror_can_be_recorded(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTERPRISE_LAB_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror" / "set").mkdir(parents=True)
    for name, content in (("a.bin", b"x"), ("b.bin", b"y")):
        (tmp_path / "mirror" / "set" / name).write_bytes(content)

    record.record("set", lambda _: True)

    assert not server.asked
    files = data.manifest("set").files
    assert files
    assert files[0].sha256 == digest(b"x")


def test_what_is_recorded_already_is_left_alone(manifest: Path) -> None:
    record.record("set", lambda _: True)
    before = manifest.read_text()
    assert record.record("set", lambda _: True) == []
    assert manifest.read_text() == before


def test_the_manifests_of_the_package_can_be_recorded(workshop: Workshop, server: Server) -> None:
    """Their text is such that size, sha256 and source can be written into it."""
    folder = Path(manifest_files.__file__).parents[2] / "data_manifests"
    for name in ("bert-large-uncased", "bert-large-squad"):
        text = (folder / f"{name}.yaml").read_text(encoding="utf-8")
        lines = [
            f"      - {server.address}/a.bin" if line.startswith("      - https") else line
            for line in text.splitlines()
        ]
        (workshop.manifests / f"{name}.yaml").write_text("\n".join(lines), encoding="utf-8")
        server.serve("/a.bin", b"weights")

        assert len(record.record(name, lambda _: True)) == 4
        assert data.manifest(name).recorded
