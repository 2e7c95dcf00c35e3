"""Archives, honest, broken and evil: unpacked whole and inside their folder, or not at all."""

from __future__ import annotations

import gzip
import io
import random
import stat
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from enterprise_lab import data
from enterprise_lab.data import archives
from enterprise_lab.data.archives import ArchiveError
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.schema import Unpack

from .conftest import Server, Workshop, file_of

BOUNDS = Unpack(into="out", at_most_bytes=1_000_000, at_most_files=10)
FILES = {"readme": b"hello", "deep/er/file.bin": random.Random(0).randbytes(300_000)}
KINDS = ("a.zip", "a.tar", "a.tar.gz")


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    if kind.endswith(".zip"):
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
    else:
        with tarfile.open(fileobj=sink, mode="w:gz" if kind.endswith("gz") else "w") as archive:
            for name, content in files.items():
                one = tarfile.TarInfo(name)
                one.size = len(content)
                archive.addfile(one, io.BytesIO(content))
    return sink.getvalue()


def tar_of(*members: tarfile.TarInfo) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for one in members:
            archive.addfile(one, io.BytesIO(bytes(one.size)))
    return sink.getvalue()


def member(
    name: str, kind: bytes = tarfile.REGTYPE, to: str = "", size: int = 0
) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.size = kind, to, size
    return one


def unpack(folder: Path, kind: str, content: bytes, bounds: Unpack = BOUNDS) -> Path:
    archive = folder / kind
    archive.write_bytes(content)
    archives.unpack(archive, "0" * 64, folder, bounds)
    return folder / bounds.into


def refused(folder: Path, kind: str, content: bytes, told: str, bounds: Unpack = BOUNDS) -> None:
    with pytest.raises(ArchiveError, match=told):
        unpack(folder, kind, content, bounds)
    assert [path.name for path in folder.iterdir()] == [kind]


@pytest.mark.parametrize("kind", KINDS)
def test_files_come_out_as_they_went_in(tmp_path: Path, kind: str) -> None:
    out = unpack(tmp_path, kind, packed(kind, FILES))

    assert {name: (out / name).read_bytes() for name in FILES} == FILES
    assert archives.faults("0" * 64, tmp_path, BOUNDS) == []
    assert archives.faults("1" * 64, tmp_path, BOUNDS) == ["out is not unpacked"]


def test_a_single_packed_file_comes_out(tmp_path: Path) -> None:
    out = unpack(tmp_path, "words.txt.gz", gzip.compress(b"words"))
    assert (out / "words.txt").read_bytes() == b"words"


def test_folders_and_a_leading_dot_are_no_matter(tmp_path: Path) -> None:
    content = tar_of(member("./", tarfile.DIRTYPE), member("./d/", tarfile.DIRTYPE),
                     member("./d/f", size=3))  # fmt: skip
    assert (unpack(tmp_path, "a.tgz", content) / "d" / "f").read_bytes() == bytes(3)


EVIL = (
    "../f", "/f", "a/../../f", "a/../f", "..", "a/..", "\\f", "..\\f", "C:f", "C:\\f", "a//f",
    "a/./f", "\nf", "\x1b[2Jf", "~/../f", "f\u202egnp", "x" * 256, "//host/f", "a/\udcff",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVIL)
def test_names_that_could_leave_the_folder_are_refused(
    tmp_path: Path, kind: str, name: str
) -> None:
    try:
        content = packed(kind, {"good": b"1", name: b"2"})
    except UnicodeEncodeError:
        return
    if kind == "a.zip" and name == "a/\udcff":
        return
    refused(tmp_path, kind, content, "holds a file with the name|is broken")
    assert not (tmp_path.parent / "f").exists()


@pytest.mark.parametrize(
    "one",
    [
        member("l", tarfile.SYMTYPE, "/etc/passwd"),
        member("l", tarfile.SYMTYPE, "good"),
        member("l", tarfile.LNKTYPE, "../../x"),
        member("l", tarfile.CHRTYPE),
        member("l", tarfile.BLKTYPE),
        member("l", tarfile.FIFOTYPE),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, one: tarfile.TarInfo) -> None:
    refused(tmp_path, "a.tar.gz", tar_of(member("good"), one), "holds a link or a device")


def test_links_in_a_zip_are_refused(tmp_path: Path) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        link = zipfile.ZipInfo("l")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    refused(tmp_path, "a.zip", sink.getvalue(), "holds a link or a device")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a": b"1", "A": b"2"}, "twice"),
        ({"é": b"1", "e\u0301": b"2"}, "twice"),
        ({"a": b"1", "a/b": b"2"}, "as a file and as a folder"),
        ({"a/b": b"1", "a": b"2"}, "as a file and as a folder"),
        ({str(number): b"" for number in range(11)}, "holds more than 10 files"),
        ({"a": bytes(600_000), "b": bytes(600_000)}, "unpacks to more than 1,000,000 bytes"),
        ({}, "holds no file"),
    ],
)
def test_more_than_is_allowed_is_refused(
    tmp_path: Path, kind: str, files: dict[str, bytes], told: str
) -> None:
    refused(tmp_path, kind, packed(kind, files), told)


def test_a_header_that_promises_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    huge = member("f", tarfile.XHDTYPE)
    huge.size = 8 * 10**9
    content = gzip.compress(huge.tobuf(tarfile.USTAR_FORMAT) + bytes(4_000_000))
    refused(tmp_path, "a.tar.gz", content, "more than the manifest allows")


def test_a_bomb_of_one_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "a.gz", gzip.compress(bytes(50_000_000)), "unpacks to more than 1,000,000")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(packed("a.zip", {"f": b"secret"}))
    content[6] |= 1
    content[content.rindex(b"PK\1\2") + 8] |= 1
    refused(tmp_path, "a.zip", bytes(content), "is broken: .*encrypted")


@pytest.mark.parametrize("kind", [*KINDS, "a.gz"])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
@example(place=0.0, bit=0, cut=True)
@example(place=0.99999, bit=0, cut=False)
def test_a_broken_archive_is_refused_or_unpacks_within_its_bounds(
    kind: str, place: float, bit: int, cut: bool
) -> None:
    whole = gzip.compress(FILES["readme"] * 100) if kind == "a.gz" else packed(kind, FILES)
    at = int(place * len(whole))
    harmed = whole[:at] if cut else whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    with tempfile.TemporaryDirectory() as name:
        try:
            unpack(Path(name), kind, harmed)
        except ArchiveError:
            assert [path.name for path in Path(name).iterdir()] == [kind]
        else:
            assert archives.faults("0" * 64, Path(name), BOUNDS) == []


@given(
    st.dictionaries(
        st.one_of(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
            st.lists(st.sampled_from(["..", ".", "", "a", "B", "b", "/", "\\"]), min_size=1).map(
                "/".join
            ),
        ).filter(lambda name: "\0" not in name),
        st.binary(max_size=4),
        max_size=4,
    ),
    st.sampled_from(KINDS),
)
def test_no_name_writes_outside_the_folder(files: dict[str, bytes], kind: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        inner = Path(name) / "one" / "two"
        inner.mkdir(parents=True)
        try:
            out = unpack(inner, kind, packed(kind, files))
        except ArchiveError:
            assert sorted(Path(name).rglob("*")) == [inner.parent, inner, inner / kind]
        else:
            inside = {out, *out.rglob("*")}
            others = {inner.parent, inner, inner / kind, inner / ".out.digests"}
            assert set(Path(name).rglob("*")) == inside | others
            assert archives.faults("0" * 64, inner, BOUNDS) == []


class TestInADataSet:
    @pytest.fixture
    def out(self, workshop: Workshop, server: Server) -> Path:
        content = packed("a.zip", FILES)
        bounds = {"into": "out", "at_most_bytes": 400_000, "at_most_files": 3}
        address = f"{server.address}/a.zip"
        workshop.write("set", [file_of("a.zip", content, address, unpack=bounds)])
        server.serve("/a.zip", content)
        return workshop.cache / "set" / "out"

    def test_it_is_unpacked_when_fetched(self, out: Path) -> None:
        assert data.state("set") == "to fetch"
        assert (data.fetch("set") / "out" / "readme").read_bytes() == b"hello"
        assert data.state("set") == "at hand"
        assert data.at_hand("set") == out.parent

    @pytest.mark.parametrize(
        ("harm", "told"),
        [
            (lambda out: (out / "readme").write_bytes(b"jello"), "readme has the sha256"),
            (lambda out: (out / "readme").unlink(), "readme is not there"),
            (lambda out: (out / "more").write_bytes(b""), "more is not of the archive"),
            (lambda out: (out / "l").symlink_to("/etc"), "l is not of the archive"),
            (lambda out: (out.parent / ".out.digests").unlink(), "out is not unpacked"),
            (lambda out: (out.parent / ".out.digests").write_text("{]"), "out is not unpacked"),
            (lambda out: (out.parent / "a.zip").write_bytes(b"1"), "a.zip has 1 bytes"),
        ],
    )
    def test_what_was_harmed_since_is_refused_and_unpacked_again(
        self, out: Path, harm: object, told: str
    ) -> None:
        data.fetch("set")
        harm(out)  # type: ignore[operator]

        with pytest.raises(DataError, match=told):
            data.at_hand("set")
        data.fetch("set")

        assert {file.name for file in out.iterdir()} == {"readme", "deep"}
        assert (out / "readme").read_bytes() == b"hello"

    def test_what_a_kill_left_is_removed(self, out: Path) -> None:
        left = out.parent / ".out.abc"
        left.mkdir(parents=True)
        (left / "half").write_bytes(b"1")

        data.fetch("set")

        names = sorted(path.name for path in out.parent.iterdir())
        assert names == [".out.digests", "a.zip", "out"]

    def test_an_evil_one_leaves_no_data_set(
        self, out: Path, workshop: Workshop, server: Server
    ) -> None:
        content = packed("a.zip", {"good": b"1", "../../evil": b"2"})
        bounds = {"into": "out", "at_most_bytes": 400_000, "at_most_files": 3}
        address = f"{server.address}/a.zip"
        workshop.write("set", [file_of("a.zip", content, address, unpack=bounds)])
        server.serve("/a.zip", content)

        with pytest.raises(DataError, match=r"a.zip holds a file with the name '../../evil'"):
            data.fetch("set")
        with pytest.raises(DataError, match="out is not unpacked"):
            data.at_hand("set")
        assert not out.exists()
