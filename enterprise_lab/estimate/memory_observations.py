"""Recorded memory peaks as observations, beside what the memory model makes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from enterprise_lab.catalog import Accelerator
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.cases import training_case
from enterprise_lab.estimate.intervals import Case
from enterprise_lab.estimate.observations import Floats, Observations
from enterprise_lab.estimate.peaks import peak_shape, predicted_peak
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.trainable import LowRank, Trainable


@dataclass(frozen=True)
class MemoryPeak:
    """The largest memory a recorded piece of work had at once; `parameters` say what it did."""

    id: str
    chip: Accelerator
    parameters: Mapping[str, Any]
    size_bytes: float
    framework: str
    source: str


class MemoryPeaks(Observations):
    """Peaks of training steps and of serving, predicted by the kind of model alone.

    Nothing is fitted to them.
    """

    rows: Sequence[MemoryPeak]
    unit = "B"

    def __init__(self, rows: Sequence[MemoryPeak]) -> None:
        super().__init__(rows, "", "memory")

    @property
    def observed(self) -> Floats:
        """Observed bytes."""
        return self.column("size_bytes")

    @property
    def folds(self) -> list[str]:
        """The kind of model."""
        return [json.loads(row.parameters["config"])["model_type"] for row in self.rows]

    @cached_property
    def cases(self) -> list[Case]:
        """What each row speaks for."""
        found = []
        for row in self.rows:
            its = row.parameters
            plan = Plan(recompute=its["recompute"], flash_attention=its["attention"] == "sdpa")
            trainable: Trainable = its["trainable"]
            if its["trainable"].startswith("lora"):
                trainable = LowRank()
            case = training_case(
                peak_shape(its), plan, row.chip, its["precision"], its["length"], trainable
            )
            found.append(case.of_memory)
        return found

    def describe(self, index: int) -> str:
        """Say what a row is of, in few words."""
        its = self.rows[index].parameters
        trained = "" if its["trainable"] == "all" else f", {its['trainable']}"
        return (
            f"{its['model']}, {its['work']}{trained}, {its['precision']}, {its['length']} long,"
            f" batch {its['batch']}, {its['attention']}, recompute {its['recompute']}"
        )

    def predict(self, calibration: Calibration | None = None) -> Floats:
        """Predicted bytes, which depend on no calibration."""
        del calibration
        terms = (predicted_peak(row.parameters, as_written=False) for row in self.rows)
        return np.array([sum(each.values()) for each in terms])
