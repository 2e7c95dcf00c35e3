"""Recording the size and the sha256 of files whose manifest has none yet."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from enterprise_lab.data import manifest_files, store
from enterprise_lab.data.digests import sha256_of
from enterprise_lab.data.download import (
    bring_unrecorded,
    copy,
    forget_part,
    part_of,
    put_in_place,
)
from enterprise_lab.data.errors import DataError, disk_trouble
from enterprise_lab.data.manifest_files import ManifestFile
from enterprise_lab.data.schema import RemoteFile


@dataclass(frozen=True)
class Finding:
    """What came when an unrecorded file was downloaded."""

    path: str
    source: str
    size_bytes: int
    sha256: str


def record(name: str, agreed: Callable[[Finding], bool]) -> list[Finding]:
    """Download what has no sha256, and write size and sha256 of each file into the manifest.

    `agreed` is shown each finding, and says whether it was compared with the source. One that
    isn't agreed to is dropped; one that can't be written is kept for the next time. Return those
    that were written. Raises DataError and ManifestError.
    """
    asked = manifest_files.manifest(name)
    folder = store.folder_of(asked)
    written = []
    with disk_trouble(f"while {name} was recorded"):
        for position, file in enumerate(asked.files or ()):
            if file.recorded:
                continue
            with store.alone(asked):
                part = part_of(folder / file.path)
                part.parent.mkdir(parents=True, exist_ok=True)
                mirror = store.mirror_file(asked, file)
                if mirror:
                    copy(mirror, part, file)
                source = str(mirror) if mirror else bring_unrecorded(file, part)
                found = Finding(file.path, source, part.stat().st_size, sha256_of(part))
                if not found.size_bytes:
                    forget_part(folder / file.path)
                    raise DataError(f"{found.source} is empty.", "Nothing was recorded.")
                if not agreed(found):
                    forget_part(folder / file.path)
                    continue
                _write(manifest_files.manifest_file(name), position, file, found)
                put_in_place(part, folder / file.path)
                written.append(found)
    return written


def _write(old: ManifestFile, position: int, file: RemoteFile, found: Finding) -> None:
    """Write a finding into the manifest's text, all else of which stays as it is."""
    source = f"recorded {datetime.now(UTC):%Y-%m-%d} with `elab data record`, from {found.source}"
    news = {"bytes": str(found.size_bytes), "sha256": _quoted(found.sha256),
            "sha256_source": _quoted(source)}  # fmt: skip
    places = {old.document.places["files", position, key]: said for key, said in news.items()}
    text = old.text
    for place in sorted(places, key=lambda place: place.start, reverse=True):
        end = "\n" if text[place.start : place.end].endswith("\n") else ""
        text = text[: place.start] + places[place] + end + text[place.end :]
    new = manifest_files.parse(old.file, text).manifest
    expected = file.model_copy(
        update={"bytes": found.size_bytes, "sha256": found.sha256, "sha256_source": source}
    )
    files = list(old.manifest.files or ())
    files[position] = expected
    if new != old.manifest.model_copy(update={"files": files}):
        raise DataError(
            f"{old.file.name} can't be changed safely, as its text is unusual around "
            f"files[{position}].",
            f"Write there yourself: bytes: {found.size_bytes}, sha256: {found.sha256}.",
        )
    _replace(old.file, text)


def _quoted(text: str) -> str:
    """Return a text as YAML in double quotes, on one line."""
    return yaml.safe_dump(text, default_style='"', width=math.inf).rstrip("\n")


def _replace(file: Path, text: str) -> None:
    aside = file.with_name(f".{file.name}.new")
    try:
        with aside.open("w", encoding="utf-8", newline="") as sink:
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        aside.replace(file)
    except OSError as error:
        raise DataError(
            f"The manifest {file} can't be written: {error.strerror}.",
            "Make it and its folder writable, then run the same again: what was downloaded is "
            "kept, and is not downloaded again.",
        ) from error
