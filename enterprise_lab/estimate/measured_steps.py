"""Steps that were timed on a machine of our own, beside what the time model makes of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from enterprise_lab.catalog import Accelerator
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.cases import serving_case, training_case
from enterprise_lab.estimate.convolution_time import ImageDimensions, image_seconds
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.intervals import Case
from enterprise_lab.estimate.model_dimensions import Figures, ModelDimensions
from enterprise_lab.estimate.observations import Floats, Observations
from enterprise_lab.estimate.plan import RECOMPUTE, Plan, Recompute
from enterprise_lab.estimate.serving_time import decode_seconds, prefill_seconds
from enterprise_lab.estimate.step_time import (
    OPTIMIZER_BYTES,
    UNFUSED_OPTIMIZER_BYTES,
    Trained,
    training_step_seconds,
)
from enterprise_lab.estimate.system import ELEMENT_BYTES
from enterprise_lab.estimate.trainable import Trainable
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape

Phase = Literal["training", "inference", "decoding"]


@dataclass(frozen=True)
class MeasuredStep:
    """A training step, a forward pass or one more token on one device, and the seconds it took."""

    id: str
    model: str
    shape: Shape
    chip: Accelerator
    phase: Phase
    precision: str
    batch: int
    length: int
    """Tokens of a sequence, or pixels along an image's edge."""
    predicted_share: float
    flash_attention: bool
    dropout: bool
    fused_optimizer: bool
    recompute: Recompute
    trainable: Trainable
    seconds: float
    framework: str
    source: str


def measured_observations(steps: Sequence[MeasuredStep]) -> tuple[Observations, ...]:
    """Group steps by family and by kind of network."""
    found: list[Observations] = []
    for phase in get_args(Phase):
        own = [step for step in steps if step.phase == phase]
        images = [step for step in own if isinstance(step.shape, ConvolutionalShape)]
        tokens = [step for step in own if isinstance(step.shape, TransformerShape)]
        found += [MeasuredTransformers(tokens, phase)] if tokens else []
        found += [MeasuredImages(images, phase)] if images else []
    return tuple(found)


class _Measured(Observations):
    rows: Sequence[MeasuredStep]
    kind = ""

    def __init__(self, rows: Sequence[MeasuredStep], phase: Phase) -> None:
        name = f"CPU {self.kind}{phase}"
        super().__init__(rows, name, name)
        self.phase = phase

    @property
    def observed(self) -> Floats:
        """Observed seconds."""
        return self.column("seconds")

    @property
    def folds(self) -> list[str]:
        """The model."""
        return [row.model for row in self.rows]

    @cached_property
    def chips(self) -> list[Accelerator]:
        """Each row's processor."""
        return [row.chip for row in self.rows]

    @cached_property
    def cases(self) -> list[Case]:
        """What each row speaks for."""
        return [
            training_case(
                row.shape,
                Plan(flash_attention=row.flash_attention, recompute=row.recompute),
                row.chip,
                row.precision,
                row.length,
                row.trainable,
            )
            if self.phase == "training"
            else serving_case(row.shape, 1, row.chip, row.precision, row.length)
            for row in self.rows
        ]

    def predict(self, calibration: Calibration) -> Floats:
        """Predicted seconds of a step or a pass."""
        return np.asarray(sum(self._terms(calibration).values()))

    @abstractmethod
    def _terms(self, calibration: Calibration) -> Mapping[str, Figures]: ...


class MeasuredTransformers(_Measured):
    """Steps of Transformers."""

    @cached_property
    def models(self) -> ModelDimensions:
        """Each row's model."""
        shapes = [row.shape for row in self.rows if isinstance(row.shape, TransformerShape)]
        return ModelDimensions.stack(shapes)

    @cached_property
    def trained(self) -> Trained:
        """What of each row's model is trained."""
        each = [Trained.of(row.shape, row.trainable) for row in self.rows]
        return Trained.stack(each)

    def _terms(self, calibration: Calibration) -> Mapping[str, Figures]:
        fitted = calibration.coefficients([self.stack] * len(self), self.precisions)
        batch, length = self.whole("batch"), self.column("length")
        share, flash = self.column("predicted_share"), self.whole("flash_attention")
        if self.phase == "decoding":
            size = np.array([ELEMENT_BYTES[row.precision] for row in self.rows])
            return decode_seconds(
                self.models, self.systems, fitted, batch=batch, keys=length, tensor=1,
                weight_bytes=size, cache_bytes=size,
            )  # fmt: skip
        if self.phase == "inference":
            return prefill_seconds(
                self.models, self.systems, fitted, batch=batch, input_length=length, tensor=1,
                flash_attention=flash, predicted=share * length,
            )  # fmt: skip
        again = np.array([RECOMPUTE.index(row.recompute) for row in self.rows])
        plan = PlanDimensions(micro_batch=batch, flash_attention=flash, recompute=again)
        fused = self.whole("fused_optimizer")
        return training_step_seconds(
            self.models, plan, self.systems, fitted,
            sequence_length=length, global_batch=batch, predicted_share=share,
            trained=self.trained, dropout=self.column("dropout"),
            optimizer_bytes=np.where(fused, OPTIMIZER_BYTES, UNFUSED_OPTIMIZER_BYTES),
        )  # fmt: skip


class MeasuredImages(_Measured):
    """Steps of convolutional networks."""

    kind = "image "

    @cached_property
    def images(self) -> ImageDimensions:
        """Each row's network and image size."""
        each = [
            ImageDimensions.of(row.shape, row.length)
            for row in self.rows
            if isinstance(row.shape, ConvolutionalShape)
        ]
        return ImageDimensions.stack(each)

    def _terms(self, calibration: Calibration) -> Mapping[str, Figures]:
        fitted = calibration.coefficients([self.stack] * len(self), self.precisions)
        return image_seconds(
            self.images,
            self.systems,
            fitted,
            batch=self.column("batch"),
            training=self.phase == "training",
        )
