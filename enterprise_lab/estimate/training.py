"""What a training run needs: FLOPs, memory, time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator
from enterprise_lab.catalog.nodes import Node
from enterprise_lab.errors import (
    keep_whole,
    require_flag,
    require_kind,
    require_positive,
    require_whole,
)
from enterprise_lab.estimate import legality
from enterprise_lab.estimate.activations import Implementation, trains_with_dropout
from enterprise_lab.estimate.calibration import Calibration, calibration, training_stack
from enterprise_lab.estimate.cases import training_case
from enterprise_lab.estimate.convolution_time import ImageDimensions, image_seconds
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE, Causal, training_flops
from enterprise_lab.estimate.intervals import families
from enterprise_lab.estimate.memory import allowances, training_memory, usual_implementation
from enterprise_lab.estimate.model_dimensions import ModelDimensions
from enterprise_lab.estimate.plan import LARGEST_BATCH, Plan, require_plan
from enterprise_lab.estimate.states import Optimizer, StateBytes, training_precision
from enterprise_lab.estimate.step_time import (
    ON_PROCESSORS,
    Trained,
    optimizer_bytes,
    training_step_seconds,
)
from enterprise_lab.estimate.system import System
from enterprise_lab.estimate.trainable import Trainable
from enterprise_lab.estimate.training_estimate import TrainingEstimate
from enterprise_lab.shapes import (
    LARGEST_IMAGE,
    ConvolutionalShape,
    Shape,
    TransformerShape,
    require_shape,
)

GATHERED_SHARE = 20 / 128
"""Share of positions for which BERT recipes run the output head: at most 20 in 128 tokens.

Source: google-research/bert README, `max_predictions_per_seq`; 80 in 512 is the same share.
"""
CHECKPOINT_BYTES = 12
"""Written for each trained parameter: fp32 weight and Adam's two moments."""


@dataclass(frozen=True)
class Checkpoints:
    """Saving the training's state: every so many steps, while it waits, at so many bytes/s."""

    every_steps: int
    bytes_per_second: float

    def __post_init__(self) -> None:
        keep_whole(self, "every_steps", LARGEST_BATCH)
        require_positive(bytes_per_second=self.bytes_per_second)


def training(
    shape: Shape,
    *,
    sequence_length: int = 0,
    global_batch: int,
    accelerator: str | Accelerator,
    plan: Plan | None = None,
    precision: str = "fp16",
    causal: Causal = "full",
    tokens: float | None = None,
    predicted_share: float | None = None,
    image_size: int = 224,
    optimizer: Optimizer = "adam",
    states: StateBytes | None = None,
    trainable: Trainable = "all",
    dropout: bool | None = None,
    implementation: Implementation | None = None,
    node: Node | None = None,
    samples_per_second: float | None = None,
    checkpoints: Checkpoints | None = None,
    fitted: Calibration | None = None,
) -> TrainingEstimate:
    """Predict the FLOPs, memory and time of training.

    `sequence_length` in tokens, `global_batch` in sequences over all devices, `tokens` in all
    (None: one step only); convolutional networks take `sequence_length=0`, batches and tokens
    count images then, of `image_size` squared pixels. Without a plan one device does the whole
    batch at once. fp16 and bf16 are mixed precision with fp32 states unless `states` says
    otherwise. `causal` says which attention scores FLOPs count and changes nothing else.
    `predicted_share` is the share of positions that the vocabulary head predicts: by default all
    in a decoder, none in an encoder (`GATHERED_SHARE` for BERT's pre-training). `dropout` and
    `implementation` are those of `training_memory`; on a processor they count in the time too:
    masks are drawn one element after another, and an optimizer that makes copies isn't fused.
    `node` says how devices are joined, by default as in the maker's own machines.
    `samples_per_second` is what the input pipeline delivers, by default more than is needed.
    Decoders with learned positions get as many as their sequences need, which counts in their
    parameters.

    Raises LabError for an unknown chip, a precision it lacks, a plan the shape or the batch
    doesn't allow, and for sizes that can't be.
    """
    require_shape(shape)
    require_plan(plan)
    require_kind("node", node, Node | None, "catalog.nodes.node_of(chip)")
    require_kind("checkpoints", checkpoints, Checkpoints | None, "Checkpoints(1000, 1e9)")
    require_kind("fitted", fitted, Calibration | None, "calibration.calibration()")
    global_batch = require_whole("global_batch", global_batch, LARGEST_BATCH)
    sequence_length = require_whole(
        "sequence_length", sequence_length, LONGEST_SEQUENCE, smallest=0
    )
    image_size = require_whole("image_size", image_size, LARGEST_IMAGE)
    if tokens is not None:
        require_positive(tokens=tokens)
    chip = accelerator if isinstance(accelerator, Accelerator) else catalog.accelerator(accelerator)
    precision = training_precision(chip, precision)
    shape = with_positions(shape, sequence_length)
    if dropout is None:
        dropout = isinstance(shape, TransformerShape) and trains_with_dropout(shape)
    require_flag(dropout=dropout)
    plan = plan or Plan(micro_batch=global_batch)
    share = _predicted_share(shape) if predicted_share is None else predicted_share
    per_sequence = training_flops(
        shape,
        sequence_length=sequence_length,
        image_size=image_size,
        causal=causal,
        predicted_share=share,
        recompute=plan.recompute,
        trainable=trainable,
    )
    if implementation is None:
        implementation = usual_implementation(shape, split=plan.tensor * plan.pipeline > 1)
    require_kind("implementation", implementation, Implementation, "Implementation()")
    legality.check(shape, plan, global_batch=global_batch, sequence_length=sequence_length)
    stack = training_stack(shape, plan.flash_attention, chip)
    fit = (fitted or calibration()).coefficients(stack, precision)
    system = System.of(chip, precision, node)
    if isinstance(shape, ConvolutionalShape):
        step = image_seconds(
            ImageDimensions.of(shape, image_size),
            system,
            fit,
            batch=plan.micro_batch,
            passes=global_batch // (plan.data * plan.micro_batch),
            data=plan.data,
            training=True,
            trained=Trained.of(shape, trainable),
        )
    else:
        step = training_step_seconds(
            ModelDimensions.of(shape),
            PlanDimensions.of(plan),
            system,
            fit,
            sequence_length=sequence_length,
            global_batch=global_batch,
            predicted_share=share,
            trained=Trained.of(shape, trainable),
            dropout=dropout,
            optimizer_bytes=optimizer_bytes(chip, implementation),
        )
    seconds = {
        name: float(np.sum(term))
        for name, term in step.items()
        if chip.is_processor or name not in ON_PROCESSORS
    }
    trained = float(Trained.of(shape, trainable).parameters) * shape.parameters
    seconds |= _waiting(
        trained, sum(seconds.values()), global_batch, samples_per_second, checkpoints
    )
    return TrainingEstimate(
        shape=shape,
        accelerator=chip,
        plan=plan,
        precision=precision,
        sequence_length=sequence_length,
        global_batch=global_batch,
        tokens=tokens,
        flop_terms={name: global_batch * flops for name, flops in per_sequence.items()},
        step_terms=seconds,
        memory_terms=training_memory(
            shape,
            sequence_length=sequence_length,
            plan=plan,
            global_batch=global_batch,
            precision="bf16" if precision == "fp8" else precision,
            optimizer=optimizer,
            states=states,
            trainable=trainable,
            predicted_share=share,
            image_size=image_size,
            dropout=dropout,
            implementation=implementation,
            **allowances(chip),
        ),
        case=training_case(shape, plan, chip, precision, sequence_length or image_size, trainable),
        time_family=families()[stack],
        memory_family=families()["memory"],
    )


def with_positions(shape: Shape, sequence_length: int) -> Shape:
    """Give a decoder as many learned positions as its sequences need, as when trained so."""
    if not isinstance(shape, TransformerShape) or shape.kind != "decoder":
        return shape
    if 0 < shape.max_positions < sequence_length:
        return replace(shape, max_positions=sequence_length)
    return shape


def _predicted_share(shape: Shape) -> float:
    return float(not (isinstance(shape, TransformerShape) and shape.kind == "encoder"))


def _waiting(
    trained_parameters: float,
    seconds: float,
    global_batch: int,
    samples_per_second: float | None,
    checkpoints: Checkpoints | None,
) -> dict[str, float]:
    """Seconds a step waits for its input, beside which it computes, and for its checkpoints."""
    waits = {}
    if samples_per_second is not None:
        require_positive(samples_per_second=samples_per_second)
        waits["input"] = max(0.0, global_batch / samples_per_second - seconds)
    if checkpoints:
        written = CHECKPOINT_BYTES * trained_parameters / checkpoints.bytes_per_second
        waits["checkpoints"] = written / checkpoints.every_steps
    return waits
