"""Everything that can be known to be wrong before the first second is spent."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from enterprise_lab.batch.attempt import Identity, Predicted, Scalar, State, Status
from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans import identity, needs
from enterprise_lab.batch.plans.errors import PlanError
from enterprise_lab.batch.plans.expansion import exclusion_problems, expand, too_many
from enterprise_lab.batch.plans.inputs import Inputs
from enterprise_lab.batch.plans.notebook_file import content_of, read_notebook
from enterprise_lab.batch.plans.parameters import Parameter, read_parameters
from enterprise_lab.batch.plans.prediction import History, Place, predict_lab, predict_workload
from enterprise_lab.batch.plans.reading import PlanFile, read_plan
from enterprise_lab.batch.plans.schema import Entry
from enterprise_lab.batch.plans.values import accepted, twice_given, value_problems
from enterprise_lab.batch.run import Batch, Need, Retries, Run
from enterprise_lab.catalog import Accelerator
from enterprise_lab.catalog.driver_names import by_driver_name
from enterprise_lab.errors import LabError
from enterprise_lab.labs import Lab, lab_of
from enterprise_lab.units import format_bytes, format_seconds

OUTPUT_BYTES_PER_RUN = 20_000_000
"""Free disk asked for before a run: an executed notebook with pictures, twice over."""

MOST_OF_AN_ENTRY = 200
"""Values of an entry that are found wrong before the search for more ends."""


@dataclass(frozen=True)
class _Notebook:
    content: str
    code: str
    parameters: Mapping[str, Parameter]
    lab: Lab | None


@dataclass(frozen=True)
class _Checked:
    """What was found of one entry: its runs, if nothing is wrong with them, and what is wrong."""

    need: Need
    runs: Sequence[Run] = ()
    problems: Sequence[LabError] = ()


def check_plan(
    path: Path,
    store: str | None = None,
    *,
    slots: int | None = None,
    nodes: Sequence[Node] | None = None,
    processor: Callable[[], Accelerator] | None = None,
    earlier: Callable[[str, str], Iterable[Status]] | None = None,
) -> Batch:
    """Read, expand and check a plan; PlanError lists every problem with its mend.

    `store` and `slots` go before the plan's. `nodes` are the machines it is to run on. Without them
    nothing is said of devices and memory, and a run that would take any GPU is the one that was
    made `earlier`, if it was. Predictions are for the `processor`, which is asked for only where it
    is needed, or from attempts made `earlier`, given a store and the plan's name.
    """
    plan_file = read_plan(path)
    place = store or _place(plan_file.plan.store, plan_file.root)
    history = History(earlier(place, plan_file.plan.name) if earlier else ())
    check = _Check(plan_file, slots, nodes, processor, history)
    batch, problems = check.batch(place)
    if problems:
        raise PlanError(path, problems)
    return batch


class _Check:
    def __init__(
        self,
        plan_file: PlanFile,
        slots: int | None,
        nodes: Sequence[Node] | None,
        processor: Callable[[], Accelerator] | None,
        history: History,
    ) -> None:
        self._file = plan_file
        self._plan = plan_file.plan
        self._slots = slots or plan_file.plan.slots
        self._nodes = nodes
        self._processor = processor
        self._history = history
        self._inputs = Inputs()
        self._environment = identity.environment(plan_file.root)
        self._notebooks: dict[str, _Notebook | LabError] = {}

    def batch(self, store: str) -> tuple[Batch, list[LabError]]:
        """Return the batch of all that is sound, and all problems."""
        plan, problems = self._plan, list(self._file.problems)
        oversized = too_many(self._file.entries.values())
        checked = {index: self._entry(index, not oversized) for index in self._file.entries}
        for one in checked.values():
            problems += one.problems
        if oversized:
            problems.append(oversized)
        runs = [(index, run) for index, one in checked.items() for run in one.runs]
        problems += self._duplicates(runs)
        if plan.price:
            wrong = needs.price_problems(plan.price, [one.need for one in checked.values()])
            problems += [self._said(error, "price") for error in wrong]
        if "://" not in store:
            problems += _output_problems(Path(store) / plan.name, len(runs))
        title = plan.title or plan.name
        return Batch(plan.name, title, tuple(run for _, run in runs), store, self._slots), problems

    def _entry(self, index: int, small_enough: bool) -> _Checked:
        """Check one entry; it is expanded unless what is wrong would tell the same of every run."""
        entry = self._file.entries[index]
        need, problems = self._need(index)
        sound = not problems and index not in self._file.partial and small_enough
        if self._nodes is not None and (short := needs.shortage(need, self._nodes)):
            problems.append(self._said(short, "runs", index, "resources"))
        problems += [
            self._said(error, "runs", index, "data")
            for error in self._inputs.lacks(entry.data or ())
        ]
        notebook = self._notebook(entry.notebook)
        if isinstance(notebook, LabError):
            problems.append(self._said(notebook, "runs", index, "notebook"))
            return _Checked(need, problems=problems)
        if notebook.lab and notebook.lab.lack:
            problems.append(self._said(notebook.lab.lack, "runs", index, "notebook"))
        wrong = [
            *islice(value_problems(self._file, index, notebook.parameters), MOST_OF_AN_ENTRY),
            *twice_given(self._file, index),
            *(self._exclusion_problems(index) if small_enough else ()),
        ]
        problems += wrong
        if wrong or not sound:
            return _Checked(need, problems=problems)
        runs, errors = self._runs(entry, notebook, need, expand(entry))
        problems += [self._said(error, "runs", index) for error in errors]
        return _Checked(need, runs, problems)

    def _need(self, index: int) -> tuple[Need, list[LabError]]:
        try:
            return needs.need_of(self._plan, self._file.entries[index]), []
        except LabError as error:
            return Need(), [self._said(error, "runs", index, "resources")]

    def _exclusion_problems(self, index: int) -> Iterator[LabError]:
        entry = self._file.entries[index]
        for position, error in exclusion_problems(entry):
            yield self._said(error, "runs", index, "exclude", position)
        if entry.exclude and not expand(entry):
            nothing = LabError("nothing is left to run", "Remove an exclusion, or the entry.")
            yield self._said(nothing, "runs", index, "exclude")

    def _notebook(self, name: str) -> _Notebook | LabError:
        if name not in self._notebooks:
            try:
                self._notebooks[name] = _read_notebook(self._file.root, name)
            except LabError as error:
                self._notebooks[name] = error
        return self._notebooks[name]

    def _runs(
        self,
        entry: Entry,
        notebook: _Notebook,
        need: Need,
        combinations: Sequence[Mapping[str, Scalar]],
    ) -> tuple[list[Run], list[LabError]]:
        """Make the runs of an entry, and list what is wrong with any, the same thing once."""
        wrong: dict[str, LabError] = {}
        runs = []
        for given in combinations:
            run, problems = self._run(entry, notebook, need, accepted(given, notebook.parameters))
            wrong.update({str(error): error for error in problems})
            runs.append(run)
        return runs, list(wrong.values())

    def _run(
        self, entry: Entry, notebook: _Notebook, need: Need, given: dict[str, Scalar]
    ) -> tuple[Run, list[LabError]]:
        defaults = {p.name: p.default for p in notebook.parameters.values() if p.has_default}
        parameters = {**defaults, **given}
        used = self._inputs.used(notebook.lab, parameters)
        is_what = Identity(
            notebook=entry.notebook,
            parameters=parameters,
            code=notebook.code,
            lock=self._environment.lock,
            package=self._environment.package,
            data=self._inputs.digests([*used, *(entry.data or ())]),
            device=needs.device_of(need, self._nodes),
        )
        if self._nodes is None and (before := self._history.device(is_what)):
            is_what = is_what.model_copy(update={"device": before})
        problems = self._inputs.lacks(used)
        if str(parameters.get("device")).startswith("cuda") and not need.gpus:
            problems.append(
                LabError(
                    f"device={parameters['device']} needs a GPU, and none is asked for",
                    "Add `resources: {gpus: 1}` to the entry.",
                )
            )
        try:
            predicted = self._predicted(entry, notebook.lab, need, is_what)
        except LabError as error:
            predicted = Predicted()
            problems.append(error)
        deadline_seconds = entry.deadline_seconds or self._plan.deadline_seconds
        problems += self._too_much(entry, need, predicted, deadline_seconds)
        retries = entry.retries or self._plan.retries
        return Run(
            run_id=identity.run_id(is_what),
            notebook=entry.notebook,
            content=notebook.content,
            given=given,
            identity=is_what,
            need=need,
            deadline_seconds=deadline_seconds,
            retries=Retries(retries.times, frozenset(map(State, retries.on)))
            if retries
            else Retries(),
            predicted=predicted,
            usd_per_hour=self._usd_per_hour(need),
        ), problems

    def _predicted(self, entry: Entry, lab: Lab | None, need: Need, is_what: Identity) -> Predicted:
        if entry.workload:
            kind = needs.gpu_kind(need, self._nodes)
            chip = by_driver_name(kind) if kind else None
            here = self._processor() if self._processor and not need.gpus else None
            place = Place(chip, need.gpus) if need.gpus else Place(here)
            return predict_workload(entry.workload, is_what.parameters, place)
        if lab and self._processor:
            return predict_lab(lab, is_what.parameters, self._processor())
        return self._history.predict(is_what)

    def _too_much(
        self, entry: Entry, need: Need, predicted: Predicted, deadline_seconds: float
    ) -> Iterator[LabError]:
        """Yield why a run would end before its time, as far as that is predicted."""
        if predicted.low_seconds is not None and predicted.low_seconds > deadline_seconds:
            yield LabError(
                f"a run is predicted to take {format_seconds(predicted.low_seconds)} at least, and"
                f" its deadline is {format_seconds(deadline_seconds)}",
                "Give it a later deadline_seconds.",
            )
        on_gpus = entry.workload and need.gpus
        if predicted.memory_bytes is None or on_gpus:
            return
        if need.memory_bytes is not None and predicted.memory_bytes > need.memory_bytes:
            yield LabError(
                f"a run is predicted to hold {format_bytes(predicted.memory_bytes)}, and may hold"
                f" {format_bytes(need.memory_bytes)}",
                "Raise `memory` in its resources.",
            )
        largest = max((node.memory_bytes for node in self._nodes or ()), default=math.inf)
        if predicted.memory_bytes > largest:
            yield LabError(
                f"a run is predicted to hold {format_bytes(predicted.memory_bytes)}, and the most"
                f" memory a machine has is {format_bytes(largest)}",
                "Run it on a larger machine.",
            )

    def _usd_per_hour(self, need: Need) -> float | None:
        try:
            return needs.usd_per_hour(self._plan.price, need, self._slots)
        except LabError:  # told once, of the price itself
            return None

    def _duplicates(self, runs: Sequence[tuple[int, Run]]) -> Iterator[LabError]:
        first: dict[str, int] = {}
        for index, run in runs:
            if run.run_id in first:
                said = ", ".join(f"{k}={v}" for k, v in run.given.items())
                yield self._said(
                    LabError(
                        f"the run with {said or 'the defaults'} is asked for already by"
                        f" runs[{first[run.run_id]}]",
                        "Remove one of the two.",
                    ),
                    "runs", index,
                )  # fmt: skip
            first.setdefault(run.run_id, index)

    def _said(self, error: LabError, *location: str | int) -> LabError:
        """Put the place in the file before what is wrong there."""
        return LabError(
            f"{self._file.where(*location)}: {error.problem.rstrip('.')}.", error.remedy
        )


def _read_notebook(root: Path, name: str) -> _Notebook:
    notebook = read_notebook(root / name)
    return _Notebook(
        content_of(notebook),
        identity.code_digest(notebook),
        read_parameters(notebook),
        lab_of(name),
    )


def _place(store: str, root: Path) -> str:
    return store if "://" in store else str(root / Path(store).expanduser())


def _output_problems(folder: Path, runs: int) -> list[LabError]:
    try:
        existing = folder.absolute()
        while not existing.exists():
            existing = existing.parent
        writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
        free_bytes = shutil.disk_usage(existing).free if writable else 0
    except OSError as error:
        return [
            LabError(
                f"Outputs cannot be written to {folder}: {error.strerror or error}.",
                "Give another store.",
            )
        ]
    if not writable:
        return [
            LabError(
                f"Outputs cannot be written to {folder}: {existing} is not a folder you can"
                " write in.",
                "Give another store.",
            )
        ]
    needed_bytes = runs * OUTPUT_BYTES_PER_RUN
    if free_bytes < needed_bytes:
        return [
            LabError(
                f"{existing} has {format_bytes(free_bytes)} free; {runs} runs may need"
                f" {format_bytes(needed_bytes)}.",
                "Free some space, or give another store.",
            )
        ]
    return []
