"""Checkpoints that can be trusted: sealed once they are whole, looked through before they are used.

A run's folder holds folders `checkpoint-STEP`. Each is written under a hidden name, gets a seal
with the size and sha256 of all of its files and the run it belongs to, and only then its own name:
a kill at any moment leaves it there whole or not at all. What is damaged later doesn't fit its
seal. The digests guard against accidents: no pickle is opened before they were compared.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryFile
from textwrap import shorten
from typing import Annotated

from annotated_types import Ge
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from enterprise_lab.data.digests import fault_of, sha256_of
from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import LabError, keep_whole
from enterprise_lab.training.finetuning.classifier import weights_digest
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.training.trainer import not_installed

SEAL = "seal.json"
SET_ASIDE = "set-aside"
UNFINISHED = ".unfinished"
LOCK = ".in-use"
_NAME = re.compile(r"checkpoint-(0|[1-9]\d*)")
_SEAL_BYTES = 10_000_000
"""More than the seal of any checkpoint has: a larger file isn't one."""

Identity = Mapping[str, str]
"""What makes a run the one it is: its recipe, weights, data and libraries, each in words."""


_LIBRARIES = "torch", "transformers", "accelerate"
"""Those whose other versions would compute, or save, something else; for adapters peft too."""


class CheckpointError(LabError):
    """A run's folder that can't be used."""


class SealedFile(BaseModel):
    """A file as it was when its checkpoint was sealed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size_bytes: Annotated[int, Ge(0)]
    sha256: str


class Seal(BaseModel):
    """What is in a checkpoint, and after which step of which run it was made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: Annotated[int, Ge(0)]
    identity: dict[str, str]
    files: dict[str, SealedFile]


class UnsoundError(Exception):
    """A checkpoint that can't be used, and why."""


class ForeignError(UnsoundError):
    """A checkpoint that is whole, but of another run."""


@dataclass(frozen=True)
class Found:
    """The newest sound checkpoint, None where none is, and why newer ones are passed over."""

    path: Path | None
    passed_over: Mapping[Path, str]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one run in a folder; the newest `keep` of them are kept.

    Raises InvalidValueError for fewer than two: the newest might be damaged.
    """

    folder: Path
    identity: Identity
    keep: int = 2

    def __post_init__(self) -> None:
        keep_whole(self, "keep", 1_000_000, smallest=2)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Make the folder, hold it, and clear away what a kill left unfinished in it.

        Raises CheckpointError where it can't be written to, or another process holds it.
        """
        lock = FileLock(self.folder / LOCK)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.folder) as probe:
                probe.write(b"1")
            lock.acquire(blocking=False)
        except Timeout:
            raise CheckpointError(
                f"Another training is at work in {self.folder}.",
                "Wait for its end or stop it, or give another folder.",
            ) from None
        except OSError as error:
            raise CheckpointError(
                f"Checkpoints can't be written to {self.folder}: {error.strerror}.",
                "Give a folder that you may write to, on a disk with room.",
            ) from error
        try:
            self._clear()
            yield
        finally:
            self._clear()
            lock.release()

    def last_good(self) -> Found:
        """Find the newest sound checkpoint of this run.

        Raises CheckpointError where there is none of this run, but one of another.
        """
        passed_over: dict[Path, str] = {}
        foreign: ForeignError | None = None
        for path in newest_first(self.folder):
            try:
                verify(path, self.identity)
                return Found(path, passed_over)
            except UnsoundError as why:
                passed_over[path] = str(why)
                foreign = foreign or (why if isinstance(why, ForeignError) else None)
        if foreign:
            raise CheckpointError(
                f"The checkpoints in {self.folder} are those of another run: {foreign}.",
                "Give another folder, or the settings of that run.",
            )
        return Found(None, passed_over)

    def set_aside(self, paths: Iterable[Path]) -> None:
        """Move checkpoints that aren't used out of the way; nothing of them is lost."""
        for path in paths:
            target, count = self.folder / SET_ASIDE / path.name, 1
            target.parent.mkdir(exist_ok=True)
            while os.path.lexists(target):
                count += 1
                target = target.with_name(f"{path.name}-{count}")
            path.rename(target)

    @contextmanager
    def writing(self, step: int) -> Iterator[Path]:
        """Yield a hidden folder for the files of a step's checkpoint, then seal and name it.

        Of this run's checkpoints the newest are kept. Raises what the disk raises: then nothing
        half written has a name, and a checkpoint that the step had before is only gone where the
        new one has taken its place.
        """
        hidden, target = self.unfinished / name_of(step), self.folder / name_of(step)
        old = self.unfinished / f"old-{target.name}"
        self._clear()
        hidden.mkdir(parents=True)
        try:
            yield hidden
            _seal(hidden, step, self.identity)
            if target.exists():
                target.rename(old)
            hidden.rename(target)
            _flush(self.folder)
        finally:
            if old.exists() and not target.exists():
                old.rename(target)
            self._clear()
        self._rotate()

    @property
    def unfinished(self) -> Path:
        """Where a checkpoint is while it is written, and while it is deleted."""
        return self.folder / UNFINISHED

    def _rotate(self) -> None:
        for path in newest_first(self.folder)[self.keep :]:
            if _is_of(path, self.identity):
                # A kill in the middle of a deletion leaves no half of a checkpoint under its name.
                with suppress(OSError):
                    self.unfinished.mkdir(exist_ok=True)
                    path.rename(self.unfinished / path.name)
        self._clear()

    def _clear(self) -> None:
        shutil.rmtree(self.unfinished, ignore_errors=True)


def identity_of(recipe: FineTuning, weights: Path, **texts: Texts) -> dict[str, str]:
    """Say what makes a run the one it is; `texts` are those it is given, by what they are for.

    Raises LabError for a library that the run needs and that isn't installed.
    """
    settings = {field.name: repr(getattr(recipe, field.name)) for field in fields(recipe)}
    data = {f"{name} texts": _texts_digest(given) for name, given in texts.items()}
    libraries = (*_LIBRARIES, "peft") if recipe.method == "lora" else _LIBRARIES
    versions = {name: _version(name) for name in libraries}
    return settings | {"weights": weights_digest(weights)} | data | versions


def name_of(step: int) -> str:
    """Name the checkpoint of a step as Trainer does."""
    return f"checkpoint-{step}"


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name gives."""
    found = _NAME.fullmatch(path.name)
    assert found, path
    return int(found[1])


def newest_first(folder: Path) -> list[Path]:
    """List what is named as a checkpoint in a folder, sound or not, the latest step first."""
    if not folder.is_dir():
        return []
    return sorted(filter(_is_named, folder.iterdir()), key=step_of, reverse=True)


def verify(path: Path, identity: Identity) -> None:
    """Raise UnsoundError unless a checkpoint is as it was sealed; ForeignError: by another run."""
    seal = _read_seal(path)
    there = set(_files(path))
    if missing := sorted(seal.files.keys() - there):
        raise UnsoundError(f"{path.name} lacks {missing[0]}")
    if strange := sorted(there - seal.files.keys()):
        raise UnsoundError(f"{path.name} has {strange[0]}, which it had not when it was sealed")
    for name, file in seal.files.items():
        if fault := fault_of(path / name, file.size_bytes, file.sha256):
            raise UnsoundError(f"{path.name}: {name} {fault}")
    if differing := differences(seal.identity, identity):
        raise ForeignError(f"{path.name} was made with {differing}")


def differences(sealed: Identity, wanted: Identity) -> str:
    """Say in which settings two runs differ; nothing where they are the same."""
    return ", ".join(
        f"{key} {_shown(sealed, key)} instead of {_shown(wanted, key)}"
        for key in dict.fromkeys([*wanted, *sealed])
        if sealed.get(key) != wanted.get(key)
    )


def _shown(identity: Identity, key: str) -> str:
    return shorten(identity.get(key, "not said"), 40, placeholder="…")


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError as error:
        raise not_installed(library) from error


def _texts_digest(texts: Texts) -> str:
    content = [texts.classes, texts.texts, texts.labels.tolist()]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _read_seal(path: Path) -> Seal:
    if path.is_symlink() or not path.is_dir():
        raise UnsoundError(f"{path.name} is not a folder")
    try:
        found = (path / SEAL).lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _SEAL_BYTES:
            raise UnsoundError(f"the seal of {path.name} is not a file of that kind")
        seal = Seal.model_validate_json((path / SEAL).read_bytes())
    except FileNotFoundError:
        raise UnsoundError(f"{path.name} has no seal: its writing was cut off") from None
    except OSError as error:
        raise UnsoundError(f"the seal of {path.name} can't be read: {error.strerror}") from None
    except ValidationError:
        raise UnsoundError(f"the seal of {path.name} is damaged") from None
    if seal.step != step_of(path):
        raise UnsoundError(f"{path.name} was sealed as that of step {seal.step}")
    return seal


def _seal(path: Path, step: int, identity: Identity) -> None:
    files = {}
    for name in _files(path):
        file = path / name
        _flush(file)
        files[name] = SealedFile(size_bytes=file.stat().st_size, sha256=sha256_of(file))
    seal = Seal(step=step, identity=dict(identity), files=files)
    with (path / SEAL).open("w", encoding="utf-8") as sink:
        sink.write(seal.model_dump_json(indent=1))
        sink.flush()
        os.fsync(sink.fileno())
    for folder, _, _ in os.walk(path, topdown=False):
        _flush(Path(folder))


def _is_of(path: Path, identity: Identity) -> bool:
    try:
        return _read_seal(path).identity == dict(identity)
    except UnsoundError:
        return False


def _is_named(path: Path) -> bool:
    return _NAME.fullmatch(path.name) is not None


def _files(folder: Path) -> Iterator[str]:
    """Yield all in a folder that isn't a folder, links too, but its seal."""
    for inner, folders, files in os.walk(folder):
        linked = [name for name in folders if (Path(inner) / name).is_symlink()]
        for name in sorted([*files, *linked]):
            if (relative := (Path(inner) / name).relative_to(folder).as_posix()) != SEAL:
                yield relative


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
