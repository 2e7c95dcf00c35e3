"""Published and measured speeds as arrays, beside what the time model makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator, InferenceSpeed, TrainingSpeed
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.cases import serving_case, training_case
from enterprise_lab.estimate.convolution_time import ImageDimensions, image_seconds
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.intervals import Case
from enterprise_lab.estimate.model_dimensions import ModelDimensions
from enterprise_lab.estimate.plan import RECOMPUTE, Plan
from enterprise_lab.estimate.serving_time import decode_seconds, prefill_seconds
from enterprise_lab.estimate.step_time import training_step_seconds
from enterprise_lab.estimate.system import System
from enterprise_lab.estimate.training import GATHERED_SHARE, with_positions
from enterprise_lab.shapes import ConvolutionalShape, TransformerShape

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


class Serving(Observations):
    """Forward passes and generation."""

    rows: Sequence[InferenceSpeed]

    @cached_property
    def cases(self) -> list[Case]:
        """What each row speaks for."""
        return [
            serving_case(
                catalog.model(row.model).shape,
                row.tensor,
                chip,
                row.precision,
                row.input_length + row.output_length,
            )
            for row, chip in zip(self.rows, self.chips, strict=True)
        ]

    @cached_property
    def models(self) -> ModelDimensions:
        """Each row's model."""
        return ModelDimensions.stack([_transformer(row.model) for row in self.rows])


class EncoderInference(Serving):
    """Forward passes of encoders."""

    @cached_property
    def observed(self) -> Floats:
        """Observed seconds of a batch."""
        return self.column("batch") / self.column("per_second")

    @property
    def folds(self) -> list[str]:
        """The framework, or the model where all rows share one."""
        if self.stack == "Neuron":
            return [row.model for row in self.rows]
        return [row.framework.split()[0] for row in self.rows]

    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds of a batch."""
        terms = prefill_seconds(
            self.models,
            self.systems,
            calibration.coefficients([self.stack] * len(self), self.precisions),
            batch=self.column("batch"),
            input_length=self.column("input_length"),
            tensor=1,
            flash_attention=0,
            predicted=0.0,
        )
        return np.asarray(sum(terms.values()))


class Generation(Serving):
    """Prompts read and tokens generated by decoders."""

    @cached_property
    def observed(self) -> Floats:
        """Observed seconds until a batch of requests is done."""
        generated = self.column("batch") * self.column("output_length")
        latency = [row.seconds or np.nan for row in self.rows]
        rate = np.array([row.per_second or np.nan for row in self.rows])
        return np.where(np.isnan(latency), generated / rate, latency)

    @property
    def folds(self) -> list[str]:
        """The model."""
        return [row.model for row in self.rows]

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
            tensor=self.whole("tensor"),
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

    def __init__(self, rows: Sequence[Any], stack: str, family: str, *, training: bool) -> None:
        super().__init__(rows, stack, family)
        self.training = training

    @cached_property
    def cases(self) -> list[Case]:
        """What each row speaks for."""
        found = []
        for row, chip in zip(self.rows, self.chips, strict=True):
            shape = catalog.model(row.model).shape
            if self.training:
                plan = Plan(data=row.data, micro_batch=row.micro_batch)
                case = training_case(shape, plan, chip, row.precision, row.image_size)
            else:
                case = serving_case(shape, 1, chip, row.precision, row.image_size)
            found.append(case)
        return found

    @property
    def folds(self) -> list[str]:
        """The accelerator at a precision."""
        return [f"{row.accelerator}, {row.precision}" for row in self.rows]

    @cached_property
    def observed(self) -> Floats:
        """Observed seconds of a step or a batch."""
        if self.training:
            return (
                self.column("micro_batch") * self.column("data") / self.column("samples_per_second")
            )
        return self.column("batch") / self.column("per_second")

    @cached_property
    def images(self) -> ImageDimensions:
        """Each row's network and image size."""
        each = []
        for row in self.rows:
            shape = catalog.model(row.model).shape
            assert isinstance(shape, ConvolutionalShape)
            each.append(ImageDimensions.of(shape, row.image_size))
        return ImageDimensions.stack(each)

    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds of a step or a batch."""
        terms = image_seconds(
            self.images,
            self.systems,
            calibration.coefficients([self.stack] * len(self), self.precisions),
            batch=self.column("micro_batch" if self.training else "batch"),
            data=self.column("data") if self.training else 1.0,
            training=self.training,
        )
        return np.asarray(sum(terms.values()))


def _trained_shape(row: TrainingSpeed) -> TransformerShape:
    shape = with_positions(_transformer(row.model), row.sequence_length)
    assert isinstance(shape, TransformerShape)
    return shape


def _transformer(name: str) -> TransformerShape:
    shape = catalog.model(name).shape
    assert isinstance(shape, TransformerShape)
    return shape


def all_observations() -> tuple[Observations, ...]:
    """Return every usable row of the catalogue, by family."""
    training = [row for row in catalog.training_speeds() if not row.excluded]
    serving = [row for row in catalog.inference_speeds() if not row.excluded]

    def kind(name: str) -> list[InferenceSpeed]:
        return [row for row in serving if row.kind == name]

    large = [row for row in training if row.zero == 3]
    encoders = [row for row in training if row.zero != 3 and not row.image_size]
    images = [row for row in training if row.image_size]
    neuron = {chip.name for chip in catalog.accelerators(vendor="AWS")}
    gpus = {chip.name for chip in catalog.accelerators()} - neuron
    return (
        TransformerTraining(large, "LLM training", "LLM training"),
        TransformerTraining(encoders, "encoder training", "encoder training"),
        Images(images, "CNN training", "CNN training", training=True),
        EncoderInference(_on(gpus, kind("encoder")), "encoder inference", "encoder inference"),
        EncoderInference(_on(neuron, kind("encoder")), "Neuron", "Neuron inference"),
        Images(_on(gpus, kind("image")), "CNN inference", "CNN inference", training=False),
        Images(_on(neuron, kind("image")), "Neuron", "Neuron image inference", training=False),
        Generation(kind("prefill"), "generation", "prefill"),
        Generation(kind("generation"), "generation", "batched generation"),
    )


def _on(chips: set[str], rows: list[InferenceSpeed]) -> list[InferenceSpeed]:
    return [row for row in rows if row.accelerator in chips]
