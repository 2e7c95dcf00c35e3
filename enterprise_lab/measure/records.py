"""The one schema for every figure in the kit, and the file it is kept in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from enterprise_lab.errors import LabError, UnknownNameError


class Origin(StrEnum):
    """Where a figure comes from."""

    MEASURED = "measured"
    RECORDED = "recorded"
    PUBLISHED = "published"
    ESTIMATED = "estimated"


RECORDED_RUNS = resources.files("enterprise_lab.measure") / "recorded_runs"
"""Figures that come with the package, measured on machines that not everyone has."""


class Record(BaseModel):
    """One figure: what it is, its unit, where it comes from and how sure it is.

    `run` names what was measured together; `parameters` are those of the work that was measured,
    `versions` those of the software that did it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lab: str
    metric: str
    value: float
    unit: str
    origin: Origin
    low: float | None = None
    high: float | None = None
    n: int | None = Field(default=None, ge=1, description="samples behind a measured figure")
    device: str = ""
    source: str = ""
    run: str = ""
    parameters: Mapping[str, str | bool | int | float] = {}
    versions: Mapping[str, str] = {}
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))


def append(path: Path, records: Iterable[Record]) -> None:
    """Add records to a JSON-lines file in one flushed write, so a kill leaves whole lines."""
    text = "".join(r.model_dump_json() + "\n" for r in records)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path | Traversable) -> list[Record]:
    """Read a file written by `append`; LabError names the line that is not a record."""
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            records.append(Record.model_validate(json.loads(line)))
        except (ValidationError, json.JSONDecodeError) as error:
            raise LabError(
                f"{path}, line {number} is not a record: {error}",
                "Remove that line, or the file, and run the lab again.",
            ) from error
    return records


def recorded(name: str) -> list[Record]:
    """Read a file of figures that come with the package: `recorded("cpu_steps")`.

    What was measured then is recorded now. Raises UnknownNameError for a file that isn't there.
    """
    files = {
        file.name.removesuffix(".jsonl"): file
        for file in RECORDED_RUNS.iterdir()
        if file.name.endswith(".jsonl")
    }
    if name not in files:
        raise UnknownNameError("file of recorded runs", name, files)
    return [r.model_copy(update={"origin": Origin.RECORDED}) for r in read(files[name])]
