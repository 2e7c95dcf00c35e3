"""Size and sha256 of files: whether a file is the one it should be."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable
from pathlib import Path


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file, in hexadecimal."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def fault_of(file: Path, size_bytes: int, sha256: str) -> str:
    """Say what is wrong with a file, or nothing where it is the one it should be."""
    try:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            return "is not a plain file"
        if found.st_size != size_bytes:
            return f"has {found.st_size:,} bytes instead of {size_bytes:,}"
        digest = sha256_of(file)
    except (FileNotFoundError, NotADirectoryError):
        return "is not there"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if digest == sha256 else f"has the sha256 {digest} instead of {sha256}"


def listing(folder: Path, files: Iterable[Path]) -> tuple[int, int, str]:
    """Return count, bytes and the sha256 of what `sha256sum` prints of the files, by path."""
    whole, size_bytes, count = hashlib.sha256(), 0, 0
    for path, file in sorted((file.relative_to(folder).as_posix(), file) for file in files):
        whole.update(f"{sha256_of(file)}  {path}\n".encode())
        size_bytes += file.stat().st_size
        count += 1
    return count, size_bytes, whole.hexdigest()
