"""Archives unpacked without trust: no path out of the folder, no links, no more than is allowed."""

from __future__ import annotations

import errno
import gzip
import json
import lzma
import os
import shutil
import stat
import tarfile
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from enterprise_lab.data.digests import fault_of
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.schema import Unpack

_CHUNK = 2**18
_HEADERS_PER_FILE = 4096
"""Bytes that a tar archive may spend on a file besides its content."""
_BROKEN = (
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
)


class ArchiveError(DataError):
    """An archive that is broken, or holds what no honest one does."""


def unpack(archive: Path, archive_sha256: str, folder: Path, bounds: Unpack) -> None:
    """Unpack into a folder, which appears whole or not at all, and note every file's digest.

    Raises ArchiveError where the archive is broken or goes beyond its bounds, OSError of a disk.
    """
    target = folder / bounds.into
    target.parent.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in target.parent.glob(f".{target.name}.*/"):
        shutil.rmtree(left_by_a_kill)
    aside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        aside.chmod(0o755)
        written = _write_all(archive, aside, bounds)
        _digest_file(target).unlink(missing_ok=True)
        remove(target)
        aside.rename(target)
        _note(target, archive_sha256, written)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def faults(archive_sha256: str, folder: Path, bounds: Unpack) -> list[str]:
    """List what is wrong with what was unpacked: files missing, changed or added."""
    target = folder / bounds.into
    noted = _noted(target, archive_sha256)
    if noted is None:
        return [f"{bounds.into} is not unpacked"]
    there = {
        path.relative_to(target).as_posix() for path in target.rglob("*") if not _is_folder(path)
    }
    found = [f"{bounds.into}/{path} is not of the archive" for path in sorted(there - noted.keys())]
    for path, (size_bytes, digest) in sorted(noted.items()):
        if fault := fault_of(target / path, size_bytes, digest):
            found.append(f"{bounds.into}/{path} {fault}")
    return found


def is_unpacked(archive_sha256: str, folder: Path, bounds: Unpack) -> bool:
    """Whether an archive was unpacked here, without reading what was."""
    target = folder / bounds.into
    return target.is_dir() and _noted(target, archive_sha256) is not None


def remove(target: Path) -> None:
    """Remove a file, a link or a folder with all that is in it; nothing where there is none."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    else:
        target.unlink(missing_ok=True)


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(path.lstat().st_mode)


def _digest_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.digests")


def _note(target: Path, archive_sha256: str, written: dict[str, tuple[int, str]]) -> None:
    file = _digest_file(target)
    aside = file.with_name(f"{file.name}.new")
    with aside.open("w", encoding="utf-8") as sink:
        json.dump({"archive": archive_sha256, "files": written}, sink)
        sink.flush()
        os.fsync(sink.fileno())
    aside.replace(file)


def _noted(target: Path, archive_sha256: str) -> dict[str, tuple[int, str]] | None:
    """Return the digests noted when this archive was unpacked; None where it was not."""
    try:
        noted = json.loads(_digest_file(target).read_text(encoding="utf-8"))
        if noted["archive"] != archive_sha256:
            return None
        return {
            str(path): (int(size_bytes), str(digest))
            for path, (size_bytes, digest) in noted["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write_all(archive: Path, aside: Path, bounds: Unpack) -> dict[str, tuple[int, str]]:
    """Write every file of the archive, counting as it goes; return size and sha256 of each."""
    written: dict[str, tuple[int, str]] = {}
    taken: set[str] = set()
    left = bounds.at_most_bytes
    with _readable(archive):
        for name, stream in _members(archive, bounds):
            path = _safe(archive, name)
            same = unicodedata.normalize("NFC", path).casefold()
            if same in taken:
                raise _refused(archive, f"holds {name!r} twice")
            taken.add(same)
            if len(taken) > bounds.at_most_files:
                raise _refused(archive, f"holds more than {bounds.at_most_files:,} files")
            written[path] = _write(archive, stream, aside / path, left, bounds)
            left -= written[path][0]
    if not written:
        raise _refused(archive, "holds no file")
    return written


def _write(
    archive: Path, stream: IO[bytes], file: Path, left: int, bounds: Unpack
) -> tuple[int, str]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        sink = file.open("xb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _refused(archive, f"holds {file.name!r} as a file and as a folder") from error
    digest, size_bytes = sha256(), 0
    with sink:
        while chunk := stream.read(min(_CHUNK, left - size_bytes + 1)):
            size_bytes += len(chunk)
            if size_bytes > left:
                raise _refused(archive, f"unpacks to more than {bounds.at_most_bytes:,} bytes")
            digest.update(chunk)
            sink.write(chunk)
    return size_bytes, digest.hexdigest()


def _members(archive: Path, bounds: Unpack) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the name and the content of every plain file; anything but files and folders raises."""
    if archive.name.endswith(".zip"):
        return _zip_members(archive)
    if archive.name.endswith((".tar.gz", ".tgz", ".tar")):
        return _tar_members(archive, bounds)
    return _gz_member(archive)


def _zip_members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for one in opened.infolist():
            kind = stat.S_IFMT(one.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refused(archive, f"holds a link or a device, {one.filename!r}")
            _safe(archive, one.filename)
            if not one.is_dir():
                with opened.open(one) as stream:
                    yield one.filename, stream


def _tar_members(archive: Path, bounds: Unpack) -> Iterator[tuple[str, IO[bytes]]]:
    with archive.open("rb") as packed:
        raw: Any = packed if archive.name.endswith(".tar") else gzip.GzipFile(fileobj=packed)
        most = bounds.at_most_bytes + _HEADERS_PER_FILE * (bounds.at_most_files + 16)
        with tarfile.open(fileobj=_Bounded(raw, most, archive), mode="r|") as opened:  # type: ignore[call-overload]
            for one in opened:
                _safe(archive, one.name)
                if one.isdir():
                    continue
                stream = opened.extractfile(one) if one.isreg() else None
                if stream is None:
                    raise _refused(archive, f"holds a link or a device, {one.name!r}")
                yield one.name, stream


def _gz_member(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with gzip.open(archive) as stream:
        yield archive.name.removesuffix(".gz"), stream  # type: ignore[misc]


class _Bounded:
    """A stream that refuses to yield more than a number of bytes, whatever a header promises."""

    def __init__(self, raw: IO[bytes], most: int, archive: Path) -> None:
        self.raw = raw
        self.left = most
        self.archive = archive

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes."""
        chunk = self.raw.read(min(size, self.left + 1))
        self.left -= len(chunk)
        if self.left < 0:
            raise _refused(self.archive, "unpacks to more than the manifest allows")
        return chunk


def _safe(archive: Path, name: str) -> str:
    """Return a member's path, or raise ArchiveError for one that could leave the folder."""
    parts = name.rstrip("/").removeprefix("./").split("/")
    evil = (
        any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts)
        or any(sign in name for sign in "\\:\0")
        or not name.isprintable()
    )
    if evil and name not in (".", "./"):
        raise _refused(archive, f"holds a file with the name {name[:80]!r}")
    return "/".join(parts)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    """Turn what the readers of archives raise about a broken one into an ArchiveError."""
    try:
        yield
    except ArchiveError:
        raise
    except _BROKEN as error:
        raise _refused(archive, f"is broken: {error or type(error).__name__}") from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a zip's reader went where its directory sent it
            raise
        raise _refused(archive, "is broken: it points outside itself") from error


def _refused(archive: Path, why: str) -> ArchiveError:
    return ArchiveError(
        f"The archive {archive.name} {why}. Nothing of it is used.",
        "Don't use this file; ask the maintainers of the manifest.",
    )
