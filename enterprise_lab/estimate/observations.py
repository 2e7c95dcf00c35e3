"""Published and measured speeds as arrays, beside what the time model makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator, TrainingSpeed
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.intervals import Case
from enterprise_lab.estimate.system import System
from enterprise_lab.shapes import TransformerShape

Floats = npt.NDArray[np.float64]


class Observations(ABC):
    """Rows of one kind: what was observed, and what the model says of each."""

    unit: Literal["s", "B"] = "s"

    def __init__(self, rows: Sequence[Any], stack: str, family: str) -> None:
        self.rows = rows
        self.stack = stack
        self.family = family

    def __len__(self) -> int:
        return len(self.rows)

    @property
    @abstractmethod
    def observed(self) -> Floats:
        """Observed seconds of a step, a pass or a batch of requests, or bytes."""

    @property
    @abstractmethod
    def folds(self) -> list[str]:
        """What each row shares with those that must not be used to predict it."""

    @abstractmethod
    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds."""

    @cached_property
    @abstractmethod
    def cases(self) -> list[Case]:
        """What each row speaks for."""

    def describe(self, index: int) -> str:
        """Say what a row is of, in few words."""
        row, case = self.rows[index], self.cases[index]
        batch = f"batch {row.batch:,}" if hasattr(row, "batch") else self._global_batch(row)
        return (
            f"{row.model}, {case.devices:g} x {case.accelerator}, {row.precision},"
            f" {case.length:g} long, {batch}"
        )

    @staticmethod
    def _global_batch(row: TrainingSpeed) -> str:
        return f"global batch {row.micro_batch * row.accumulation_steps * row.data:,}"

    @property
    def sources(self) -> list[str]:
        """Who measured each row, with what."""
        return [row.framework for row in self.rows]

    @cached_property
    def chips(self) -> list[Accelerator]:
        """Each row's accelerator."""
        return [catalog.accelerator(row.accelerator) for row in self.rows]

    @cached_property
    def systems(self) -> System:
        """What each row's devices can do."""
        each = zip(self.chips, self.rows, strict=True)
        return System.stack([System.of(chip, row.precision) for chip, row in each])

    @property
    def precisions(self) -> list[str]:
        """Each row's precision."""
        return [row.precision for row in self.rows]

    def column(self, name: str) -> Floats:
        """Return one field of every row."""
        return np.array([getattr(row, name) for row in self.rows], dtype=np.float64)

    def whole(self, name: str) -> npt.NDArray[np.int64]:
        """Return one field of every row that has whole numbers."""
        return np.array([getattr(row, name) for row in self.rows], dtype=np.int64)


def transformer(name: str) -> TransformerShape:
    """Return the shape of a Transformer of the catalogue."""
    shape = catalog.model(name).shape
    assert isinstance(shape, TransformerShape)
    return shape
