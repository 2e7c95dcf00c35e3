"""A store in a bucket of S3, or of a server that speaks its protocol.

An object appears whole or not at all. That two don't create one name is the server's work: it is
asked to write only where there is nothing (`If-None-Match: *`), and first whether it understands.
Credentials and the server's address are those of the AWS configuration and environment
(`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, `AWS_ENDPOINT_URL`, ...).
"""

from __future__ import annotations

import mimetypes
import os
import tempfile
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.errors import LabError

_CONFLICT = "ConditionalRequestConflict"
_TRIES = 5
_TOKEN = "token"


class Bucket:
    """A store in a bucket below a prefix, by a URL such as s3://bucket/prefix."""

    def __init__(self, url: str) -> None:
        scheme, _, path = url.partition("://")
        self._top = path.strip("/")
        if scheme != "s3" or not self._top:
            raise LabError(
                f"{url} is no place for results.",
                "Give a folder, or a bucket of S3 as s3://BUCKET/PREFIX.",
            )
        self.url = f"s3://{self._top}"
        self._files = _file_system()

    def read(self, name: str) -> bytes | None:
        """Return what is kept under a name, or None."""
        return self.read_all([name]).get(name)

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        """Read many at once; names that aren't there are left out."""
        paths = {self._path(name): name for name in names}
        if not paths:
            return {}
        with self._told():
            found = self._files.cat(list(paths), recursive=False, on_error="return")
            # Of a list of one, s3fs returns the one.
            by_path = found if isinstance(found, dict) else {next(iter(paths)): found}
            for one in by_path.values():
                if isinstance(one, Exception) and not _is_absence(one):
                    raise one
        return {paths[p]: bytes(one) for p, one in by_path.items() if isinstance(one, bytes)}

    def names(self, below: str) -> list[str]:
        """List all names that begin with `below` and a slash, sorted."""
        with self._told():
            found = self._files.find(self._path(below))
        return sorted(path.removeprefix(f"{self._top}/") for path in found)

    def create(self, name: str, content: bytes) -> bool:
        """Keep something under a new name; False, and nothing done, where there is one."""
        with self._told():
            self._require_conditions()
            return self._create(self._path(name), content)

    def replace(self, name: str, content: bytes) -> None:
        """Keep something under a name in place of what was there, if anything."""
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        with self._told():
            self._files.pipe_file(self._path(name), content, ContentType=kind)

    def delete(self, name: str) -> None:
        """Forget a name, if it is there."""
        with self._told():
            self._files.rm_file(self._path(name))

    def publish(self, name: str, folder: Path, last: str) -> bool:
        """Keep a folder's files below a name, the file `last` of them last, for good.

        False, and nothing to be seen, where `last` is there already. The folder is used up. Of
        several who publish one name, at most one may bring other files than `last`.
        """
        if self.read(f"{name}/{last}") is not None:
            return False
        target = self._path(name)
        files = [
            path
            for path in folder.rglob("*")
            if path.is_file() and not path.is_symlink() and path != folder / last
        ]
        paths = [f"{target}/{path.relative_to(folder).as_posix()}" for path in files]
        with self._told():
            if files:
                self._files.put([str(path) for path in files], paths)
        if self.create(f"{name}/{last}", (folder / last).read_bytes()):
            return True
        for path in paths:
            self.delete(path.removeprefix(f"{self._top}/"))
        return False

    def scratch(self, name: str) -> Path:
        """Make an empty folder of this machine to work in, for what is then published."""
        return self._here.scratch(name)

    def sweep(self, below: str, keep: Callable[[], Collection[str]]) -> None:
        """Remove this machine's scratch folders right below a name, but those called so."""
        self._here.sweep(below, keep)

    @cached_property
    def _here(self) -> Directory:
        own = Path(tempfile.gettempdir()) / f"enterprise-lab-batch-{os.getuid()}"
        try:
            own.mkdir(mode=0o700, exist_ok=True)
            is_own = own.stat().st_uid == os.getuid()
        except OSError:
            is_own = False
        if not is_own:
            raise LabError(
                f"There is no working in {own}.", "Remove it, or set TMPDIR to a folder of yours."
            )
        return Directory(own / sha256(self.url.encode()).hexdigest()[:16])

    def _path(self, name: str) -> str:
        return f"{self._top}/{name}"

    def _create(self, path: str, content: bytes) -> bool:
        token = uuid.uuid4().hex
        for tries_left in reversed(range(_TRIES)):
            try:
                self._files.pipe_file(path, content, mode="create", Metadata={_TOKEN: token})
            except FileExistsError:
                # A request that was answered too late is sent again, and then meets its own work.
                return bool(self._files.metadata(path).get(_TOKEN) == token)
            except OSError as error:
                if _code(error) != _CONFLICT or not tries_left:
                    raise
            else:
                return True
        raise AssertionError("unreachable")

    def _require_conditions(self) -> None:
        """Raise LabError where the server writes although there is something."""
        if not self._heeds_conditions:
            raise LabError(
                f"The server of {self.url} overwrites what it is asked to create, so that two"
                " runners could do the same work.",
                "Give a bucket of AWS S3, or of a server that heeds If-None-Match on writing.",
            )

    @cached_property
    def _heeds_conditions(self) -> bool:
        probe = self._path(f".probe-{uuid.uuid4().hex}")
        try:
            return self._create(probe, b"") and not self._create(probe, b"")
        finally:
            self._files.rm_file(probe)

    @contextmanager
    def _told(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError  # type: ignore[import-untyped]

        try:
            yield
        except (OSError, BotoCoreError) as error:
            raise LabError(
                f"{self.url} cannot be used: {str(error).rstrip('.')}.",
                "Look at the bucket's name, your AWS credentials and what they allow, and"
                " AWS_ENDPOINT_URL if the server is not AWS.",
            ) from error


def _file_system() -> Any:
    try:
        from s3fs import S3FileSystem
    except ImportError:
        raise LabError(
            "Buckets need a package that isn't installed.",
            "Install it: pip install 'enterprise-lab[s3]'.",
        ) from None
    return S3FileSystem(use_listings_cache=False, skip_instance_cache=True)


def _is_absence(error: Exception) -> bool:
    """Whether an object isn't there, rather than its bucket."""
    return isinstance(error, FileNotFoundError) and _code(error) in ("", "NoSuchKey", "404")


def _code(error: Exception) -> str:
    """Return what S3 calls an error; "" where it isn't S3's."""
    response = getattr(error.__cause__, "response", {})
    return str(response.get("Error", {}).get("Code", ""))
