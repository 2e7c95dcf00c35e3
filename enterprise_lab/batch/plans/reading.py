"""The plan file: read from YAML, with the line of everything that is wrong in it.

Paths in it count from the folder above the one that holds the plan, so that
`batches/starter.yaml` reaches `solutions/...` from whatever folder the command is given in.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from enterprise_lab.batch.attempt import Scalar
from enterprise_lab.batch.plans.errors import PlanError
from enterprise_lab.batch.plans.schema import KEYS, MENDS, Entry, Part, Plan
from enterprise_lab.data import yaml_lines
from enterprise_lab.data.yaml_lines import Document, Location
from enterprise_lab.errors import LabError

__all__ = ["MOST_BYTES", "PlanFile", "Scalar", "read_plan"]

MOST_BYTES = 250_000
"""Of a plan file: a thousand runs, one by one. More are a matrix, not a list."""
_LONGEST_REASON = 200
_WRONG_SHAPES = {
    "model_type": "it should be a mapping, a line `key: value` for each key",
    "dict_type": "it should be a mapping, such as {name: value}",
    "list_type": "it should be a list, such as [value, value]",
}
"""What pydantic says in words of Python."""


@dataclass(frozen=True)
class PlanFile:
    """What is sound of a plan, what is not, and the file both are from.

    `entries` are those of `runs` by their positions; of those in `partial` some key is wrong and
    left out. `plan` without a sound name is called `unnamed`.
    """

    path: Path
    document: Document
    plan: Plan
    entries: Mapping[int, Entry]
    partial: frozenset[int] = frozenset()
    problems: tuple[LabError, ...] = ()

    @property
    def root(self) -> Path:
        """The folder that paths and `constraints.txt` are counted from."""
        return self.path.resolve().parent.parent

    def where(self, *location: str | int) -> str:
        """Name a place in the file: `starter.yaml, line 5 (runs[0].notebook)`."""
        return _where(self.path, self.document, location)


def read_plan(path: Path) -> PlanFile:
    """Read a plan file; its `problems` are every wrong key and value with its line.

    Raises PlanError where nothing of it can be used.
    """
    document = _document(path, _text(path))
    repeated = [
        LabError(f"{_where(path, document, key)}: the key is given twice.", "Keep one of the two.")
        for key in document.repeated
    ]
    try:
        plan = Plan.model_validate(document.content)
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = [*repeated, *(_shape_problem(path, document, detail) for detail in details)]
        return _sound_part(path, document, [detail["loc"] for detail in details], problems)
    return PlanFile(path, document, plan, dict(enumerate(plan.runs)), problems=tuple(repeated))


def _text(path: Path) -> str:
    def wrong(problem: str, remedy: str) -> PlanError:
        return PlanError(path, [LabError(problem, remedy)])

    try:
        if not path.exists():
            raise wrong("There is no such file.", "Give the path of a plan: batches/NAME.yaml.")
        if not path.is_file():
            raise wrong("It is no file, so it cannot be read.", "Give a UTF-8 YAML file.")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise wrong(
                f"It is larger than {MOST_BYTES:,} bytes.", "Use a matrix, or split the plan."
            )
        return content.decode()
    except (OSError, ValueError) as error:
        raise wrong(f"It cannot be read: {error}.", "Give a UTF-8 YAML file.") from None


def _document(path: Path, text: str) -> Document:
    try:
        return yaml_lines.read(text, repeated=True)
    except yaml_lines.BadYAMLError as error:
        line = f", line {error.line}" if error.line else ""
        reason = error.reason.partition("\n")[0].rstrip(".")[:_LONGEST_REASON]
        problem = LabError(f"{path.name}{line}: not YAML: {reason}.", _yaml_mend(reason))
        raise PlanError(path, [problem]) from None


def _yaml_mend(reason: str) -> str:
    if "\\t" in reason:
        return "Indent with spaces: YAML knows no tabs."
    if "unexpected end of stream" in reason:
        return "Close the quote or bracket that is still open."
    return "Mend the syntax there: quotes, brackets, and the spaces before the keys."


def _sound_part(
    path: Path,
    document: Document,
    wrong: Sequence[tuple[int | str, ...]],
    problems: Sequence[LabError],
) -> PlanFile:
    """Read what is left of a plan without the wrong keys, so that the rest is checked too."""
    content = document.content
    if not isinstance(content, dict) or not isinstance(content.get("runs"), list):
        raise PlanError(path, problems)
    entries: dict[int, Entry] = {}
    partial = set()
    for position, entry in enumerate(content["runs"]):
        keys = {where[2] for where in wrong if where[:2] == ("runs", position) and where[2:]}
        sound = _entry(entry, keys)
        if sound:
            entries[position] = sound
        if keys:
            partial.add(position)
    top = {where[0] for where in wrong if where} - {"runs"}
    kept = {key: value for key, value in content.items() if key not in top}
    try:
        plan = Plan.model_validate({"name": "unnamed", **kept, "runs": list(entries.values())})
    except ValidationError:
        raise PlanError(path, problems) from None
    return PlanFile(path, document, plan, entries, frozenset(partial), tuple(problems))


def _entry(content: Any, without: set[int | str]) -> Entry | None:
    if not isinstance(content, dict):
        return None
    try:
        return Entry.model_validate({k: v for k, v in content.items() if k not in without})
    except ValidationError:
        return None


def _where(path: Path, document: Document, location: Location) -> str:
    place = f"{path.name}, {document.where(location)}"
    # A key can hold what no terminal should write.
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in place)


def _shape_problem(path: Path, document: Document, detail: ErrorDetails) -> LabError:
    # pydantic marks an error in a mapping's key by a last part "[key]", which is no place.
    location = tuple(part for part in detail["loc"] if part != "[key]")
    where = _where(path, document, location)
    if detail["type"] == "extra_forbidden":
        model = _model_at(location[:-1])
        near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        return LabError(
            f"{where}: there is no such key.",
            f"{meant}Known here: {', '.join(model.model_fields)}.",
        )
    mend = next((MENDS[part] for part in reversed(location) if part in MENDS), None)
    if detail["type"] == "missing":
        return LabError(f"{where}: the key is missing.", mend or "Add it.")
    if mend is None or (location and isinstance(location[-1], int) and len(location) == 2):
        mend = f"Write a mapping with the keys {', '.join(_model_at(location).model_fields)}."
    if detail["type"] == "string_pattern_mismatch":
        return LabError(f"{where}: it cannot be {str(detail['input'])[:60]!r}.", mend)
    said = _WRONG_SHAPES.get(detail["type"], f"{detail['msg'][0].lower()}{detail['msg'][1:]}")
    return LabError(f"{where}: {said}.", mend)


def _model_at(location: Location) -> type[Part]:
    """Return what a mapping at a place has to be."""
    return next((KEYS[part] for part in reversed(location) if part in KEYS), Plan)
