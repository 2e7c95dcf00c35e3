"""The folder of a plan's results: what a run leaves, and how it gets there whole.

    runs/NAME/RUN_ID/notebook.ipynb   the executed notebook
    runs/NAME/RUN_ID/records.jsonl    the figures it recorded, if any
    runs/NAME/RUN_ID/stdout.log       what it and its runner printed
    runs/NAME/RUN_ID/status.json      how it ended
    runs/NAME/results.parquet         every figure of every run
    runs/NAME/report/index.html       the comparison

A run works in a hidden folder beside its final one. When it has ended everything is flushed,
the status is written last, and the folder is renamed into place: a kill at any moment leaves a
whole result or none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from enterprise_lab.errors import LabError

NOTEBOOK = "notebook.ipynb"
RECORDS = "records.jsonl"
LOG = "stdout.log"
_STATUS = "status.json"


class State(StrEnum):
    """How a run ended, or that it has not begun."""

    QUEUED = "queued"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    KERNEL_DIED = "kernel_died"
    CANCELLED = "cancelled"


class Status(BaseModel):
    """What `status.json` says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: State
    run_id: str
    notebook: str
    parameters: dict[str, Any]
    started: datetime
    run_seconds: float
    device: str
    error: str = ""


def read_status(folder: Path, run_id: str) -> Status | None:
    """How a run ended; None when it left no whole result."""
    try:
        text = (folder / run_id / _STATUS).read_text(encoding="utf-8")
        return Status.model_validate_json(text)
    except (OSError, ValidationError):
        return None


def begin(folder: Path, run_id: str) -> Path:
    """Make the empty folder a run works in, dropping what an earlier kill left there."""
    work = folder / f".{run_id}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    return work


def finish(folder: Path, work: Path, status: Status) -> None:
    """Flush a run's folder, write its status last and rename it into place."""
    for path in work.rglob("*"):
        if path.is_file():
            _flush(path)
    (work / _STATUS).write_text(status.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _flush(work / _STATUS)
    _flush(work)
    replace_folder(work, folder / status.run_id)


def replace_folder(new: Path, target: Path) -> None:
    """Put a finished folder in the place of an older one, if any."""
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    _flush(target.parent)


@contextmanager
def replacing_file(target: Path) -> Iterator[Path]:
    """Yield a path beside the target to write; flush it and rename it onto the target."""
    aside = target.with_name(f".{target.name}")
    yield aside
    _flush(aside)
    aside.replace(target)
    _flush(target.parent)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a plan's folder, made if missing; LabError when another runner holds it.

    The kernel drops the lock with the process, so a kill leaves nothing to clean up.
    """
    try:
        import fcntl
    except ImportError:
        raise LabError(
            "Batches run on Linux and macOS only.", "On Windows, use them in WSL."
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(
                f"Another `elab batch run` is at work in {folder}.",
                "Wait until it has ended, or give another folder with --runs.",
            ) from None
        yield


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
