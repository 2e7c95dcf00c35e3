"""Seconds of one Transformer layer on one device, without communication."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.kernels import matmul_seconds, streaming_seconds
from enterprise_lab.estimate.model_dimensions import Figures, ModelDimensions
from enterprise_lab.estimate.system import System

SCORE_BYTES_FORWARD, SCORE_BYTES_BACKWARD = 13, 19
"""Bytes moved for each unfused attention score in 16 bits, softmax and dropout each one kernel.

Forward: the product writes 2, softmax reads and writes 4, dropout 4 and 1 for its mask, the
product with the values reads 2. Backward the same operations and their saved inputs.
"""
FLASH_BACKWARD = 2.5
"""Backward over forward of fused attention, which makes the scores again: 5 products for 2
(Dao et al. 2022, appendix B)."""
NORM_ELEMENTS = 11
"""Elements of the hidden width moved forward: two norms (2 each), two residual additions with
dropout (3.5 each)."""


@dataclass(frozen=True)
class LayerSeconds:
    """Parts of a layer, forward and backward."""

    matmul_forward: Figures
    attention_forward: Figures
    elementwise_forward: Figures
    overhead_forward: Figures
    attention_backward: Figures

    @property
    def forward(self) -> Figures:
        """Seconds of the forward pass."""
        return (
            self.matmul_forward
            + self.attention_forward
            + self.elementwise_forward
            + self.overhead_forward
        )

    def backward(self, weight_gradients: Figures = 1.0) -> Figures:
        """Seconds of the backward pass: twice the forward's but for attention.

        `weight_gradients` is the share of weights that training changes; the gradients of
        activations pass through the others all the same.
        """
        twice = self.elementwise_forward + self.overhead_forward
        products = (1 + weight_gradients) * self.matmul_forward
        return products + 2 * twice + self.attention_backward


def layer_seconds(
    model: ModelDimensions,
    tokens: Figures,
    keys: Figures,
    plan: PlanDimensions,
    system: System,
    fitted: Coefficients,
    *,
    element_bytes: Figures,
) -> LayerSeconds:
    """Seconds of one layer over `tokens` tokens on a device, each attending to `keys` positions.

    `element_bytes` is what an element counts in norms, activations and attention scores.
    Products are shared by tensor parallelism; norms and residuals only with sequence parallelism
    (Shoeybi et al. 2019, section 3; Korthikanti et al. 2022, section 4.2.2).
    """
    t = plan.tensor
    query_key_value = (model.query + 2 * model.kv) / t
    routed = tokens * model.active_experts / model.experts
    mlp = matmul_seconds(
        routed, model.hidden, model.up_projections * model.ffn / t, system, fitted
    ) + matmul_seconds(routed, model.ffn / t, model.hidden, system, fitted)
    matmul = (
        model.attentions
        * (
            matmul_seconds(tokens, model.hidden, query_key_value, system, fitted)
            + matmul_seconds(tokens, model.query / t, model.hidden, system, fitted)
        )
        + model.experts * mlp
    )

    products = model.attentions * 4 * tokens * keys * model.query / t
    kept = 1 - 0.5 * model.causal
    flash = products * kept / (system.attention_flops * fitted.flash_share)
    small = 1 + fitted.half_size * (2 / keys + 1 / model.head_size)
    plain = products * small / (system.attention_flops * fitted.attention_share)
    scores = model.attentions * tokens * keys * model.heads / t * element_bytes / 2
    pass_over = streaming_seconds(fitted.score_traffic * scores, system, fitted)
    fused = plan.flash_attention

    whole = np.where(plan.sequence_parallel, t, 1)
    elements = (
        NORM_ELEMENTS * model.hidden / whole
        + (2 * model.up_projections * model.active_experts * model.ffn + 3 * query_key_value * t)
        / t
    )
    moved = fitted.elementwise_traffic * tokens * elements * element_bytes
    return LayerSeconds(
        matmul_forward=matmul,
        attention_forward=np.where(fused, flash, plain + SCORE_BYTES_FORWARD * pass_over),
        elementwise_forward=streaming_seconds(moved, system, fitted),
        overhead_forward=fitted.layer_overhead_seconds,
        attention_backward=np.where(
            fused, FLASH_BACKWARD * flash, 2 * plain + SCORE_BYTES_BACKWARD * pass_over
        ),
    )
