"""The values a plan gives, held against the parameters that a notebook has."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping

from enterprise_lab import catalog
from enterprise_lab.batch.attempt import Scalar
from enterprise_lab.batch.plans.parameters import Parameter
from enterprise_lab.batch.plans.reading import PlanFile
from enterprise_lab.batch.plans.schema import Entry
from enterprise_lab.errors import LabError, require_whole

LARGEST_SIZE = 10**9
"""Beyond any number of tokens, sequences or steps that was meant."""


def value_problems(
    plan_file: PlanFile, index: int, known: Mapping[str, Parameter]
) -> Iterator[LabError]:
    """Yield what is wrong with every value that an entry gives."""
    for place, name, value in _given(plan_file.entries[index]):
        where = plan_file.where("runs", index, *place)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"Did you mean {near[0]}? " if near else ""
            yield LabError(
                f"{where}: the notebook has no such parameter.",
                f"{meant}It has: {', '.join(known) or 'none'}.",
            )
            continue
        try:
            _look_up(name, known[name].accept(value))
        except LabError as error:
            yield LabError(f"{where}: {error.problem.rstrip('.')}.", error.remedy)


def twice_given(plan_file: PlanFile, index: int) -> Iterator[LabError]:
    """Yield the parameters that an entry gives in more than one of its keys."""
    entry = plan_file.entries[index]
    sets = {name: (key, name) for key, chosen in (entry.sets or {}).items() for name in chosen}
    matrix = {name: (name,) for name in entry.matrix or {}}
    for later, place, earlier, said in (
        ("matrix", matrix, entry.parameters, "has a fixed value in parameters too"),
        ("sets", sets, {**entry.parameters, **matrix}, "is in parameters or in the matrix too"),
    ):
        for name in place.keys() & earlier.keys():
            where = plan_file.where("runs", index, later, *place[name])
            yield LabError(f"{where}: the parameter {said}.", "Keep it in one of the two.")


def accepted(parameters: Mapping[str, Scalar], known: Mapping[str, Parameter]) -> dict[str, Scalar]:
    """Return sound values as the notebook wants them, names of the catalogue in full."""
    return {name: _look_up(name, known[name].accept(value)) for name, value in parameters.items()}


def _given(entry: Entry) -> Iterator[tuple[tuple[str | int, ...], str, Scalar]]:
    """Yield the place below the entry, the parameter and the value, of all that it gives."""
    for name, value in entry.parameters.items():
        yield ("parameters", name), name, value
    for name, values in (entry.matrix or {}).items():
        for position, value in enumerate(values):
            yield ("matrix", name, position), name, value
    for key, chosen in (entry.sets or {}).items():
        for name, value in chosen.items():
            yield ("sets", key, name), name, value


def _look_up(name: str, value: Scalar) -> Scalar:
    """Check what parameters of these names mean everywhere, catalogue names and sizes.

    A catalogue name is returned in full, so that `p4d` and `p4d.24xlarge` are one run.
    """
    match name, value:
        case "model", str():
            return catalog.model(value).name
        case "instance", str():
            return catalog.instance(value).name
        case "accelerator", str():
            return catalog.accelerator(value).name
        case "sequence_length" | "global_batch" | "steps", int():
            require_whole(name, value, LARGEST_SIZE)
    return value
