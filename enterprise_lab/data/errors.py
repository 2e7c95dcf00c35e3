"""What can be wrong with data: its manifest, its way here, its bytes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from enterprise_lab.errors import LabError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ManifestError(LabError):
    """A manifest that cannot be trusted: the file, line and key, and the mend."""


class DataError(LabError):
    """Data that is missing, wrong or out of reach."""


class DownloadError(DataError):
    """One source of a file that did not yield it; another one may."""


@contextmanager
def disk_trouble(doing: str) -> Iterator[None]:
    """Turn an error of the disk into a DataError; `doing` completes "The disk is full, ..."."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise DataError(
                f"The disk is full, {doing}.",
                "Free some space (`elab data clean` lists what can go), then run the same again.",
            ) from error
        if isinstance(error, FileExistsError | IsADirectoryError):
            raise DataError(
                f"{error.filename} is in the way, {doing}.",
                "Remove it, or set XDG_CACHE_HOME to a folder of yours.",
            ) from error
        raise DataError(
            f"{error.filename or 'The disk'}: {error.strerror or error}, {doing}.",
            "Check that you may read and write there, or set XDG_CACHE_HOME to a folder of yours.",
        ) from error
