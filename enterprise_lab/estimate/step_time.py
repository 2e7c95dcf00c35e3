"""Seconds of one training step of a Transformer, term by term, for one case or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from enterprise_lab.catalog import Accelerator
from enterprise_lab.estimate.activations import Implementation
from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.collectives import (
    all_gather_seconds,
    all_reduce_seconds,
    exposed,
    ring,
)
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.kernels import matmul_seconds, streaming_seconds
from enterprise_lab.estimate.layer_time import layer_seconds
from enterprise_lab.estimate.model_dimensions import Figures, ModelDimensions
from enterprise_lab.estimate.system import System
from enterprise_lab.estimate.trainable import LowRank, Trainable
from enterprise_lab.shapes import Shape, TransformerShape

OPTIMIZER_BYTES = 30
"""Moved for each parameter by Adam: gradient, master weight and two moments read, all but the
gradient written, and the 16-bit weight."""
UNFUSED_OPTIMIZER_BYTES = 50
"""The same on a processor by PyTorch's operations one after another. By count they move 80; some
of it is still in a cache, and 50 suits the recorded steps best."""
ACCUMULATION_BYTES = 8
"""Moved for each parameter to add a micro-batch's gradient to those before it."""
LOSS_BYTES = 32
"""Moved for each logit: written and read in 16 bits, then softmax and its gradient in fp32."""
ON_PROCESSORS = ("dropout masks", "casts")
"""Terms that take no time on other devices."""
GRADIENT_BYTES = 2
OVERHEAD_LAYERS = 24
"""Layers of the model whose overhead of a step is fitted; it grows with the tensors to update."""
HOST_LINK = 25e9
"""Bytes/s between a device and its host's memory: PCIe 4.0 x16 less its protocol."""


@dataclass(frozen=True)
class Trained:
    """What of a model training changes, as shares of what it is when all of it is trained."""

    parameters: Figures = 1.0
    """Parameters with gradients and optimizer states."""
    weight_gradients: Figures = 1.0
    """Products for the gradients of the layers' weights."""
    dequantised_bytes: Figures = 0.0
    """Moved for each frozen weight to make 16 bits of it before a product."""
    backward: Figures = 1.0
    """1 where gradients pass back through the layers, 0 where only the head is trained."""
    adapter_forward: Figures = 0.0
    adapter_backward: Figures = 0.0
    """Elements that the adapters of a layer move for each token."""

    @classmethod
    def of(cls, shape: Shape, trainable: Trainable) -> Trained:
        """Return what training changes of a shape."""
        if isinstance(trainable, LowRank) and isinstance(shape, TransformerShape):
            share = trainable.parameters(shape) / shape.parameters
            moved = 0.0 if trainable.base_bits >= 16 else trainable.base_bits / 8 + 2 * 2
            forward, backward = trainable.moved_elements(shape)
            return cls(
                parameters=share,
                weight_gradients=0.0,
                dequantised_bytes=moved,
                adapter_forward=forward,
                adapter_backward=backward,
            )
        if trainable == "head":
            return cls(parameters=0.0, weight_gradients=0.0, backward=0.0)
        return cls()

    @classmethod
    def stack(cls, each: Sequence[Trained]) -> Trained:
        """Return many as arrays of their length."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.array([getattr(one, name) for one in each]) for name in names})


EVERYTHING = Trained()


def optimizer_bytes(chip: Accelerator, implementation: Implementation) -> int:
    """Bytes moved for each trained parameter; a GPU's frameworks fuse what they can by default."""
    unfused = chip.is_processor and implementation.optimizer_copies > 0
    return UNFUSED_OPTIMIZER_BYTES if unfused else OPTIMIZER_BYTES


def training_step_seconds(
    model: ModelDimensions,
    plan: PlanDimensions,
    system: System,
    fitted: Coefficients,
    *,
    sequence_length: Figures,
    global_batch: Figures,
    predicted_share: Figures,
    trained: Trained = EVERYTHING,
    dropout: Figures = 0.0,
    optimizer_bytes: Figures = OPTIMIZER_BYTES,
) -> dict[str, Figures]:
    """Seconds of one optimizer step by term; they sum to the step.

    The micro-batches of a data-parallel group pass one after another through the pipeline's
    slowest stage, the last with the output head; a bubble of (pipeline - 1) / interleave stages
    comes on top (Narayanan et al. 2021, section 2.2). Fully sharded parameters are gathered
    forward and backward and their gradients scattered, behind the computation of a layer
    (Rajbhandari et al. 2020, section 7); other gradients are reduced behind the last backward
    pass. Devices that share a sequence hold the same weights, so these are shared between them
    too. `dropout` is 1 where masks are drawn, which only takes a processor long enough to count,
    and not in a frozen trunk, which runs as in evaluation. `optimizer_bytes` are moved for each
    trained parameter. What an adapter multiplies is little; what its thin products read and write
    is counted. A processor's 16 bits are autocast: each pass casts the layers' weights, and
    the backward pass their gradients.
    """
    t, p, d = plan.tensor, plan.pipeline, plan.data
    replicas = d * plan.context
    micro_batches = global_batch / (d * plan.micro_batch)
    tokens = plan.micro_batch * sequence_length / plan.context
    layer = layer_seconds(
        model, tokens, sequence_length, plan, system, fitted,
        element_bytes=system.streamed_element_bytes,
    )  # fmt: skip

    back, changed = trained.backward, trained.weight_gradients
    recomputed = back * np.where(
        plan.recompute == 2,
        layer.forward,
        np.where(plan.recompute == 1, layer.attention_forward, 0.0),
    )
    hidden_bytes = tokens * model.hidden * system.element_bytes
    tensors = ring(t, 1, system, fitted, fitted.network_share)
    reduced = model.blocks * all_reduce_seconds(hidden_bytes, tensors)
    tensor_forward = np.where(t > 1, reduced, 0.0)
    tensor_backward = back * tensor_forward * np.where(plan.recompute == 2, 2, 1)

    key_value_bytes = 2 * model.kv / t * tokens * system.element_bytes * (plan.context - 1)
    contexts = ring(plan.context, t, system, fitted, fitted.network_share)
    context_forward = key_value_bytes / contexts.rate

    sharded = plan.zero == 3
    layer_bytes = model.layer_parameters / t * GRADIENT_BYTES
    shards = ring(replicas, t, system, fitted, fitted.gather_share)
    gather = np.where(sharded, all_gather_seconds(layer_bytes, shards), 0.0)
    fetch = np.where(plan.offload == 2, layer_bytes / replicas / HOST_LINK, 0.0)

    forward_work = layer.forward + tensor_forward + context_forward
    backward_layer = back * layer.backward(changed)
    backward_work = backward_layer + recomputed + tensor_backward + 2 * back * context_forward
    gather_forward = exposed(gather + fetch, forward_work, fitted)
    gather_backward = exposed(back * ((1 + changed) * gather + fetch), backward_work, fitted)
    forward, backward = forward_work + gather_forward, backward_work + gather_backward

    stage_layers = model.layers / p
    stage_parameters = trained.parameters * model.parameters / (t * p)
    predicted = np.maximum(tokens * predicted_share, 1e-9)
    head = 3 * matmul_seconds(predicted, model.hidden, model.vocabulary / t, system, fitted)
    head = head + streaming_seconds(predicted * model.vocabulary / t * LOSS_BYTES, system, fitted)
    head = np.where(predicted_share > 0, head, 0.0)
    accumulated = np.where(
        micro_batches > 1,
        stage_parameters * ACCUMULATION_BYTES / np.where(sharded, replicas, 1),
        0.0,
    )
    hand_over = np.where(p > 1, 2 * plan.interleave * hidden_bytes / t, 0.0) / (
        system.network * fitted.network_share
    )
    bubble = (p - 1) / plan.interleave * stage_layers * (forward + backward)

    copies = ring(replicas, t, system, fitted, fitted.network_share)
    gradients = all_reduce_seconds(stage_parameters * GRADIENT_BYTES, copies)
    gradients = np.where(sharded | (replicas == 1), 0.0, gradients)
    owned = stage_parameters / np.where(plan.zero > 0, replicas, 1)
    optimizer = streaming_seconds(owned * optimizer_bytes, system, fitted)
    offloaded = np.where(plan.offload > 0, owned * 2 * GRADIENT_BYTES / HOST_LINK, 0.0)

    dequantised = streaming_seconds(
        trained.dequantised_bytes * model.layer_parameters / t, system, fitted
    )
    drawn = model.blocks * model.hidden + model.attentions * model.heads * sequence_length / t
    masks = back * dropout * fitted.mask_seconds * tokens * drawn
    cast = np.where(
        system.streamed_element_bytes > system.element_bytes,
        system.streamed_element_bytes + system.element_bytes,
        0.0,
    )
    casts = streaming_seconds(cast * model.layer_parameters / t, system, fitted)
    twice = 1 + back * np.equal(plan.recompute, 2)
    adapted = twice * trained.adapter_forward + back * trained.adapter_backward
    adapters = streaming_seconds(adapted * tokens * system.element_bytes / t, system, fitted)
    again = 1 + back + back * np.equal(plan.recompute, 2)
    step_overhead = model.layers / OVERHEAD_LAYERS * fitted.step_overhead_seconds

    passes = micro_batches * stage_layers
    return {
        "matrix products": passes * (1 + back * (1 + changed)) * layer.matmul_forward,
        "attention": passes * (layer.attention_forward + back * layer.attention_backward),
        "norms and activations": passes * (1 + 2 * back) * layer.elementwise_forward,
        "recomputation": passes * recomputed,
        "adapters": passes * adapters,
        "dropout masks": passes * twice * masks,
        "casts": passes * (twice + back * changed) * casts,
        "dequantisation": passes * again * dequantised,
        "output head": micro_batches * head,
        "tensor parallel": passes * (tensor_forward + tensor_backward),
        "context parallel": passes * (1 + 2 * back) * context_forward,
        "pipeline bubble": bubble,
        "pipeline transfers": micro_batches * hand_over,
        "sharded parameters": passes * (gather_forward + gather_backward),
        "gradient reduction": exposed(gradients, stage_layers * backward, fitted),
        "gradient accumulation": micro_batches * streaming_seconds(accumulated, system, fitted),
        "optimizer": optimizer + offloaded,
        "overhead": passes * (1 + 2 * back) * layer.overhead_forward + step_overhead,
    }
