"""Published speeds of convolutional networks, beside what the time model makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from enterprise_lab import catalog
from enterprise_lab.estimate.calibration import Calibration
from enterprise_lab.estimate.cases import serving_case, training_case
from enterprise_lab.estimate.convolution_time import ImageDimensions, image_seconds
from enterprise_lab.estimate.intervals import Case
from enterprise_lab.estimate.observations import Floats, Observations
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.shapes import ConvolutionalShape


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
