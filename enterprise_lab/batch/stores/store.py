"""Where results are kept: a directory, or a bucket of an object store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.errors import LabError

_Model = TypeVar("_Model", bound=BaseModel)


class Store(Protocol):
    """A place that runners share. Names are `a/b/c`; what has a name is whole, whenever it is seen.

    Raises LabError where the place can't be reached or written to.
    """

    url: str
    """The folder or URL that opens it again."""

    def read(self, name: str) -> bytes | None:
        """Return what is kept under a name, or None."""

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Read many at once; names that aren't there are left out."""

    def names(self, below: str) -> list[str]:
        """List all names that begin with `below` and a slash, sorted, without what is at work."""

    def create(self, name: str, content: bytes) -> bool:
        """Keep something under a new name; False, and nothing done, where there is one."""

    def replace(self, name: str, content: bytes) -> None:
        """Keep something under a name in place of what was there, if anything."""

    def delete(self, name: str) -> None:
        """Forget a name, if it is there."""

    def publish(self, name: str, folder: Path, last: str) -> bool:
        """Keep a folder's files below a name, the file `last` of them last, for good.

        False, and nothing to be seen, where `last` is there already. The folder is used up.
        """

    def scratch(self, name: str) -> Path:
        """Make an empty folder of this machine to work in, for what is then published."""

    def sweep(self, below: str, keep: Callable[[], Collection[str]]) -> None:
        """Remove this machine's scratch folders right below a name, but those called so.

        `keep` is asked once it is known which are there: one made later is left alone.
        """


def open_store(url: str) -> Store:
    """Open a folder, or a bucket by a URL such as s3://bucket/prefix."""
    if "://" in url:
        from enterprise_lab.batch.stores.bucket import Bucket

        return Bucket(url)
    return Directory(url)


def parse(model: type[_Model], name: str, text: bytes) -> _Model:
    """Understand what is kept under a name; LabError where it can't be understood."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LabError(
            f"{name} in the store is not what this version keeps: {where}: {first['msg']}.",
            "Remove what is there, or give another store with --store.",
        ) from None
