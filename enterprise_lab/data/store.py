"""Data sets and weights on this machine: fetched, verified each time they are handed out, removed.

The cache has a folder for each, `enterprise-lab/data/NAME`, shared by all labs; a mirror folder
(`ENTERPRISE_LAB_MIRROR`) holds the same: NAME/FILE, as the manifest names them.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from enterprise_lab.data import archives, digests, manifest_files
from enterprise_lab.data.download import obtain, part_of
from enterprise_lab.data.errors import DataError, disk_trouble
from enterprise_lab.data.schema import Manifest, Package, RemoteFile
from enterprise_lab.folders import cache_folder
from enterprise_lab.units import format_bytes

_SPARE_BYTES = 10**7
"""Free space that is left on the disk beyond what a download needs."""


class State(StrEnum):
    """Whether data can be used here. Told by what is there; `verify` reads every byte."""

    EMBEDDED = "embedded"
    AT_HAND = "at hand"
    TO_FETCH = "to fetch"
    PACKAGE_MISSING = "package missing"
    NOT_RECORDED = "sha256 not recorded"
    UNREADABLE = "unreadable"


def state(name: str) -> State:
    """Return whether a data set can be used here, without reading its files."""
    return state_of(manifest_files.manifest(name))


def state_of(asked: Manifest) -> State:
    """Return whether the data of a manifest can be used here, without reading its files."""
    if asked.package:
        there = package_folder(asked.package)
        return State.EMBEDDED if there and there.is_dir() else State.PACKAGE_MISSING
    if not asked.recorded:
        return State.NOT_RECORDED
    folder = folder_of(asked)
    try:
        here = all(_is_here(file, folder) for file in _files(asked))
    except OSError:
        return State.UNREADABLE
    return State.AT_HAND if here else State.TO_FETCH


def fetch(name: str) -> Path:
    """Return the folder with the verified files of a data set, downloading what isn't here.

    Raises DataError where they can't be had, or aren't those of the manifest.
    """
    asked = manifest_files.manifest(name)
    if asked.embedded:
        return at_hand(name)
    _require_recorded(asked)
    folder = folder_of(asked)
    if not faults(asked):
        return folder
    with disk_trouble(f"while {name} was fetched into {folder}"), alone(asked):
        folder.mkdir(parents=True, exist_ok=True)
        _require_space(asked, folder)
        for file in _files(asked):
            _bring(file, folder, mirror_file(asked, file))
    return folder


def at_hand(name: str) -> Path:
    """Return the folder with the verified files of a data set, without a network.

    Raises DataError where they are not here, or aren't those of the manifest.
    """
    asked = manifest_files.manifest(name)
    _require_recorded(asked)
    found = faults(asked)
    if not found:
        return folder_of(asked)
    if asked.package:
        raise DataError(
            f"{asked.title} can't be used: {found[0]}.",
            f"Run `python -m pip install --force-reinstall {asked.package.install}`.",
        )
    or_stand_in = f", or use its stand-in, {asked.stand_in!r}" if asked.stand_in else ""
    raise DataError(
        f"{asked.title} can't be used: {found[0]}.",
        f"Run `elab data fetch {name}`{or_stand_in}.",
    )


def faults(asked: Manifest) -> list[str]:
    """List what is wrong with a data set on this machine, reading every byte of it."""
    if asked.package:
        return _package_faults(asked.package)
    folder = folder_of(asked)
    with disk_trouble(f"while {asked.name} was read"):
        return [fault for file in _files(asked) for fault in _file_faults(file, folder)]


def clean(name: str) -> int:
    """Remove all that the cache holds of a data set; return the bytes that frees.

    Raises DataError where something of it can't be removed.
    """
    asked = manifest_files.manifest(name)
    if asked.embedded:
        return 0
    folder = _folder(asked)
    with disk_trouble(f"while {name} was removed"), alone(asked):
        freed = kept_bytes(asked)
        try:
            archives.remove(folder)
        except OSError as error:
            raise DataError(
                f"{folder} can't be removed: {error.strerror}.",
                "Make it and all in it writable (`chmod -R u+rwX` where it is yours), then run "
                "the same again.",
            ) from error
    return freed


def kept_bytes(asked: Manifest) -> int:
    """Return the bytes that the cache holds of a data set, parts of downloads too."""
    if asked.embedded:
        return 0
    folder = _folder(asked)
    inside = [Path(top, name) for top, _, names in os.walk(folder) for name in names]
    return sum(map(_size, [folder, *inside]))


def is_kept(asked: Manifest) -> bool:
    """Whether the cache holds anything of a data set, be it empty or unreadable."""
    if asked.embedded:
        return False
    try:
        _folder(asked).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def arrived_bytes(asked: Manifest) -> int:
    """Return the bytes of a data set's files that a fetch need not bring again."""
    folder = folder_of(asked)
    arrived = 0
    for file in _files(asked):
        target = folder / file.path
        kept = target if target.is_file() or mirror_file(asked, file) else part_of(target)
        arrived += _size(kept)
    return arrived


def folder_of(asked: Manifest) -> Path:
    """Return where the files of a data set are, or would be."""
    if asked.package:
        return package_folder(asked.package) or Path(asked.package.folder)
    return _folder(asked)


def package_folder(package: Package) -> Path | None:
    """Return a package's folder of data; None where the package isn't installed."""
    try:
        found = metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError:
        return None
    return Path(str(found.locate_file(package.folder)))


def mirror_file(asked: Manifest, file: RemoteFile) -> Path | None:
    """Return where the mirror has a file; None without a mirror."""
    mirror = os.environ.get("ENTERPRISE_LAB_MIRROR", "")
    return Path(mirror) / asked.name / file.path if mirror else None


@contextmanager
def alone(asked: Manifest) -> Iterator[None]:
    """Hold a data set against other processes; wait, and say so, while another holds it."""
    from filelock import FileLock, Timeout

    file = _folder(asked).with_name(f".{asked.name}.lock")
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.stderr.write(f"Another process works on {asked.name}; waiting for it.\n")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _folder(asked: Manifest) -> Path:
    return cache_folder() / "data" / asked.name


def _files(asked: Manifest) -> list[RemoteFile]:
    return asked.files or []


def _size(path: Path) -> int:
    """Return the bytes of a plain file; 0 for anything else, and for what may not be read."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _is_here(file: RemoteFile, folder: Path) -> bool:
    try:
        found = (folder / file.path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(found.st_mode) or found.st_size != file.bytes or file.sha256 is None:
        return False
    return file.unpack is None or archives.is_unpacked(file.sha256, folder, file.unpack)


def _file_faults(file: RemoteFile, folder: Path) -> list[str]:
    if file.bytes is None or file.sha256 is None:
        return [f"the sha256 of {file.path} is not recorded"]
    if fault := digests.fault_of(folder / file.path, file.bytes, file.sha256):
        return [f"{file.path} {fault}"]
    return archives.faults(file.sha256, folder, file.unpack) if file.unpack else []


def _package_faults(package: Package) -> list[str]:
    folder = package_folder(package)
    if folder is None:
        return [f"the package {package.distribution} is not installed"]
    found = []
    for file in package.files:
        if fault := digests.fault_of(folder / file.path, file.bytes, file.sha256):
            found.append(f"{file.path} {fault}")
    for tree in package.trees:
        count, size_bytes, digest = digests.listing(folder, folder.glob(tree.pattern))
        if (count, size_bytes, digest) != (tree.files, tree.bytes, tree.sha256):
            found.append(
                f"{package.folder}/{tree.pattern} are {count:,} files of {size_bytes:,} bytes "
                f"that aren't the {tree.files:,} files of {package.install}"
            )
    return found


def _bring(file: RemoteFile, folder: Path, mirror: Path | None) -> None:
    """Put a file in place unless it is there already, and unpack it; both verified."""
    target = folder / file.path
    if file.bytes is None or file.sha256 is None:
        raise AssertionError(file.path)
    if digests.fault_of(target, file.bytes, file.sha256):
        obtain(file, target, mirror)
    if file.unpack and archives.faults(file.sha256, folder, file.unpack):
        archives.unpack(target, file.sha256, folder, file.unpack)


def _require_recorded(asked: Manifest) -> None:
    unknown = [file.path for file in _files(asked) if not file.recorded]
    if unknown:
        raise DataError(
            f"The sha256 of {asked.name}'s {unknown[0]} is not recorded, so it is not loaded.",
            (f"Use its stand-in, {asked.stand_in!r}, or record" if asked.stand_in else "Record")
            + f" it with `elab data record {asked.name}`.",
        )


def _require_space(asked: Manifest, folder: Path) -> None:
    """Raise DataError where the disk can't take what is still to come."""
    needed = (asked.size_bytes or 0) - arrived_bytes(asked)
    for file in _files(asked):
        if file.unpack and not (folder / file.unpack.into).is_dir():
            needed += file.unpack.at_most_bytes
    free = shutil.disk_usage(folder).free
    if needed and needed + _SPARE_BYTES > free:
        raise DataError(
            f"{asked.name} needs up to {format_bytes(needed)} in {folder}, and "
            f"{format_bytes(free)} are free.",
            "Free some space (`elab data clean` lists what can go), or set XDG_CACHE_HOME to a "
            "folder on another disk.",
        )
