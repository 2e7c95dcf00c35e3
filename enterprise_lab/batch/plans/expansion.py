"""An entry of a plan expanded into the combinations it asks for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping

from enterprise_lab.batch.attempt import Scalar
from enterprise_lab.batch.plans.schema import Entry
from enterprise_lab.errors import LabError

MAX_RUNS = 10_000
"""Runs in one plan, before exclusions: more is a matrix that got out of hand."""


def expand(entry: Entry) -> list[dict[str, Scalar]]:
    """Return the parameters of every run of an entry, in the order of the file."""
    return [
        {**entry.parameters, **cell}
        for cell in _cells(entry)
        if not any(_is_part(left_out, cell) for left_out in entry.exclude or ())
    ]


def too_many(entries: Iterable[Entry]) -> LabError | None:
    """Return what is wrong where entries ask for more than MAX_RUNS, before any is expanded."""
    count = sum(
        math.prod(len(values) for values in (entry.matrix or {}).values())
        * len(entry.sets or [None])
        for entry in entries
    )
    if count <= MAX_RUNS:
        return None
    asked = f"{count:,}" if count < 10**15 else "more than 10^15"
    return LabError(
        f"The plan asks for {asked} runs; {MAX_RUNS:,} is the most.",
        "Shorten a matrix, or split the plan.",
    )


def varied(entry: Entry) -> set[str]:
    """Return the names of the parameters that differ between the runs of an entry."""
    return {*(entry.matrix or {}), *itertools.chain(*(entry.sets or {}).values())}


def exclusion_problems(entry: Entry) -> Iterator[tuple[int, LabError]]:
    """Yield what is wrong with exclusions, each with its position in the list."""
    known = varied(entry)
    for position, left_out in enumerate(entry.exclude or ()):
        if strangers := [name for name in left_out if name not in known]:
            yield (
                position,
                LabError(
                    f"{', '.join(strangers)} is in no matrix and no set of this entry",
                    f"Exclude by what varies: {', '.join(sorted(known)) or 'nothing does'}.",
                ),
            )
        elif not any(_is_part(left_out, cell) for cell in _cells(entry)):
            yield (
                position,
                LabError(
                    "no combination has these values, so nothing is left out",
                    "Write the values as they are in the matrix, or remove the exclusion.",
                ),
            )


def _cells(entry: Entry) -> Iterator[dict[str, Scalar]]:
    """Yield the values that vary, of every combination of the matrix and the sets."""
    matrix = entry.matrix or {}
    for values in itertools.product(*matrix.values()):
        for chosen in (entry.sets or {"": {}}).values():
            yield {**dict(zip(matrix, values, strict=True)), **chosen}


def _is_part(some: Mapping[str, Scalar], cell: Mapping[str, Scalar]) -> bool:
    """Whether a cell has all these values; true and 1 are two."""
    return all(
        name in cell
        and cell[name] == value
        and isinstance(cell[name], bool) == isinstance(value, bool)
        for name, value in some.items()
    )
