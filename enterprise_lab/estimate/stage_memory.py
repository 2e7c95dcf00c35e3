"""Bytes that training a Transformer keeps on the fullest stage, for many plans at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from enterprise_lab.estimate.activations import (
    HeadActivations,
    Implementation,
    LayerActivations,
    head_activations,
    layer_activations,
)
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.states import StateBytes, compute_bytes, state_bytes
from enterprise_lab.estimate.trainable import LowRank, Trainable
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

    def where(self, these: Array, other: Moment) -> Moment:
        """Return this moment for some plans and another for the rest."""
        return Moment(
            np.where(these, self.gradients, other.gradients),
            np.where(these, self.activations, other.activations),
            np.where(these, self.temporary, other.temporary),
        )


@dataclass(frozen=True)
class TokenBytes:
    """Bytes that one token of a micro-batch keeps on a device."""

    kept: Array
    """In each layer, for the backward pass."""
    embedding: Array
    head: Array
    loss: Array
    """For a moment, at the loss."""
    working: Array
    """For a moment, on the way back through a layer; what is made again is among it."""

    @classmethod
    def of(
        cls,
        plan: PlanDimensions,
        layer: LayerActivations,
        widest: LayerActivations,
        head: HeadActivations,
        *,
        sequence_length: int,
        predicted_share: float,
        through: bool,
    ) -> TokenBytes:
        """Divide what a layer keeps; `through` tells whether gradients go through the layers.

        Backward goes through the feed-forward part first; when it reaches the scores, what that
        part kept is gone. Recomputation makes again what the `widest` layer keeps. Where no
        gradient goes, a forward pass holds for a moment about what gradients would of the rest.
        """
        t = plan.tensor
        along = np.where(plan.sequence_parallel, t, 1)
        full, selective = np.equal(plan.recompute, 2), np.equal(plan.recompute, 1)
        all_but_scores, scores = _kept(layer, plan, along, sequence_length)
        kept = np.where(full, layer.layer_input / along, all_but_scores + ~selective * scores)
        if widest is not layer:
            all_but_scores, scores = _kept(widest, plan, along, sequence_length)
        mlp = widest.mlp_whole / along + widest.mlp_shared / t
        passing = widest.gradients_shared / t
        passing_scores = (scores > 0) * (widest.score_gradients * sequence_length) / t
        in_mlp = through * full * (all_but_scores + scores) + passing
        if through:
            in_scores = full * all_but_scores - mlp + (full | selective) * scores + passing_scores
            whole = widest.gradients_whole
        else:
            whole = widest.frozen_whole
            in_scores = (scores > 0) * widest.unfused / t + passing_scores
        return cls(
            kept=through * kept,
            embedding=through * layer.embedding / along,
            head=predicted_share * (head.whole / along + head.logits / t),
            loss=predicted_share * head.temporary_logits / t,
            working=whole / along + np.maximum(in_mlp, in_scores),
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
    parts = Parts.of(shape, trainable, states, predicts=predicted_share > 0)
    layer, widest = (
        layer_activations(
            shape, precision=precision, dropout=dropout, implementation=implementation,
            capacity_factor=capacity_factor, trainable=trainable, attentions=attentions,
        )
        for attentions in (None, 2 if shape.decoder_layers else 1)
    )  # fmt: skip
    token = TokenBytes.of(
        plan, layer, widest if shape.decoder_layers else layer,
        head_activations(
            shape, precision=precision, implementation=implementation, trainable=trainable
        ),
        sequence_length=sequence_length, predicted_share=predicted_share,
        through=trainable != "head",
    )  # fmt: skip
    tokens = plan.micro_batch * sequence_length / np.asarray(plan.context)
    replicas = np.asarray(plan.data * plan.context)
    gathered = np.equal(plan.zero, 3) * (2 * compute_bytes(precision) * parts.largest / t)
    buffers = (replicas > 1) * (gathered + BUCKET_BYTES)

    alone = np.equal(p, 1)
    trunk, frozen_trunk = parts.layers / (p * t), parts.frozen_layers / (p * t)
    first = _states(
        trunk + (parts.embeddings + alone * parts.head) / t,
        frozen_trunk + (parts.frozen_embeddings + alone * parts.frozen_head) / t,
        states, plan,
    )  # fmt: skip
    last = _states(
        trunk + (parts.head + parts.tied) / t, frozen_trunk + parts.frozen_head / t, states, plan
    )
    layers = shape.layers + shape.decoder_layers
    copied = implementation.own_casts and trainable != "head"
    copies = copied * compute_bytes(precision) * _products_parameters(shape) / t
    kept = tokens * token.kept * layers + np.not_equal(plan.recompute, 2) * copies
    chunk = kept / (p * v)
    head, loss = tokens * token.head, buffers + tokens * token.loss
    working = np.maximum(buffers + tokens * token.working, alone * loss)
    chunks = micro_batches * v
    first_chunks = np.minimum(np.where(np.greater(v, 1), p * v + p - 1, p), chunks)
    last_chunks = np.minimum((v - 1) * p + 1, chunks)
    front = first_chunks * chunk + np.minimum(p, micro_batches) * tokens * token.embedding
    at_first = Moment(first[1], front + alone * head, working)
    at_last = Moment(last[1], last_chunks * chunk + head, np.maximum(working, loss))

    once = alone & (replicas == 1) & np.equal(micro_batches, 1)
    if np.any(once):
        largest = _largest_trained_tensor(shape, trainable, predicts=predicted_share > 0)
        optimizer_step = implementation.optimizer_copies * largest / t
        at_first = _fullest_of_one(
            parts, layers, first[1], front, head, loss, tokens * token.working,
            optimizer_step * states.weight,
        ).where(once, at_first)  # fmt: skip
    need = first[0] + first[2] + at_first.total
    lasts = ~alone & (last[0] + last[2] + at_last.total > need)
    moment = at_last.where(lasts, at_first)
    return {
        "weights": np.where(lasts, last[0], first[0]),
        "gradients": moment.gradients,
        "optimizer states": np.where(lasts, last[2], first[2]),
        "activations": moment.activations,
        "temporary buffers": moment.temporary,
    }


def _fullest_of_one(
    parts: Parts,
    layers: int,
    gradients: Array,
    front: Array,
    head: Array,
    loss: Array,
    working: Array,
    optimizer_step: Array,
) -> Moment:
    """Return the fullest moment of a device that does one micro-batch a step.

    They are the loss, the head, the last layer, the first layer, the tied embeddings, whose two
    gradients are summed into a third, and the optimizer's step.
    """
    each = gradients / max(1, parts.layers + parts.embeddings + parts.head)
    at_head = (parts.head + parts.tied) * each
    at_first_layer = at_head + parts.layers * (1 - 1 / layers) * each
    none = 0 * front
    fullest = Moment(0 * each, front + head, loss)
    for moment in (
        Moment(at_head, front + head, none),
        Moment(at_head, front, working),
        Moment(at_first_layer, front / layers, working),
        Moment(gradients, none, np.maximum(2 * parts.tied * each, optimizer_step)),
    ):
        fullest = moment.where(moment.total > fullest.total, fullest)
    return fullest


def _largest_trained_tensor(
    shape: TransformerShape, trainable: Trainable, *, predicts: bool
) -> float:
    """Parameters of it; experts of a layer are one tensor, and so are gates and what they gate."""
    if isinstance(trainable, LowRank):
        return trainable.rank * max(shape.hidden, shape.query_hidden, shape.ffn)
    ups = shape.mlp_matrices - 1 if shape.experts else 1
    width = shape.embedding_size or shape.hidden
    vocabulary = shape.vocabulary * width
    if trainable == "head":
        return vocabulary if predicts else shape.pooler * shape.hidden**2
    return max(vocabulary, max(1, shape.experts) * ups * shape.hidden * shape.ffn)


def _products_parameters(shape: TransformerShape) -> float:
    """Parameters of the layers' products, biases among them."""
    terms = shape.parameter_terms
    return float(terms["attention"] + terms["mlp"])


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
