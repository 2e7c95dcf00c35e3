"""Everything that can be known to be wrong before the first second is spent."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from enterprise_lab import catalog
from enterprise_lab.batch import identity
from enterprise_lab.batch.attempt import Identity, Predicted
from enterprise_lab.batch.errors import PlanError
from enterprise_lab.batch.notebook_file import content_of, read_notebook
from enterprise_lab.batch.parameters import Parameter, read_parameters
from enterprise_lab.batch.plan import Combination, PlanFile, Scalar, expand, read_plan
from enterprise_lab.batch.run import Batch, Need, Retries, Run
from enterprise_lab.errors import LabError, require_whole
from enterprise_lab.units import format_bytes

LARGEST_SIZE = 10**9
"""Beyond any number of tokens, sequences or steps that was meant."""
OUTPUT_BYTES_PER_RUN = 20_000_000
"""Free disk asked for before a run: an executed notebook with pictures, twice over."""


@dataclass(frozen=True)
class _Notebook:
    content: str
    code: str
    parameters: dict[str, Parameter]


def check_plan(path: Path, store: str | None = None) -> Batch:
    """Read, expand and check a plan; PlanError lists every problem with its mend."""
    plan_file = read_plan(path)
    plan = plan_file.plan
    problems: list[LabError] = []
    notebooks: dict[str, _Notebook] = {}
    for index, entry in enumerate(plan.runs):
        problems += _key_problems(plan_file, index)
        try:
            if entry.notebook not in notebooks:
                notebooks[entry.notebook] = _read_notebook(plan_file.root, entry.notebook)
        except LabError as error:
            where = plan_file.where("runs", index, "notebook")
            problems.append(LabError(f"{where}: {error.problem}.", error.remedy))
    problems += _value_problems(plan_file, notebooks)
    try:
        combinations = expand(plan)
    except LabError as error:
        raise PlanError(path, [*problems, error]) from None
    store = store or "runs"
    if "://" not in store:
        problems += _output_problems(Path(store) / plan.name, len(combinations))
    if problems:
        raise PlanError(path, problems)

    environment = identity.environment(plan_file.root)
    runs = [
        _run(c, notebooks[c.notebook], environment, plan.deadline_seconds) for c in combinations
    ]
    if duplicates := _duplicate_problems(plan_file, combinations, runs):
        raise PlanError(path, duplicates)
    return Batch(plan.name, plan.title or plan.name, tuple(runs), store)


def _read_notebook(root: Path, name: str) -> _Notebook:
    path = root / name
    notebook = read_notebook(path)
    return _Notebook(
        content_of(notebook), identity.code_digest(notebook), read_parameters(notebook)
    )


def _key_problems(plan_file: PlanFile, index: int) -> list[LabError]:
    entry = plan_file.plan.runs[index]
    return [
        LabError(
            f"{plan_file.where('runs', index, 'matrix', name)}: the parameter has a fixed value"
            " in parameters too.",
            "Keep it in one of the two.",
        )
        for name in entry.parameters.keys() & entry.matrix.keys()
    ]


def _value_problems(plan_file: PlanFile, notebooks: dict[str, _Notebook]) -> list[LabError]:
    problems = []
    for index, entry in enumerate(plan_file.plan.runs):
        if entry.notebook not in notebooks:
            continue
        known = notebooks[entry.notebook].parameters
        for key, name, values in [
            *(("parameters", n, [v]) for n, v in entry.parameters.items()),
            *(("matrix", n, vs) for n, vs in entry.matrix.items()),
        ]:
            where = plan_file.where("runs", index, key, name)
            if name not in known:
                problems.append(
                    LabError(
                        f"{where}: the notebook has no such parameter.",
                        f"It has: {', '.join(known) or 'none'}.",
                    )
                )
                continue
            for value in values:
                try:
                    _look_up(name, known[name].accept(value))
                except LabError as error:
                    problem = error.problem.rstrip(".")
                    problems.append(LabError(f"{where}: {problem}.", error.remedy))
    return problems


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


def _run(
    combination: Combination,
    notebook: _Notebook,
    environment: identity.Environment,
    deadline_seconds: float,
) -> Run:
    given = {
        name: _look_up(name, notebook.parameters[name].accept(value))
        for name, value in combination.parameters.items()
    }
    defaults = {p.name: p.default for p in notebook.parameters.values() if p.has_default}
    is_what = Identity(
        notebook=combination.notebook,
        parameters={**defaults, **given},
        code=notebook.code,
        lock=environment.lock,
        package=environment.package,
    )
    return Run(
        run_id=identity.run_id(is_what),
        notebook=combination.notebook,
        content=notebook.content,
        given=given,
        identity=is_what,
        need=Need(),
        deadline_seconds=deadline_seconds,
        retries=Retries(),
        predicted=Predicted(),
        usd_per_hour=None,
    )


def _duplicate_problems(
    plan_file: PlanFile, combinations: list[Combination], runs: list[Run]
) -> list[LabError]:
    problems = []
    first: dict[str, int] = {}
    for combination, run in zip(combinations, runs, strict=True):
        if run.run_id in first:
            said = ", ".join(f"{k}={v}" for k, v in combination.parameters.items())
            problems.append(
                LabError(
                    f"{plan_file.where('runs', combination.entry)}: the run with"
                    f" {said or 'the defaults'} is asked for already by"
                    f" runs[{first[run.run_id]}].",
                    "Remove one of the two.",
                )
            )
        first.setdefault(run.run_id, combination.entry)
    return problems


def _output_problems(folder: Path, runs: int) -> list[LabError]:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return [
            LabError(
                f"Outputs cannot be written to {folder}: {existing} is not a folder you can"
                " write in.",
                "Give another folder with --runs.",
            )
        ]
    free_bytes = shutil.disk_usage(existing).free
    needed_bytes = runs * OUTPUT_BYTES_PER_RUN
    if free_bytes < needed_bytes:
        return [
            LabError(
                f"{existing} has {format_bytes(free_bytes)} free; {runs} runs may need"
                f" {format_bytes(needed_bytes)}.",
                "Free some space, or give another folder with --runs.",
            )
        ]
    return []
