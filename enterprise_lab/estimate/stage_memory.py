"""Bytes that training a Transformer keeps on the fullest stage, for many plans at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from enterprise_lab.estimate.activations import (
    Implementation,
    LayerActivations,
    head_activations,
    layer_activations,
)
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.states import StateBytes, compute_bytes, state_bytes
from enterprise_lab.estimate.trainable import Trainable
from enterprise_lab.shapes import TransformerShape

Array = Any
"""A number or an array of them, one for each plan."""
BUCKET_BYTES = 25 * 2**20
"""Gradients reduced at once between data-parallel devices, PyTorch's default."""
QUANTISATION_BITS = 0.127
"""Constants of a 4-bit weight, themselves quantised (Dettmers et al. 2023, section 3)."""


@dataclass(frozen=True)
class Moment:
    """What is kept, besides weights and optimizer states, at one moment of a step."""

    gradients: Array
    activations: Array
    temporary: Array

    @property
    def total(self) -> Array:
        """All of it."""
        return self.gradients + self.activations + self.temporary

    def or_fuller(self, other: Moment) -> Moment:
        """Return the moment that keeps more, plan by plan."""
        fuller = other.total > self.total
        return Moment(
            *(
                np.where(fuller, theirs, own)
                for own, theirs in (
                    (self.gradients, other.gradients),
                    (self.activations, other.activations),
                    (self.temporary, other.temporary),
                )
            )
        )


@dataclass(frozen=True)
class Parts:
    """Parameters by where in the pipeline they are, and bytes of those that don't change."""

    layers: float
    embeddings: float
    head: float
    frozen_layers: float
    """Bytes."""
    frozen_embeddings: float
    frozen_head: float
    tied: float
    """Parameters of embeddings that the last stage needs too."""
    largest: float
    """Parameters of the largest layer, embeddings being one."""

    @classmethod
    def of(
        cls, shape: TransformerShape, trainable: Trainable, states: StateBytes, *, predicts: bool
    ) -> Parts:
        """Split a shape's parameters into trained ones and bytes of frozen ones."""
        terms = shape.parameter_terms
        layers = terms["attention"] + terms["mlp"] + terms["norms"]
        embeddings, head = terms["embeddings"], terms["head"] + terms["pooler"]
        vocabulary = shape.vocabulary * (shape.embedding_size or shape.hidden)
        tied = vocabulary if shape.tied_embeddings and predicts else 0
        largest = max(layers / (shape.layers + shape.decoder_layers), embeddings)
        if trainable == "all":
            return cls(layers, embeddings, head, 0, 0, 0, tied, largest)
        if trainable == "head":
            return cls(
                layers=0, embeddings=0, head=head + tied,
                frozen_layers=layers * states.weight, frozen_embeddings=embeddings * states.weight,
                frozen_head=0, tied=0, largest=largest,
            )  # fmt: skip
        bits = trainable.base_bits
        whole = max(bits, 16) / 8
        return cls(
            layers=trainable.parameters(shape), embeddings=0, head=0,
            frozen_layers=layers * (bits + (QUANTISATION_BITS if bits == 4 else 0)) / 8,
            frozen_embeddings=embeddings * whole, frozen_head=head * whole,
            tied=0, largest=largest,
        )  # fmt: skip


def stage_memory(
    shape: TransformerShape,
    plan: PlanDimensions,
    micro_batches: Array,
    *,
    sequence_length: int,
    precision: str,
    states: StateBytes,
    trainable: Trainable,
    predicted_share: float,
    dropout: bool,
    implementation: Implementation,
    capacity_factor: float,
) -> dict[str, Array]:
    """Bytes of weights, gradients, optimizer states, activations and temporary buffers.

    The first stage of a pipeline holds the embeddings and, under the 1F1B schedule, the
    activations of as many micro-batches as there are stages, interleaving adding
    (p - 1) / (p v) of them; the last holds one micro-batch's and the output head (Narayanan et
    al. 2021, section 2.2; Korthikanti et al. 2022, section 4.2.3). `micro_batches` is how many
    each data-parallel group does a step.
    """
    t, p, v = plan.tensor, plan.pipeline, plan.interleave
    tokens = plan.micro_batch * sequence_length / np.asarray(plan.context)
    parts = Parts.of(shape, trainable, states, predicts=predicted_share > 0)
    activations = partial(
        layer_activations, shape, precision=precision, dropout=dropout,
        implementation=implementation, capacity_factor=capacity_factor, trainable=trainable,
    )  # fmt: skip
    layer = activations()
    head = head_activations(
        shape, precision=precision, implementation=implementation, trainable=trainable
    )
    along = np.where(plan.sequence_parallel, t, 1)
    all_but_scores, scores = _kept(layer, plan, along, sequence_length)
    full, selective = np.equal(plan.recompute, 2), np.equal(plan.recompute, 1)
    kept = np.where(full, layer.layer_input / along, all_but_scores + ~selective * scores)
    if shape.decoder_layers:
        layer = activations(attentions=2)
        all_but_scores, scores = _kept(layer, plan, along, sequence_length)
    mlp = layer.mlp_whole / along + layer.mlp_shared / t
    in_mlp = full * (all_but_scores + scores) + layer.gradients_shared / t
    in_scores = full * (all_but_scores - mlp) + (full | selective) * scores
    in_scores = in_scores + (scores > 0) * (layer.score_gradients * sequence_length) / t
    element = compute_bytes(precision)
    optimizer_step = implementation.optimizer_copies * states.weight * _largest_tensor(shape)
    replicas = np.asarray(plan.data * plan.context)
    gathered = (np.equal(plan.zero, 3) & (replicas > 1)) * (2 * element * parts.largest / t)
    buffers = gathered + (replicas > 1) * BUCKET_BYTES
    through = trainable != "head"
    layers = shape.layers + shape.decoder_layers
    chunk = through * tokens * kept * (layers / (p * v))
    embedding = through * tokens * layer.embedding / along
    predicted = tokens * predicted_share
    head_kept = predicted * (head.whole / along + head.logits / t)
    loss = buffers + predicted * head.temporary_logits / t
    in_layer = through * np.maximum(in_mlp, in_scores)
    working = buffers + tokens * (layer.gradients_whole / along + in_layer)

    chunks = micro_batches * v
    first_chunks = np.minimum(np.where(np.greater(v, 1), p * v + p - 1, p), chunks)
    last_chunks = np.minimum((v - 1) * p + 1, chunks)
    alone = np.equal(p, 1)
    trunk = parts.layers / (p * t), parts.frozen_layers / (p * t)
    ends = parts.embeddings / t, parts.frozen_embeddings / t
    tops = parts.head / t, parts.frozen_head / t
    first_part = trunk[0] + ends[0] + alone * tops[0], trunk[1] + ends[1] + alone * tops[1]
    last_part = trunk[0] + tops[0] + parts.tied / t, trunk[1] + tops[1]
    first = _states(*first_part, states, plan)
    last = _states(*last_part, states, plan)
    front = first_chunks * chunk + np.minimum(p, micro_batches) * embedding
    first_moment = Moment(first[1], front + alone * head_kept, np.maximum(working, alone * loss))
    last_moment = Moment(last[1], last_chunks * chunk + head_kept, np.maximum(working, loss))

    once = alone & (replicas == 1) & np.equal(micro_batches, 1)
    if np.any(once):
        each = first[1] / (parts.layers + parts.embeddings + parts.head)
        at_head = (parts.head + parts.tied) * each
        at_first_layer = at_head + parts.layers * (1 - 1 / layers) * each
        moments = Moment(0 * each, front + head_kept, loss)
        for moment in (
            Moment(at_head, front + head_kept, buffers),
            Moment(at_head, front, working),
            Moment(at_first_layer, front / layers, working),
            Moment(first[1], 0 * front, buffers + 2 * parts.tied * each),
            Moment(first[1], 0 * front, buffers + optimizer_step / t),
        ):
            moments = moments.or_fuller(moment)
        first_moment = Moment(
            *(
                np.where(once, one, many)
                for one, many in (
                    (moments.gradients, first_moment.gradients),
                    (moments.activations, first_moment.activations),
                    (moments.temporary, first_moment.temporary),
                )
            )
        )
    at_last = ~alone & (
        last[0] + last[2] + last_moment.total > first[0] + first[2] + first_moment.total
    )
    return {
        name: np.where(at_last, its_last, its_first)
        for name, its_first, its_last in (
            ("weights", first[0], last[0]),
            ("gradients", first_moment.gradients, last_moment.gradients),
            ("optimizer states", first[2], last[2]),
            ("activations", first_moment.activations, last_moment.activations),
            ("temporary buffers", first_moment.temporary, last_moment.temporary),
        )
    }


def _largest_tensor(shape: TransformerShape) -> float:
    ups = shape.mlp_matrices - 1 if shape.experts else 1
    width = shape.embedding_size or shape.hidden
    return max(shape.vocabulary * width, max(1, shape.experts) * ups * shape.hidden * shape.ffn)


def _kept(
    layer: LayerActivations, plan: PlanDimensions, along: Array, sequence_length: int
) -> tuple[Array, Array]:
    """Bytes a token leaves in a layer on a device: all but scores, and scores."""
    attention = np.where(plan.flash_attention, layer.flash, layer.unfused)
    scores = (1 - np.asarray(plan.flash_attention)) * (layer.scores * sequence_length)
    shared = layer.shared + attention
    return layer.whole / along + shared / plan.tensor, scores / plan.tensor


def _states(
    trained: Array, frozen_bytes: Array, states: StateBytes, plan: PlanDimensions
) -> tuple[Array, Array, Array]:
    weights, gradients, optimizer = state_bytes(trained, states, plan)
    frozen, _, _ = state_bytes(frozen_bytes, StateBytes(1, 0, 0), plan)
    return weights + frozen, gradients, optimizer
