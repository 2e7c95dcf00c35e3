"""Seconds of a training step over batch sizes, precisions and frameworks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import get_args

import numpy as np

from enterprise_lab.data.pictures import Labels, Pixels
from enterprise_lab.errors import LabError, require_kind, require_one_of, require_positive
from enterprise_lab.measure.devices import Kind
from enterprise_lab.measure.other_processes import OtherProcesses
from enterprise_lab.measure.records import Record
from enterprise_lab.measure.timing import Measurement, measure
from enterprise_lab.training import figures
from enterprise_lab.training.recipe import Precision, Recipe
from enterprise_lab.training.run import too_busy
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.trainer import FRAMEWORKS, Framework, Trainer, trainer

SOURCE = "enterprise_lab.training.sweep"
_OUT_OF_MEMORY = (
    "out of memory",
    "resource_exhausted",
    "can't allocate memory",
    "not enough memory",
)


@dataclass(frozen=True)
class Skipped:
    """A cell of the sweep that could not be measured, and the reason."""

    framework: Framework
    precision: Precision
    batch: int
    reason: str


@dataclass(frozen=True)
class Sweep:
    """What a sweep found: a record of `step_seconds` and one of `first_step_seconds` a cell."""

    records: tuple[Record, ...]
    skipped: tuple[Skipped, ...]


def made_up_batch(network: SmallCNN, batch: int) -> tuple[Pixels, Labels]:
    """Draw images and labels at random: a step takes as long with them as with real ones."""
    rng = np.random.default_rng(0)
    images = rng.random((batch, network.channels, network.image_size, network.image_size))
    return images.astype(np.float32), rng.integers(network.classes, size=batch)


def step_seconds(trainer: Trainer, batch: int, budget_seconds: float) -> Measurement:
    """Measure the seconds of a training step on a batch that stays on the device.

    `first` is the first step, where compilers compile, so the trainer has to be a new one. Steps
    are queued on an accelerator as in real training; on the processor each is waited for.
    """
    there = trainer.put(*made_up_batch(trainer.network, batch))
    if trainer.kind != "cpu":
        return measure(
            lambda: trainer.step(there), budget_seconds=budget_seconds, finish=trainer.finish
        )

    def whole_step() -> None:
        trainer.step(there)
        trainer.finish()

    return measure(whole_step, budget_seconds=budget_seconds)


def sweep(
    network: SmallCNN,
    recipe: Recipe,
    batches: Sequence[int],
    precisions: Sequence[Precision],
    frameworks: Sequence[Framework],
    device: Kind,
    budget_seconds: float,
    progress: Callable[[str, float], object] | None = None,
) -> Sweep:
    """Measure a step in every framework, precision and batch size that the device can do.

    `budget_seconds` is for each of them, beside its first step: compiling takes seconds. What a
    device can't do, or hasn't the memory for, is skipped with the reason. `progress` is told what
    is measured next, and the share of all that is done.

    Raises InvalidValueError for what is no framework, precision, batch size, device or budget.
    """
    require_positive(budget_seconds=budget_seconds)
    require_one_of("device", device, get_args(Kind))
    for name, asked, example in (
        ("batches", batches, "[1, 64]"),
        ("precisions", precisions, '["fp32"]'),
        ("frameworks", frameworks, '["PyTorch"]'),
    ):
        require_kind(name, asked, list | tuple | range, example)
    for framework in frameworks:
        require_one_of("framework", framework, FRAMEWORKS)
    recipes = [replace(recipe, batch=n, precision=one) for one, n in product(precisions, batches)]
    records: list[Record] = []
    skipped: list[Skipped] = []
    cells = list(product(frameworks, recipes))
    for done, (framework, one) in enumerate(cells):
        if progress is not None:
            what = f"{framework}, {one.precision}, batches of {one.batch:,}"
            progress(what, done / len(cells))
        try:
            records += _cell(trainer(framework, network, one, device=device), budget_seconds)
        except LabError as error:
            skipped.append(Skipped(framework, one.precision, one.batch, error.problem))
        except (RuntimeError, MemoryError) as error:
            if not _out_of_memory(error):
                raise
            reason = "there is not enough memory."
            skipped.append(Skipped(framework, one.precision, one.batch, reason))
    if progress is not None:
        progress("done", 1.0)
    return Sweep(tuple(records), tuple(skipped))


def _cell(new: Trainer, budget_seconds: float) -> list[Record]:
    others, start = OtherProcesses(), time.perf_counter()
    taken = step_seconds(new, new.recipe.batch, budget_seconds)
    doubt = taken.doubt or too_busy(new, others.share(time.perf_counter() - start))
    found = [figures.record(new, figures.STEP_SECONDS, taken, source=SOURCE)]
    if taken.first is not None:
        first = figures.single(taken.first, "s", doubt)
        found.append(figures.record(new, figures.FIRST_STEP_SECONDS, first, source=SOURCE))
    return found


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or any(
        words in str(error).casefold() for words in _OUT_OF_MEMORY
    )
