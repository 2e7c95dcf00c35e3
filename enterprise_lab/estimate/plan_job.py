"""A training to find plans for: what each of many plans needs in memory and time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.catalog import Accelerator
from enterprise_lab.catalog.nodes import Node
from enterprise_lab.errors import require_positive
from enterprise_lab.estimate.activations import trains_with_dropout
from enterprise_lab.estimate.calibration import Coefficients, calibration, training_stack
from enterprise_lab.estimate.convolution_time import ImageDimensions, image_seconds
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.flops import Causal, training_flops
from enterprise_lab.estimate.memory import allowances, device_memory, usual_implementation
from enterprise_lab.estimate.model_dimensions import ModelDimensions
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.plan_space import PlanSpace, take
from enterprise_lab.estimate.states import StateBytes
from enterprise_lab.estimate.step_time import optimizer_bytes, training_step_seconds
from enterprise_lab.estimate.system import System
from enterprise_lab.estimate.training import training
from enterprise_lab.estimate.training_estimate import TrainingEstimate
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PlanJob:
    """Everything about a training but its plan; fields as the arguments of `plans`."""

    shape: Shape
    chip: Accelerator
    node: Node | None
    precision: str
    global_batch: int
    sequence_length: int
    image_size: int
    causal: Causal
    tokens: float | None
    predicted_share: float
    states: StateBytes
    flash_attention: bool
    context_parallel: bool

    def check(self) -> None:
        """Raise LabError for lengths, sizes and shares that can't be."""
        training_flops(
            self.shape,
            sequence_length=self.sequence_length,
            image_size=self.image_size,
            causal=self.causal,
            predicted_share=self.predicted_share,
        )
        if self.tokens is not None:
            require_positive(tokens=self.tokens)

    @cached_property
    def system(self) -> System:
        """The devices and how they are joined."""
        return System.of(self.chip, self.precision, self.node)

    @property
    def space(self) -> PlanSpace:
        """The plans to look at."""
        return PlanSpace(
            shape=self.shape,
            global_batch=self.global_batch,
            sequence_length=self.sequence_length,
            flash_attention=self.flash_attention,
            context_parallel=self.context_parallel,
            node_devices=int(self.system.node_devices),
        )

    @cached_property
    def _model(self) -> Any:
        return ModelDimensions.of(self.shape) if isinstance(self.shape, TransformerShape) else None

    @cached_property
    def _fitted(self) -> Coefficients:
        stack = training_stack(self.shape, self.flash_attention, self.chip)
        return calibration().coefficients(stack, self.precision)

    def need_bytes(self, some: PlanDimensions) -> Floats:
        """Bytes that each plan needs on its fullest device."""
        need = self._need_bytes(some, split=True)
        whole = np.broadcast_to(np.equal(some.tensor * some.pipeline, 1), need.shape)
        if whole.any():
            need = np.where(whole, 0.0, need)
            need[whole] = self._need_bytes(take(some, whole), split=False)
        return need

    def _need_bytes(self, some: PlanDimensions, *, split: bool) -> Floats:
        terms = device_memory(
            self.shape,
            some,
            sequence_length=self.sequence_length,
            global_batch=self.global_batch,
            precision=kept_in(self.precision),
            states=self.states,
            predicted_share=self.predicted_share,
            image_size=self.image_size,
            implementation=usual_implementation(self.shape, split=split),
            **allowances(self.chip),
        )
        return np.asarray(sum(terms.values()))

    def step_seconds(self, some: PlanDimensions) -> Floats:
        """Seconds of a step of each plan."""
        if isinstance(self.shape, ConvolutionalShape):
            return self._image_step_seconds(self.shape, some)
        terms = training_step_seconds(
            self._model,
            some,
            self.system,
            self._fitted,
            sequence_length=self.sequence_length,
            global_batch=self.global_batch,
            predicted_share=self.predicted_share,
            dropout=trains_with_dropout(self.shape),
            optimizer_bytes=optimizer_bytes(
                self.chip, usual_implementation(self.shape, split=False)
            ),
        )
        return np.asarray(sum(terms.values()))

    def _image_step_seconds(self, shape: ConvolutionalShape, some: PlanDimensions) -> Floats:
        """Plans of one micro-batch and one data degree take the same time."""
        kinds, which = np.unique(
            np.stack([some.data, some.micro_batch]), axis=1, return_inverse=True
        )
        data, micro_batch = kinds
        one = ImageDimensions.of(shape, self.image_size)
        terms = image_seconds(
            ImageDimensions.stack([one] * len(data)),
            self.system,
            self._fitted,
            batch=micro_batch,
            passes=self.global_batch / (data * micro_batch),
            data=data,
            training=True,
        )
        return np.asarray(sum(terms.values()))[which]

    def estimate(self, plan: Plan) -> TrainingEstimate:
        """Estimate one plan with all its terms and intervals."""
        return training(
            self.shape,
            sequence_length=self.sequence_length,
            global_batch=self.global_batch,
            accelerator=self.chip,
            plan=plan,
            precision=self.precision,
            causal=self.causal,
            tokens=self.tokens,
            predicted_share=self.predicted_share,
            image_size=self.image_size,
            states=self.states,
            node=self.node,
        )


def kept_in(precision: str) -> str:
    """Return the precision of what is kept in memory: products in 8 bits have inputs in 16."""
    return "bf16" if precision == "fp8" else precision
