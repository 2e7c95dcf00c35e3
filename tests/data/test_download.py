"""Downloads that go well, break off, are killed, or bring something else than was asked for."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enterprise_lab import data
from enterprise_lab.data import download, store
from enterprise_lab.data.errors import DataError

from .conftest import Server, Workshop, file_of

CONTENT = random.Random(4).randbytes(3_000_000)
CHILD = """
import sys
from pathlib import Path
from enterprise_lab import data
from enterprise_lab.data import manifest_files
manifest_files.folder = lambda: Path(sys.argv[1])
print(data.fetch(sys.argv[2]))
"""


@pytest.fixture
def big(workshop: Workshop, server: Server) -> Path:
    """A manifest of one file, which the server has; where it is to arrive."""
    workshop.write("big", [file_of("a.bin", CONTENT, f"{server.address}/a.bin")])
    server.serve("/a.bin", CONTENT)
    return workshop.cache / "big" / "a.bin"


def part_of_size(target: Path, content: bytes, validator: str = "", address: str = "") -> None:
    part = download.part_of(target)
    part.parent.mkdir(parents=True)
    part.write_bytes(content)
    if address:
        part.with_name(f"{part.name}.from").write_text(f"{address}\n{validator}\n")


def child(workshop: Workshop, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workshop.manifests), name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(holds: object) -> None:
    deadline = time.monotonic() + 60
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file_arrives_whole_and_only_once(big: Path, server: Server) -> None:
    assert data.state("big") == "to fetch"

    assert data.fetch("big") == big.parent
    assert data.fetch("big") == data.at_hand("big") == big.parent

    assert big.read_bytes() == CONTENT
    assert data.state("big") == "at hand"
    assert [path.name for path in big.parent.iterdir()] == ["a.bin"]
    assert len(server.asked) == 1


def test_a_download_goes_on_where_it_was_killed(
    big: Path, server: Server, workshop: Workshop
) -> None:
    served = server.files["/a.bin"]
    served.stops_after = 1_000_000
    killed = child(workshop, "big")
    part = download.part_of(big)
    wait_until(lambda: part.exists() and part.stat().st_size > 500_000)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    served.goes_on.set()
    there = part.stat().st_size
    assert not big.exists()
    assert store.kept_bytes(data.manifest("big")) > there - 1

    data.fetch("big")

    assert big.read_bytes() == CONTENT
    assert server.asked[-1] == ("/a.bin", f"bytes={there}-", '"one"')
    assert [path.name for path in big.parent.iterdir()] == ["a.bin"]


def test_two_downloads_at_once_give_one(big: Path, server: Server, workshop: Workshop) -> None:
    served = server.files["/a.bin"]
    served.stops_after = 100_000
    first = child(workshop, "big")
    wait_until(lambda: server.asked)
    second = child(workshop, "big")
    assert second.stderr
    assert second.stderr.readline() == "Another process works on big; waiting for it.\n"
    served.goes_on.set()

    for process in (first, second):
        told, complaints = process.communicate(timeout=60)
        assert (process.returncode, told.strip()) == (0, str(big.parent)), complaints
    assert big.read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_fetch_that_waited_for_a_cleaning_brings_all_again(
    big: Path, server: Server, workshop: Workshop
) -> None:
    data.fetch("big")
    big.write_bytes(b"harmed")
    with store.alone(data.manifest("big")):
        waiting = child(workshop, "big")
        assert waiting.stderr
        assert waiting.stderr.readline() == "Another process works on big; waiting for it.\n"
        shutil.rmtree(big.parent)

    complaints = waiting.communicate(timeout=60)[1]
    assert waiting.returncode == 0, complaints
    assert big.read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_a_broken_connection_is_taken_up_again(big: Path, server: Server) -> None:
    server.files["/a.bin"].breaks_after = 1_000_000

    data.fetch("big")

    assert big.read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked][:1] == [""]
    assert all(asked[1] for asked in server.asked[1:])


def test_a_connection_that_keeps_breaking_is_told_and_gone_on_with_later(
    big: Path, server: Server
) -> None:
    server.files["/a.bin"].breaks_after = 100_000
    with pytest.raises(DataError, match=r"broke off after \d+ kB of 3 MB: .*goes on from there"):
        data.fetch("big")
    assert not big.exists()

    server.files["/a.bin"].breaks_after = None
    data.fetch("big")
    assert big.read_bytes() == CONTENT
    assert server.asked[-1][1].startswith("bytes=")


@pytest.mark.parametrize("etag", ['"one"', ""])
def test_a_server_without_ranges_begins_anew(big: Path, server: Server, etag: str) -> None:
    served = server.files["/a.bin"]
    served.ranges, served.etag = False, etag
    part_of_size(big, CONTENT[:1000])

    data.fetch("big")

    assert big.read_bytes() == CONTENT


def test_a_part_of_another_version_is_not_gone_on_with(big: Path, server: Server) -> None:
    part_of_size(big, b"old" * 1000, '"old"', f"{server.address}/a.bin")

    data.fetch("big")

    assert server.asked == [("/a.bin", "bytes=3000-", '"old"')]
    assert big.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [1000, len(CONTENT), len(CONTENT) + 1])
def test_a_stale_part_is_thrown_away_once(big: Path, server: Server, size: int) -> None:
    part_of_size(big, bytes(size))

    data.fetch("big")

    assert big.read_bytes() == CONTENT
    assert server.asked[-1][1] == ""


def test_another_part_than_was_asked_for_is_refused(big: Path, server: Server) -> None:
    server.files["/a.bin"].range_begins = 7
    part_of_size(big, CONTENT[:1000])

    with pytest.raises(DataError, match="sends another part than was asked for"):
        data.fetch("big")
    data.fetch("big")
    assert big.read_bytes() == CONTENT


def test_a_part_beyond_the_servers_file_begins_anew(workshop: Workshop, server: Server) -> None:
    """416: the server's file is shorter than what is here already."""
    workshop.write("big", [file_of("a.bin", CONTENT, f"{server.address}/a.bin")])
    server.serve("/a.bin", CONTENT[:100])
    part_of_size(workshop.cache / "big" / "a.bin", CONTENT[:5000])

    with pytest.raises(DataError, match="offers 100 bytes where the manifest says 3,000,000"):
        data.fetch("big")


def test_another_address_is_tried(workshop: Workshop, server: Server) -> None:
    addresses = [f"{server.address}/{name}" for name in ("gone", "wrong", "a.bin")]
    workshop.write("big", [file_of("a.bin", CONTENT, *addresses)])
    server.serve("/wrong", bytes(len(CONTENT)))
    server.serve("/a.bin", CONTENT)

    assert (data.fetch("big") / "a.bin").read_bytes() == CONTENT
    assert [asked[0] for asked in server.asked] == ["/gone", "/wrong", "/a.bin"]


def test_every_address_that_failed_is_told(workshop: Workshop, server: Server) -> None:
    addresses = [f"{server.address}/{name}" for name in ("wrong", "gone")]
    workshop.write("big", [file_of("a.bin", CONTENT, *addresses)])
    server.serve("/wrong", bytes(len(CONTENT)))

    with pytest.raises(DataError, match=r"wrong sent has the sha256.*gone answers 404"):
        data.fetch("big")


@pytest.mark.parametrize(
    ("content", "how", "told"),
    [
        (bytes(len(CONTENT)), {}, "has the sha256"),
        (CONTENT + b"!", {}, "offers 3,000,001 bytes where the manifest says 3,000,000"),
        (CONTENT + b"!", {"length": False}, "holds more than the 3,000,000 bytes"),
        (CONTENT[:-1], {}, "offers 2,999,999 bytes"),
        (CONTENT[:-1], {"length": False}, "broke off after 3 MB of 3 MB"),
        (CONTENT, {"status": 404}, "answers 404"),
        (CONTENT, {"status": 503}, "answers 503"),
        (b"<html>Log in</html>", {"kind": "text/html; charset=utf-8"}, "sends a web page"),
        (b"", {}, "offers 0 bytes"),
    ],
)
def test_what_is_not_the_file_is_never_used(
    big: Path, server: Server, content: bytes, how: dict[str, object], told: str
) -> None:
    server.serve("/a.bin", content, **how)

    with pytest.raises(DataError, match=told):
        data.fetch("big")

    assert not big.exists()
    with pytest.raises(DataError, match="is not there"):
        data.at_hand("big")


def test_no_network_is_told(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    workshop.write("big", [file_of("a.bin", CONTENT, "http://127.0.0.1:9/a.bin")])

    with pytest.raises(DataError, match=r"cannot be reached: .*refused.*ENTERPRISE_LAB_MIRROR"):
        data.fetch("big")


@pytest.mark.parametrize("harm", ["truncated", "swapped", "link", "folder"])
def test_a_file_that_was_harmed_is_refused_and_fetched_again(big: Path, harm: str) -> None:
    data.fetch("big")
    if harm == "truncated":
        big.write_bytes(CONTENT[:-1])
    elif harm == "swapped":
        big.write_bytes(bytes(len(CONTENT)))
    else:
        other = big.parent.parent / "other"
        big.rename(other)
        big.symlink_to(other) if harm == "link" else (big / "inner").mkdir(parents=True)

    told = "has" if harm in ("truncated", "swapped") else "is not a plain file"
    assert (data.state("big") == "at hand") == (harm in ("swapped", "link"))
    with pytest.raises(DataError, match=f"a.bin {told}"):
        data.at_hand("big")
    data.fetch("big")
    assert big.read_bytes() == CONTENT
    assert not big.is_symlink()


@pytest.mark.usefixtures("big")
def test_a_disk_too_small_is_told_before_anything_is_asked(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=12_000_000))

    with pytest.raises(DataError, match=r"needs up to 3 MB in .*, and 12 MB are free"):
        data.fetch("big")
    assert not server.asked


def test_a_disk_that_fills_up_is_told_and_gone_on_with(
    big: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = download._write

    def full(sink, chunk, limit, source):
        if sink.tell() > 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(sink, chunk, limit, source)

    monkeypatch.setattr(download, "_write", full)
    with pytest.raises(DataError, match="The disk is full, while big was fetched"):
        data.fetch("big")
    assert not big.exists()

    monkeypatch.setattr(download, "_write", write)
    data.fetch("big")
    assert big.read_bytes() == CONTENT
    assert server.asked[-1][1].startswith("bytes=")


def test_a_cache_that_may_not_be_written_is_told(big: Path) -> None:
    big.parent.parent.parent.mkdir(parents=True)
    big.parent.parent.write_text("a file where the folder should be")

    with pytest.raises(DataError, match=r"while big was fetched.*XDG_CACHE_HOME"):
        data.fetch("big")


class TestMirror:
    @pytest.fixture
    def mirrored(self, workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Path:
        mirror = workshop.manifests.with_name("mirror")
        file = mirror / "big" / "a.bin"
        file.parent.mkdir(parents=True)
        file.write_bytes(CONTENT)
        monkeypatch.setenv("ENTERPRISE_LAB_MIRROR", str(mirror))
        return file

    @pytest.mark.usefixtures("mirrored")
    def test_it_is_used_instead_of_the_network(self, big: Path, server: Server) -> None:
        data.fetch("big")
        assert big.read_bytes() == CONTENT
        assert not server.asked

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (None, "cannot be read: No such file"),
            (CONTENT[:-1], "has 2,999,999 bytes instead of 3,000,000"),
            (CONTENT + b"!", "holds more than the 3,000,000 bytes"),
            (bytes(len(CONTENT)), "has the sha256"),
            ("folder", "is not a plain file"),
            ("pipe", "is not a plain file"),
        ],
    )
    def test_a_wrong_file_of_it_is_named(
        self, mirrored: Path, big: Path, content: bytes | str | None, told: str
    ) -> None:
        mirrored.unlink()
        if content == "folder":
            mirrored.mkdir()
        elif content == "pipe":
            os.mkfifo(mirrored)
        elif isinstance(content, bytes):
            mirrored.write_bytes(content)

        with pytest.raises(DataError, match=f"mirror/big/a.bin {told}"):
            data.fetch("big")
        assert not big.exists()


def test_cleaning_frees_what_was_kept(big: Path) -> None:
    data.fetch("big")
    part_of_size(big.with_name("other"), b"12345")

    assert store.clean("big") == len(CONTENT) + 5
    assert not big.parent.exists()
    assert store.clean("big") == 0
