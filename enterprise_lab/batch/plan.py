"""The plan file: notebooks, fixed parameters and matrices, read from YAML and expanded.

A notebook's path counts from the folder above the one that holds the plan, so that
`batches/starter.yaml` reaches `solutions/...` from whatever folder the command is given in.
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from enterprise_lab.batch.errors import PlanError
from enterprise_lab.errors import LabError

MAX_RUNS = 10_000
"""Runs in one plan: more is a matrix that got out of hand."""

Scalar: TypeAlias = bool | int | float | str | None
"""A parameter's value: what a plan can write, a notebook annotate and a table column hold."""


def _scalar(value: object) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("scalar", "{value} is not a finite number", {"value": value})
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PydanticCustomError("scalar", "the number does not fit 64 bits")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise PydanticCustomError(
        "scalar", "a {kind} is not a single value", {"kind": type(value).__name__}
    )


Value = Annotated[Any, PlainValidator(_scalar)]


class Entry(BaseModel):
    """One notebook with fixed parameters and a matrix of values to combine."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    notebook: str = Field(min_length=1)
    parameters: dict[str, Value] = {}
    matrix: dict[str, Annotated[list[Value], Field(min_length=1)]] = Field(default={}, min_length=1)


class Plan(BaseModel):
    """What a plan file says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    title: str = ""
    runs: list[Entry] = Field(min_length=1)
    deadline_seconds: float = Field(default=600, gt=0, allow_inf_nan=False)


_MENDS = {
    "name": "Use up to 64 letters, digits, - and _: it names the output folder.",
    "title": "Write one line of text.",
    "runs": "List at least one entry with the key notebook.",
    "notebook": "Give the notebook's path, counted from the folder above the plan's.",
    "parameters": "Write `parameters: {name: value}` with text, numbers, true, false or null.",
    "matrix": "Write `matrix: {name: [value, value]}` with at least one value, or leave it out.",
    "deadline_seconds": "Give the seconds one run may take, above zero.",
}

Location: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class PlanFile:
    """A plan with the file it came from, so that a problem can name its line."""

    path: Path
    plan: Plan
    lines: dict[Location, int]

    @property
    def root(self) -> Path:
        """The folder that notebooks' paths and `constraints.txt` are counted from."""
        return self.path.resolve().parent.parent

    def where(self, *location: str | int) -> str:
        """Name a place in the file: `starter.yaml, line 5 (runs[0].notebook)`."""
        return _where(self.path, self.lines, location)


@dataclass(frozen=True)
class Combination:
    """One cell of a plan's matrix, not yet checked against its notebook."""

    entry: int
    notebook: str
    parameters: dict[str, Scalar]


def read_plan(path: Path) -> PlanFile:
    """Read a plan file; PlanError lists every wrong key and value with its line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PlanError(
            path,
            [LabError("There is no such file.", "Give the path of a plan: batches/NAME.yaml.")],
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(
            path, [LabError(f"It cannot be read: {error}.", "Give a UTF-8 YAML file.")]
        ) from None

    lines: dict[Location, int] = {(): 1}
    repeated: list[Location] = []
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is not None:
            _index(node, (), lines, repeated, frozenset())
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise PlanError(path, [_syntax_problem(path, error)]) from None

    problems = [
        LabError(f"{_where(path, lines, key)}: the key is given twice.", "Keep one of the two.")
        for key in repeated
    ]
    try:
        plan = Plan.model_validate(content)
    except ValidationError as error:
        problems += [_shape_problem(path, lines, detail) for detail in error.errors()]
    if problems:
        raise PlanError(path, problems)
    return PlanFile(path, plan, lines)


def expand(plan: Plan) -> list[Combination]:
    """Every combination of every entry's matrix, in the order of the file.

    Raises LabError when there are more than MAX_RUNS.
    """
    count = sum(math.prod(len(values) for values in e.matrix.values()) for e in plan.runs)
    if count > MAX_RUNS:
        raise LabError(
            f"The plan asks for {count:,} runs; {MAX_RUNS:,} is the most.",
            "Shorten a matrix, or split the plan.",
        )
    return [
        Combination(index, entry.notebook, {**entry.parameters, **cell})
        for index, entry in enumerate(plan.runs)
        for cell in _cells(entry.matrix)
    ]


def _cells(matrix: dict[str, list[Scalar]]) -> Iterator[dict[str, Scalar]]:
    for values in itertools.product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))


def _index(
    node: yaml.Node,
    location: Location,
    lines: dict[Location, int],
    repeated: list[Location],
    above: frozenset[int],
) -> None:
    """Note the line of every key and item below `node`, and the keys given twice."""
    lines[location] = node.start_mark.line + 1
    if id(node) in above:
        raise ValueError("an alias contains itself")
    above |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*location, str(key.value))
            if below in lines:
                repeated.append(below)
            _index(value, below, lines, repeated, above)
            lines[below] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            _index(item, (*location, position), lines, repeated, above)


def _where(path: Path, lines: dict[Location, int], location: Location) -> str:
    known = location
    while known not in lines:
        known = known[:-1]
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{path.name}, line {lines[known]}" + (f" ({name.lstrip('.')})" if name else "")


def _syntax_problem(path: Path, error: Exception) -> LabError:
    mark = getattr(error, "problem_mark", None)
    line = f", line {mark.line + 1}" if mark else ""
    reason = getattr(error, "problem", None) or str(error)
    return LabError(f"{path.name}{line}: not YAML: {reason}.", "Mend the syntax there.")


def _shape_problem(path: Path, lines: dict[Location, int], detail: ErrorDetails) -> LabError:
    # pydantic marks an error in a mapping's key by a last part "[key]", which is no place.
    location = tuple(part for part in detail["loc"] if part != "[key]")
    where = _where(path, lines, location)
    if detail["type"] == "extra_forbidden":
        model = Plan if len(location) == 1 else Entry
        near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        return LabError(
            f"{where}: there is no such key.",
            f"{meant}Known here: {', '.join(model.model_fields)}.",
        )
    mend = next((_MENDS[p] for p in reversed(location) if p in _MENDS), None)
    if detail["type"] == "missing":
        return LabError(f"{where}: the key is missing.", mend or "Add it.")
    if mend is None:
        mend = f"Write a mapping with the keys {', '.join(Plan.model_fields)}."
        if location:
            mend = f"Write a mapping with the keys {', '.join(Entry.model_fields)}."
    return LabError(f"{where}: {detail['msg'][0].lower()}{detail['msg'][1:]}.", mend)
