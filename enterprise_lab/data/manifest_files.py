"""The manifests there are: read from data_manifests/, checked, one by name."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

import enterprise_lab
from enterprise_lab.data import yaml_lines
from enterprise_lab.data.errors import ManifestError
from enterprise_lab.data.schema import (
    Licence,
    Manifest,
    Package,
    PackageFile,
    PackageTree,
    RemoteFile,
    Unpack,
)
from enterprise_lab.errors import UnknownNameError

_MENDS = {
    "name": "Use small letters, digits, - and .; it names the manifest's file.",
    "kind": "Write data or weights.",
    "address": "Give an address that begins with https:// or http://.",
    "addresses": "Give a list of addresses that begin with https:// or http://.",
    "homepage": "Give an address that begins with https:// or http://.",
    "path": "Give a relative path of letters, digits, and _ . + - with / between folders.",
    "into": "Give a relative path of letters, digits, and _ . + - with / between folders.",
    "folder": "Give a relative path of letters, digits, and _ . + - with / between folders.",
    "bytes": "Give the size in bytes, a whole number above zero.",
    "at_most_bytes": "Give the most bytes it may have, a whole number above zero.",
    "at_most_files": "Give the most files it may have, a whole number above zero.",
    "sha256": "Give 64 hexadecimal digits in small letters and quotes, or null in `files`.",
    "install": "Give what pip is told: a package, or package==version.",
    "files": "Give a list of files, each with its path, bytes and sha256.",
}
_MODELS: dict[str, type[BaseModel]] = {
    "licence": Licence,
    "unpack": Unpack,
    "package": Package,
    "files": RemoteFile,
    "package.files": PackageFile,
    "package.trees": PackageTree,
}


@dataclass(frozen=True)
class ManifestFile:
    """A manifest with the file it was read from, and where each value stands in its text."""

    file: Path
    text: str
    document: yaml_lines.Document
    manifest: Manifest


def folder() -> Path:
    """Return data_manifests/ of the clone this package is run from, or that of the wheel."""
    package = Path(enterprise_lab.__file__).parent
    clone = package.parent / "data_manifests"
    return clone if clone.is_dir() else package / "data_manifests"


def manifests() -> tuple[Manifest, ...]:
    """Return every manifest, by name. Raises ManifestError where one cannot be trusted."""
    found = [read(file).manifest for file in sorted(folder().glob("*.yaml"))]
    for one in found:
        embedded = [other.name for other in found if other.embedded and other.kind == one.kind]
        if one.stand_in and one.stand_in not in embedded:
            raise ManifestError(
                f"{one.name}.yaml names the stand-in {one.stand_in!r}, "
                f"but no package carries {one.kind} of that name.",
                f"Name one of these: {', '.join(embedded)}.",
            )
    return tuple(found)


def manifest(name: str) -> Manifest:
    """Return a manifest by its name. Raises UnknownNameError or ManifestError."""
    return manifest_file(name).manifest


def manifest_file(name: str) -> ManifestFile:
    """Return a manifest with its file. Raises as manifest()."""
    files = {file.stem: file for file in sorted(folder().glob("*.yaml"))}
    if not isinstance(name, str) or name not in files:
        raise UnknownNameError("data set", str(name), files)
    return read(files[name])


def read(file: Path) -> ManifestFile:
    """Read one manifest file; ManifestError names the file, line, key and mend."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(
            f"{file.name} cannot be read: {error}.", "Give a UTF-8 YAML file."
        ) from error
    return parse(file, text)


def parse(file: Path, text: str) -> ManifestFile:
    """Check the text of a manifest that is, or is to be, in a file."""
    try:
        document = yaml_lines.read(text)
    except yaml_lines.BadYAMLError as error:
        line = f", line {error.line}" if error.line else ""
        raise ManifestError(
            f"{file.name}{line} is not plain YAML: {error.reason}.", "Mend the syntax there."
        ) from error
    try:
        found = Manifest.model_validate(document.content)
    except ValidationError as error:
        first = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise _problem(file, document, first) from error
    if found.name != file.stem:
        raise ManifestError(
            f"{file.name}, {document.where(('name',))}: the file and the name differ.",
            f"Rename the file to {found.name}.yaml, or write `name: {file.stem}`.",
        )
    return ManifestFile(file, text, document, found)


def _problem(file: Path, document: yaml_lines.Document, detail: ErrorDetails) -> ManifestError:
    location = tuple(part for part in detail["loc"] if part != "[key]")
    where = f"{file.name}, {document.where(location)}"
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(location[-1]), _known(location), n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        return ManifestError(
            f"{where}: there is no such key.", f"{meant}Known here: {', '.join(_known(location))}."
        )
    if detail["type"] == "missing":
        return ManifestError(f"{where}: the key is missing.", "Add it; no manifest goes without.")
    named = [part for part in location if isinstance(part, str)]
    mend = next((_MENDS[part] for part in reversed(named) if part in _MENDS), "")
    if not mend or isinstance(detail["input"], dict):
        mend = f"Known here: {', '.join(_known((*location, '')))}."
    return ManifestError(f"{where}: {detail['msg'][0].lower()}{detail['msg'][1:]}.", mend)


def _known(location: tuple[str | int, ...]) -> list[str]:
    """Return the keys that may stand where the last part of a location does."""
    named = [str(part) for part in location[:-1] if isinstance(part, str)]
    model = _MODELS.get(".".join(named)) or _MODELS.get(named[-1] if named else "", Manifest)
    return list(model.model_fields)
