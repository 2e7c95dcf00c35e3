"""Measuring the rates of this machine once, and keeping them for the estimates made on it.

They are kept in the folder `rates` of the kit's cache, in a file for each kind of machine, since a
home folder can be that of many.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from enterprise_lab.errors import LabError
from enterprise_lab.folders import cache_folder
from enterprise_lab.measure import records
from enterprise_lab.measure.devices import Machine, machine
from enterprise_lab.measure.libraries import libraries, processor_name
from enterprise_lab.measure.rates import (
    COPY,
    LAB,
    MATMUL,
    SMALL_OPERATION,
    disturbed,
    run,
    tasks,
)
from enterprise_lab.measure.records import Record

BUDGET_SECONDS = 12.0
"""For measuring alone: leaves, of 20 s on two cores, time to import PyTorch and to overrun."""
_PARAMETERS = {
    MATMUL: {"library", "processor", "precision", "rows"},
    COPY: {"library", "processor", "size_bytes"},
    SMALL_OPERATION: {"library", "processor"},
}
"""That rates have to have, for what is made of them."""


def kept_file(here: Machine | None = None) -> Path:
    """Return where the rates of this machine are kept, or would be."""
    here = here or machine()
    named = " ".join([processor_name(here), *(gpu.name for gpu in here.gpus)])
    name = re.sub(r"[^a-z0-9]+", "-", named.casefold()).strip("-")
    return cache_folder() / "rates" / f"{name}.jsonl"


def kept(here: Machine | None = None) -> list[Record]:
    """Return the rates of this machine that were kept; none where it was never calibrated.

    Nor is what can't be read or isn't of rates, and what earlier versions kept of a busy machine.
    """
    try:
        found = records.read(kept_file(here))
    except (OSError, LabError):
        return []
    return found if all(map(_is_rate, found)) and not disturbed(found) else []


def _is_rate(one: Record) -> bool:
    known = _PARAMETERS.get(one.metric)
    return one.lab == LAB and known is not None and known <= one.parameters.keys()


def calibrate(budget_seconds: float, progress: Callable[[str, float], object]) -> list[Record]:
    """Measure the rates of this machine and keep them, unless other processes disturbed them.

    `progress` is told the name of what is measured next and the share of the time gone so far.
    Raises OSError where the cache folder can't be written.
    """
    progress("looking at this machine", 0.0)
    todo = tasks(libraries())
    whole, gone = sum(task.share for task in todo), 0.0
    found: list[Record] = []
    measured = run(todo, budget_seconds)
    for task in todo:
        progress(task.name, gone / whole)
        found += next(measured)
        gone += task.share
    progress("done", 1.0)
    if not disturbed(found):
        keep(found)
    return found


def keep(found: Iterable[Record]) -> None:
    """Keep the records as the rates of this machine: all of them, or what was there before."""
    file = kept_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        whole = Path(folder) / file.name
        records.append(whole, found)
        whole.replace(file)
