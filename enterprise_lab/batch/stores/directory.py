"""A store in a directory, also one that several machines share over NFS.

A new file is written aside, flushed, and linked into place, which fails where there is one; a
finished folder is renamed into place, which fails where there is one with something in it. A kill
at any moment leaves a whole thing or none. What is aside lies in `.work` folders, which a sweep
may empty at any time: a writer whose file was swept writes it again.
"""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from enterprise_lab.errors import LabError

_WORK = ".work"
_SWEPT_AT_MOST = 20


class Directory:
    """A store in a directory, made when something is first kept."""

    def __init__(self, url: str | Path) -> None:
        self.url = str(url)
        self._top = Path(url).absolute()

    def read(self, name: str) -> bytes | None:
        """Return what is kept under a name, or None."""
        try:
            return (self._top / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._unreadable(error) from error

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Read many at once; names that aren't there are left out."""
        found = ((name, self.read(name)) for name in names)
        return {name: content for name, content in found if content is not None}

    def names(self, below: str) -> list[str]:
        """List all names that begin with `below` and a slash, sorted, without what is at work."""
        found: list[str] = []
        try:
            for folder, folders, files in os.walk(self._top / below, onerror=_unless_missing):
                folders[:] = [one for one in folders if one != _WORK]
                inner = Path(folder).relative_to(self._top).as_posix()
                found += [f"{inner}/{file}" for file in files]
        except OSError as error:
            raise self._unreadable(error) from error
        return sorted(found)

    def create(self, name: str, content: bytes) -> bool:
        """Keep something under a new name; False, and nothing done, where there is one."""
        return self._put(name, content, _link)

    def replace(self, name: str, content: bytes) -> None:
        """Keep something under a name in place of what was there, if anything."""
        self._put(name, content, _rename)

    def delete(self, name: str) -> None:
        """Forget a name, if it is there."""
        with self._writing():
            (self._top / name).unlink(missing_ok=True)

    def publish(self, name: str, folder: Path, last: str) -> bool:
        """Keep a folder's files below a name, the file `last` of them last, for good.

        False, and nothing to be seen, where `last` is there already. The folder is used up.
        """
        target = self._top / name
        with self._writing():
            said = (folder / last).read_bytes()
            _flush_all(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                folder.rename(target)
            except OSError as error:
                there = self.read(f"{name}/{last}")
                if there is None:
                    raise
                if there != said or error.errno != errno.ENOENT:
                    shutil.rmtree(folder, ignore_errors=True)
                    return False
                # NFS may send a renaming again that was done, and then misses the folder.
            _flush(target.parent)
            return True

    def scratch(self, name: str) -> Path:
        """Make an empty folder of this machine to work in, for what is then published."""
        with self._writing():
            folder = self._top / name
            shutil.rmtree(folder, ignore_errors=True)
            for tries_left in reversed(range(_SWEPT_AT_MOST)):
                try:
                    folder.mkdir(parents=True)
                except (FileNotFoundError, FileExistsError):
                    if not tries_left:
                        raise
                else:
                    break
            return folder

    def sweep(self, below: str, keep: Callable[[], Collection[str]]) -> None:
        """Remove what is at work right below a name, but what is called so."""
        folder = self._top / below
        with suppress(OSError):
            there = list(folder.iterdir())
            kept = keep()
            for one in there:
                if one.name in kept:
                    continue
                if one.is_dir():
                    shutil.rmtree(one, ignore_errors=True)
                else:
                    one.unlink(missing_ok=True)
            folder.rmdir()

    def _put(self, name: str, content: bytes, place: Callable[[Path, Path], bool]) -> bool:
        target = self._top / name
        work = self._top / name.partition("/")[0] / _WORK
        with self._writing():
            for tries_left in reversed(range(_SWEPT_AT_MOST)):
                try:
                    work.mkdir(parents=True, exist_ok=True)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    aside = work / uuid.uuid4().hex
                    try:
                        _write(aside, content)
                        placed = place(aside, target)
                    finally:
                        aside.unlink(missing_ok=True)
                except (FileNotFoundError, FileExistsError):
                    # A sweep took the folder; FileExistsError where that was while it was made.
                    if not tries_left:
                        raise
                else:
                    break
            _flush(target.parent)
            return placed

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LabError(
                f"Results cannot be kept in {self.url}: {error.strerror or error}.",
                "Free some space there, or give another store with --store.",
            ) from error

    def _unreadable(self, error: OSError) -> LabError:
        return LabError(
            f"Results in {self.url} cannot be read: {error.strerror or error}.",
            "Make the folder readable, or give another store with --store.",
        )


def _unless_missing(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _link(aside: Path, target: Path) -> bool:
    try:
        target.hardlink_to(aside)
    except FileExistsError:
        # NFS may send a linking again that was done: then the file has its second name.
        return aside.stat().st_nlink > 1
    return True


def _rename(aside: Path, target: Path) -> bool:
    aside.replace(target)
    return True


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _flush_all(folder: Path) -> None:
    for inner, _, files in os.walk(folder, topdown=False):
        for path in (Path(inner, file) for file in files):
            if path.is_file() and not path.is_symlink():  # opening a pipe would wait for ever
                _flush(path)
        _flush(Path(inner))


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
