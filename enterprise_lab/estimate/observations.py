"""Published and measured speeds as arrays, beside what the time model makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab import catalog
from enterprise_lab.catalog import InferenceSpeed, TrainingSpeed
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.convolution_time import image_seconds
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.model_dimensions import ModelDimensions
from enterprise_lab.estimate.plan import RECOMPUTE
from enterprise_lab.estimate.serving_time import decode_seconds, prefill_seconds
from enterprise_lab.estimate.step_time import training_step_seconds
from enterprise_lab.estimate.system import System
from enterprise_lab.shapes import ConvolutionalShape, TransformerShape

Floats = npt.NDArray[np.float64]
GATHERED_SHARE = 20 / 128
"""Share of positions for which BERT recipes run the output head: at most 20 in 128 tokens.

Source: google-research/bert README, `max_predictions_per_seq`; 80 in 512 is the same share.
"""


class Observations(ABC):
    """Rows of one kind. `seconds` were observed; `predict` gives what the model says of each."""

    def __init__(self, rows: Sequence[Any], stack: str, family: str) -> None:
        self.rows = rows
        self.stack = stack
        self.family = family

    def __len__(self) -> int:
        return len(self.rows)

    @property
    @abstractmethod
    def seconds(self) -> Floats:
        """Observed seconds of a step, a pass or a batch of requests."""

    @property
    @abstractmethod
    def folds(self) -> list[str]:
        """What each row shares with those that must not be used to predict it."""

    @abstractmethod
    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds."""

    @cached_property
    def systems(self) -> System:
        """What each row's devices can do."""
        chips = [catalog.accelerator(row.accelerator) for row in self.rows]
        each = zip(chips, self.rows, strict=True)
        return System.stack([System.of(chip, row.precision) for chip, row in each])

    @property
    def precisions(self) -> list[str]:
        """Each row's precision."""
        return [row.precision for row in self.rows]

    def column(self, name: str) -> Floats:
        """Return one field of every row."""
        return np.array([getattr(row, name) for row in self.rows], dtype=np.float64)


class TransformerTraining(Observations):
    """Training steps of Transformers."""

    rows: Sequence[TrainingSpeed]

    @cached_property
    def seconds(self) -> Floats:
        """Observed seconds of an optimizer step."""
        return self.global_batch / self.column("samples_per_second")

    @cached_property
    def global_batch(self) -> Floats:
        """Sequences of a step."""
        return (
            self.column("micro_batch") * self.column("accumulation_steps") * self.column("data")
        )

    @property
    def folds(self) -> list[str]:
        """The model for large ones; for BERT, of which there are two, the framework."""
        large = self.family == "LLM training"
        return [row.model if large else row.framework.split()[0] for row in self.rows]

    @cached_property
    def models(self) -> ModelDimensions:
        """Each row's model."""
        return ModelDimensions.stack([_transformer(row.model) for row in self.rows])

    @cached_property
    def plans(self) -> PlanDimensions:
        """Each row's plan."""
        return PlanDimensions(
            data=self.column("data"),
            tensor=self.column("tensor"),
            micro_batch=self.column("micro_batch"),
            zero=self.column("zero"),
            recompute=np.array([RECOMPUTE.index(row.recompute) for row in self.rows]),
            flash_attention=self.column("flash_attention"),
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


class EncoderInference(Observations):
    """Forward passes of encoders."""

    rows: Sequence[InferenceSpeed]

    @cached_property
    def seconds(self) -> Floats:
        """Observed seconds of a batch."""
        return self.column("batch") / self.column("per_second")

    @property
    def folds(self) -> list[str]:
        """The framework."""
        return [row.framework.split()[0] for row in self.rows]

    @cached_property
    def models(self) -> ModelDimensions:
        """Each row's model."""
        return ModelDimensions.stack([_transformer(row.model) for row in self.rows])

    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds of a batch."""
        terms = prefill_seconds(
            self.models,
            self.systems,
            calibration.coefficients([self.stack] * len(self), self.precisions),
            batch=self.column("batch"),
            input_length=self.column("input_length"),
            tensor=1.0,
            flash_attention=0,
            predicted=0.0,
        )
        return np.asarray(sum(terms.values()))


class Generation(Observations):
    """Prompts read and tokens generated by decoders."""

    rows: Sequence[InferenceSpeed]

    @cached_property
    def seconds(self) -> Floats:
        """Observed seconds until a batch of requests is done."""
        generated = self.column("batch") * self.column("output_length")
        latency = [row.seconds or np.nan for row in self.rows]
        rate = np.array([row.per_second or np.nan for row in self.rows])
        return np.where(np.isnan(latency), generated / rate, latency)

    @property
    def folds(self) -> list[str]:
        """The model."""
        return [row.model for row in self.rows]

    @cached_property
    def models(self) -> ModelDimensions:
        """Each row's model."""
        return ModelDimensions.stack([_transformer(row.model) for row in self.rows])

    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds of a batch of requests."""
        fitted = calibration.coefficients([self.stack] * len(self), self.precisions)
        weights = self.column("weight_bits") / 8
        prompts, outputs = self.column("input_length"), self.column("output_length")
        first = prefill_seconds(
            self.models,
            self.systems,
            fitted,
            batch=self.column("batch"),
            input_length=prompts,
            tensor=self.column("tensor"),
            flash_attention=1,
            predicted=1.0,
        )
        each = decode_seconds(
            self.models,
            self.systems,
            fitted,
            batch=self.column("batch"),
            keys=prompts + outputs / 2,
            tensor=self.column("tensor"),
            weight_bytes=weights,
            cache_bytes=weights,
        )
        more = np.array([row.output_length - 1 for row in self.rows])
        return np.asarray(sum(first.values()) + more * sum(each.values()))


class Images(Observations):
    """Training steps and forward passes of convolutional networks."""

    def __init__(
        self, rows: Sequence[Any], stack: str, family: str, *, training: bool
    ) -> None:
        super().__init__(rows, stack, family)
        self.training = training

    @property
    def folds(self) -> list[str]:
        """The accelerator."""
        return [row.accelerator for row in self.rows]

    @cached_property
    def seconds(self) -> Floats:
        """Observed seconds of a step or a batch."""
        if self.training:
            return self.column("micro_batch") * self.column("data") / self.column(
                "samples_per_second"
            )
        return self.column("batch") / self.column("per_second")

    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds of a step or a batch."""
        found = []
        for row in self.rows:
            shape = catalog.model(row.model).shape
            assert isinstance(shape, ConvolutionalShape)
            terms = image_seconds(
                shape,
                System.of(catalog.accelerator(row.accelerator), row.precision),
                calibration.coefficients(self.stack, row.precision),
                image_size=row.image_size,
                batch=row.micro_batch if self.training else row.batch,
                data=row.data if self.training else 1,
                training=self.training,
            )
            found.append(sum(terms.values()))
        return np.array(found)


def _transformer(name: str) -> TransformerShape:
    shape = catalog.model(name).shape
    assert isinstance(shape, TransformerShape)
    return shape


@dataclass(frozen=True)
class Collection:
    """All observations of all families."""

    sets: tuple[Observations, ...]


def all_observations() -> Collection:
    """Return every usable row of the catalogue."""
    training = [row for row in catalog.training_speeds() if not row.excluded]
    serving = [row for row in catalog.inference_speeds() if not row.excluded]
    return Collection(
        (
            TransformerTraining(
                [r for r in training if r.zero == 3], "LLM training", "LLM training"
            ),
            TransformerTraining(
                [r for r in training if r.zero != 3 and not r.image_size],
                "encoder training",
                "encoder training",
            ),
            Images(
                [r for r in training if r.image_size], "CNN training", "CNN training",
                training=True,
            ),
            EncoderInference(
                [r for r in serving if r.kind == "encoder"],
                "encoder inference",
                "encoder inference",
            ),
            Images(
                [r for r in serving if r.kind == "image"], "CNN inference", "CNN inference",
                training=False,
            ),
            Generation([r for r in serving if r.kind == "prefill"], "generation", "prefill"),
            Generation(
                [r for r in serving if r.kind == "generation"], "generation", "batched generation"
            ),
        )
    )
