"""The one schema for every figure in the kit, and the file it is kept in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from enterprise_lab.errors import LabError, UnknownNameError, require_finite
from enterprise_lab.measure.provenance import kit_commit, software
from enterprise_lab.measure.timing import Measurement

if TYPE_CHECKING:
    from pandas import DataFrame

Scalar = str | bool | int | float

_BEGINNING = b'{"lab"'
"""Of a record's line."""


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

    `low` and `high` are its spread: quartiles of the `n` samples of a measured figure, the interval
    of an estimated one. `run` names what was measured together; `parameters` are those of the work
    that was measured, `versions` and `git_commit` those of the software that did it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    lab: str
    metric: str
    value: float
    unit: str
    origin: Origin
    low: float | None = None
    high: float | None = None
    n: int | None = Field(default=None, ge=1, description="samples behind a measured figure")
    doubt: str = Field(default="", description="why it can't be relied on, where it can't")
    device: str = ""
    source: str = ""
    run: str = ""
    parameters: Mapping[str, Scalar] = {}
    versions: Mapping[str, str] = {}
    git_commit: str = Field(default="", description="of this kit; -dirty after local changes")
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))


def measured(
    lab: str,
    metric: str,
    measurement: Measurement,
    *,
    device: str,
    source: str,
    run: str = "",
    parameters: Mapping[str, Scalar] | None = None,
    versions: Mapping[str, str] | None = None,
) -> Record:
    """Return a measured figure with the software that is loaded and the kit's commit.

    `source` says what measured it; `versions` adds to, or corrects, those that are found. Raises
    InvalidValueError where the figure isn't finite.
    """
    taken = measurement
    require_finite(**{metric: taken.value})
    return Record(
        lab=lab,
        metric=metric,
        value=taken.value,
        unit=taken.unit,
        origin=Origin.MEASURED,
        low=taken.low,
        high=taken.high,
        n=taken.n,
        doubt=taken.doubt,
        device=device,
        source=source,
        run=run,
        parameters=parameters or {},
        versions={**software(), **(versions or {})},
        git_commit=kit_commit(),
    )


def measurement_of(record: Record) -> Measurement:
    """Return a measured figure as it was measured, without what a record doesn't keep."""
    low, high = (record.value if end is None else end for end in (record.low, record.high))
    return Measurement(record.value, record.unit, low, high, record.n or 1, doubt=record.doubt)


def frame(records: Iterable[Record]) -> DataFrame:
    """Return records as a table: a row each, in their order, with a column a parameter.

    The version of torch is in the column `version_torch`. A parameter called like another column
    gets the prefix `parameter_`. What a record hasn't is NaN.
    """
    import pandas as pd

    own = [name for name in Record.model_fields if name not in ("parameters", "versions")]
    rows = []
    for one in records:
        row: dict[str, object] = {name: getattr(one, name) for name in own}
        row |= {"origin": one.origin.value}
        row |= {_column(name, own): value for name, value in one.parameters.items()}
        row |= {f"version_{name}": value for name, value in one.versions.items()}
        rows.append(row)
    columns = dict.fromkeys([*own, *(name for row in rows for name in row)])
    table = pd.DataFrame(rows, columns=list(columns))
    return table.assign(time=pd.to_datetime(table["time"], utc=True))


def _column(parameter: str, own: list[str]) -> str:
    taken = parameter in own or parameter.startswith(("parameter_", "version_"))
    return f"parameter_{parameter}" if taken else parameter


def append(path: Path, records: Iterable[Record]) -> None:
    """Add records to a JSON-lines file: lines that are there stay whole, whoever is killed.

    Writers wait for each other at a lock beside the file. What a killed one left of a last line is
    cut off first, and what is written is on the disk when this returns. Raises LabError, and
    changes nothing, where the last line has no end and is no beginning of a record either.
    """
    lines = "".join(r.model_dump_json() + "\n" for r in records).encode()
    with FileLock(path.with_name(f".{path.name}.lock")), path.open("a+b") as file:
        file.seek(0)
        text = file.read()
        *whole, last = text.split(b"\n")
        if _is_torn(last):
            file.truncate(len(text) - len(last))
        else:
            _parse(last, path, len(whole) + 1)
            lines = b"\n" + lines
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path | Traversable) -> list[Record]:
    """Read a file written by `append`; LabError names the line that is not a record.

    The beginning of a record at the end of the file is one that is being written, or whose writer
    was killed: it is left out.
    """
    *lines, last = path.read_bytes().split(b"\n")
    if not _is_torn(last):
        lines.append(last)
    return [_parse(line, path, number) for number, line in enumerate(lines, start=1)]


def _parse(line: bytes, path: Path | Traversable, number: int) -> Record:
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        why = f"{field}: {first['msg']}" if field else "it is no JSON object"
        raise LabError(
            f"{path}, line {number} is not a record ({why}).",
            "Remove that line, or the file, and run the lab again.",
        ) from error


def _is_torn(line: bytes) -> bool:
    """Return whether a line holds the beginning of a record only, or nothing."""
    if not line.startswith(_BEGINNING):
        return _BEGINNING.startswith(line)
    text = line.decode(errors="ignore")
    with suppress(ValueError):
        json.JSONDecoder().raw_decode(text)
        return False
    with suppress(ValueError):
        from_json(text, allow_partial="trailing-strings")
        return True
    return False


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
    measured_then = {"origin": Origin.RECORDED}
    return [
        r.model_copy(update=measured_then) if r.origin == Origin.MEASURED else r
        for r in read(files[name])
    ]
