"""Published training steps of Transformers, beside what the time model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from enterprise_lab.catalog import TrainingSpeed
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.cases import training_case
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.intervals import Case
from enterprise_lab.estimate.model_dimensions import ModelDimensions
from enterprise_lab.estimate.observations import Floats, Observations, transformer
from enterprise_lab.estimate.plan import RECOMPUTE
from enterprise_lab.estimate.step_time import training_step_seconds
from enterprise_lab.estimate.training import GATHERED_SHARE, with_positions
from enterprise_lab.shapes import TransformerShape


class TransformerTraining(Observations):
    """Training steps of Transformers."""

    rows: Sequence[TrainingSpeed]

    @cached_property
    def observed(self) -> Floats:
        """Observed seconds of an optimizer step."""
        return self.global_batch / self.column("samples_per_second")

    @cached_property
    def global_batch(self) -> Floats:
        """Sequences of a step."""
        return self.column("micro_batch") * self.column("accumulation_steps") * self.column("data")

    @cached_property
    def shapes(self) -> list[TransformerShape]:
        """Each row's model, with as many positions as its sequences need."""
        return [_trained_shape(row) for row in self.rows]

    @cached_property
    def cases(self) -> list[Case]:
        """What each row speaks for."""
        return [
            training_case(
                self.shapes[i],
                self.plans.plan(i),
                self.chips[i],
                row.precision,
                row.sequence_length,
            )
            for i, row in enumerate(self.rows)
        ]

    @property
    def folds(self) -> list[str]:
        """The model for large ones; for BERT, of which there are two, the framework."""
        large = self.family == "LLM training"
        return [row.model if large else row.framework.split()[0] for row in self.rows]

    @cached_property
    def models(self) -> ModelDimensions:
        """Each row's model."""
        return ModelDimensions.stack(self.shapes)

    @cached_property
    def plans(self) -> PlanDimensions:
        """Each row's plan."""
        return PlanDimensions(
            data=self.whole("data"),
            tensor=self.whole("tensor"),
            micro_batch=self.whole("micro_batch"),
            zero=self.whole("zero"),
            recompute=np.array([RECOMPUTE.index(row.recompute) for row in self.rows]),
            flash_attention=self.whole("flash_attention"),
        )

    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds of an optimizer step."""
        head = {"pretraining": GATHERED_SHARE, "fine-tuning": 0.0}
        shares = [1.0 if row.zero == 3 else head[row.workload] for row in self.rows]
        terms = training_step_seconds(
            self.models,
            self.plans,
            self.systems,
            calibration.coefficients([self.stack] * len(self), self.precisions),
            sequence_length=self.column("sequence_length"),
            global_batch=self.global_batch,
            predicted_share=np.array(shares),
        )
        return np.asarray(sum(terms.values()))


def _trained_shape(row: TrainingSpeed) -> TransformerShape:
    shape = with_positions(transformer(row.model), row.sequence_length)
    assert isinstance(shape, TransformerShape)
    return shape
