"""The manifest of a data set or of a model's weights: where it comes from and what it must be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 ._+-]{0,199}")

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".gz")
"""Endings of the files that can be unpacked."""


def _relative(path: str) -> str:
    if not all(_PART.fullmatch(part) for part in path.split("/")):
        raise PydanticCustomError("path", "this is no plain relative path")
    return path


Text: TypeAlias = Annotated[str, Field(min_length=1)]
RelativePath: TypeAlias = Annotated[str, AfterValidator(_relative)]
Address: TypeAlias = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Bytes: TypeAlias = Annotated[int, Field(gt=0, lt=10**13)]
Count: TypeAlias = Annotated[int, Field(gt=0, le=10**6)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Licence(_Part):
    """What a student may do with the data, in words, and the licence that says so."""

    name: Text
    address: Address
    student_may: Text


class Unpack(_Part):
    """How far an archive may unpack, and into which folder beside it."""

    into: RelativePath
    at_most_bytes: Bytes
    at_most_files: Count


class RemoteFile(_Part):
    """A file to download, and the bytes it must have.

    Where nobody has recorded size and sha256 yet, both are null and `at_most_bytes` bounds the
    download that records them.
    """

    path: RelativePath
    addresses: Annotated[list[Address], Field(min_length=1)]
    bytes: Bytes | None
    sha256: Sha256 | None
    sha256_source: Text
    at_most_bytes: Bytes | None = None
    unpack: Unpack | None = None

    @model_validator(mode="after")
    def _check(self) -> RemoteFile:
        if (self.bytes is None) != (self.sha256 is None):
            raise PydanticCustomError("file", "bytes and sha256 are recorded both or neither")
        if self.sha256 is None and self.at_most_bytes is None:
            raise PydanticCustomError("file", "a file that is not recorded needs at_most_bytes")
        if self.unpack and not self.path.endswith(ARCHIVES):
            raise PydanticCustomError("file", "only an archive can be unpacked")
        return self

    @property
    def recorded(self) -> bool:
        """Whether somebody has recorded the size and the sha256."""
        return self.sha256 is not None


class PackageFile(_Part):
    """A file inside an installed package."""

    path: RelativePath
    bytes: Bytes
    sha256: Sha256


class PackageTree(_Part):
    """All files of a package's folder that match a pattern.

    `sha256` is that of the listing `sha256sum` would print of them, sorted by path.
    """

    pattern: Annotated[str, Field(pattern=r"^[A-Za-z0-9_*.+-]+$")]
    files: Count
    bytes: Bytes
    sha256: Sha256


class Package(_Part):
    """Data that a package from PyPI carries: nothing to download.

    `install` is what pip is told; paths count from `folder`, which counts from site-packages.
    """

    install: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(==[0-9][0-9a-z.]*)?$")]
    folder: RelativePath
    files: list[PackageFile] = []
    trees: list[PackageTree] = []
    sha256_source: Text

    @model_validator(mode="after")
    def _check(self) -> Package:
        if not self.files and not self.trees:
            raise PydanticCustomError("package", "a package needs files or trees")
        return self

    @property
    def distribution(self) -> str:
        """The package's name, without the version."""
        return self.install.partition("==")[0]


class Manifest(_Part):
    """A data set or the weights of a model: what it is, where it is, what one may do with it."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
    title: Text
    kind: Literal["data", "weights"]
    about: Text
    licence: Licence
    citation: Text
    homepage: Address
    stand_in: str | None = None
    files: Annotated[list[RemoteFile], Field(min_length=1)] | None = None
    package: Package | None = None

    @model_validator(mode="after")
    def _check(self) -> Manifest:
        if (self.files is None) == (self.package is None):
            raise PydanticCustomError("manifest", "give files or package, one of the two")
        if self.package and self.stand_in:
            raise PydanticCustomError("manifest", "what a package carries needs no stand_in")
        taken = [PurePosixPath(path.casefold()) for path in self._paths()]
        for number, path in enumerate(taken):
            others = taken[:number] + taken[number + 1 :]
            if path in others or any(path in other.parents for other in others):
                raise PydanticCustomError("manifest", "two files or folders share a path")
        return self

    def _paths(self) -> Iterator[str]:
        for file in self.files or ():
            yield file.path
            if file.unpack:
                yield file.unpack.into

    @property
    def embedded(self) -> bool:
        """Whether an installed package carries it, so that it is there without a network."""
        return self.package is not None

    @property
    def recorded(self) -> bool:
        """Whether the sha256 of every file is known; nothing else is ever loaded."""
        return all(file.recorded for file in self.files or ())

    @property
    def size_bytes(self) -> int | None:
        """Bytes to download, or bytes in the package; None while they are not recorded."""
        if self.package:
            return sum(file.bytes for file in self.package.files) + sum(
                tree.bytes for tree in self.package.trees
            )
        sizes = [file.bytes for file in self.files or ()]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None
