"""Seconds of serving a Transformer: a pass over a prompt, and one more token of each request."""

from __future__ import annotations

import numpy as np

from enterprise_lab.estimate.calibration import Coefficients
from enterprise_lab.estimate.collectives import all_reduce_seconds, ring
from enterprise_lab.estimate.dimensions import Integers, PlanDimensions
from enterprise_lab.estimate.kernels import matmul_seconds, streaming_seconds
from enterprise_lab.estimate.layer_time import NORM_ELEMENTS, layer_seconds
from enterprise_lab.estimate.model_dimensions import Figures, ModelDimensions
from enterprise_lab.estimate.system import System


def prefill_seconds(
    model: ModelDimensions,
    system: System,
    fitted: Coefficients,
    *,
    batch: Figures,
    input_length: Figures,
    tensor: Integers,
    flash_attention: Integers,
    predicted: Figures,
) -> dict[str, Figures]:
    """Seconds of one forward pass over `batch` inputs, by term; they sum to the pass.

    `predicted` positions of each input go through the output head: none in an encoder, the last
    in a decoder.
    """
    plan = PlanDimensions(tensor=tensor, flash_attention=flash_attention)
    tokens = batch * input_length
    layer = layer_seconds(
        model, tokens, input_length, plan, system, fitted, element_bytes=system.element_bytes
    )
    return {
        "matrix products": model.layers * layer.matmul_forward,
        "attention": model.layers * layer.attention_forward,
        "norms and activations": model.layers * layer.elementwise_forward,
        "output head": _head_seconds(model, batch * predicted, tensor, system, fitted),
        "tensor parallel": model.layers * _reductions(model, tokens, tensor, system, fitted),
        "overhead": model.layers * layer.overhead_forward + fitted.step_overhead_seconds,
    }


def encode_seconds(
    encoder: ModelDimensions,
    decoder: ModelDimensions,
    system: System,
    fitted: Coefficients,
    *,
    batch: Figures,
    input_length: Figures,
    tensor: Integers,
) -> dict[str, Figures]:
    """Seconds until an encoder-decoder has read `batch` inputs, by term.

    The encoder's pass, and once for the whole answer the keys and values that cross attention of
    each decoder layer looks at.
    """
    terms = prefill_seconds(
        encoder, system, fitted, batch=batch, input_length=input_length, tensor=tensor,
        flash_attention=1, predicted=0.0,
    )  # fmt: skip
    key_value = 2 * decoder.kv / tensor
    each = matmul_seconds(batch * input_length, decoder.hidden, key_value, system, fitted)
    return terms | {"matrix products": terms["matrix products"] + decoder.layers * each}


def decode_seconds(
    model: ModelDimensions,
    system: System,
    fitted: Coefficients,
    *,
    batch: Figures,
    keys: Figures,
    tensor: Figures,
    weight_bytes: Figures,
    cache_bytes: Figures,
) -> dict[str, Figures]:
    """Seconds until each of `batch` requests has its next token, by term.

    `keys` positions of each request lie in its KV cache, `cache_bytes` an element. All weights and
    caches are read once for every token, which is what a small batch waits for (Pope et al. 2022,
    section 2). Attention of single queries runs on the vector units, which is what many heads
    that share keys wait for. Of an encoder-decoder it is the decoder that writes, and the keys
    are its own and those of the input; cross attention multiplies queries and outputs only.
    """
    t = tensor
    query_key_value = (model.query + 2 * model.kv) / t
    crossed = model.attentions - 1
    reached = model.experts * (1 - (1 - model.active_experts / model.experts) ** batch)
    routed = np.maximum(1, batch * model.active_experts / reached)

    def product(m: Figures, k: Figures, n: Figures) -> Figures:
        return matmul_seconds(m, k, n, system, fitted, weight_bytes=weight_bytes)

    mlp = product(routed, model.hidden, model.up_projections * model.ffn / t) + product(
        routed, model.ffn / t, model.hidden
    )
    attention_products = product(batch, model.hidden, query_key_value) + product(
        batch, model.query / t, model.hidden
    )
    cross_products = product(batch, model.hidden, model.query / t) + product(
        batch, model.query / t, model.hidden
    )
    cached = 2 * np.maximum(model.kv / t, model.head_size) * keys * batch * cache_bytes
    attention = np.maximum(
        cached / (system.bandwidth * fitted.cache_share),
        4 * model.query / t * keys * batch / (system.vector_flops * fitted.vector_share),
    )
    elements = NORM_ELEMENTS * model.hidden + 2 * model.ffn * model.up_projections / t
    moved = fitted.elementwise_traffic * batch * elements * system.element_bytes
    return {
        "matrix products": model.layers
        * (attention_products + crossed * cross_products + reached * mlp),
        "attention": model.layers * attention,
        "norms and activations": model.layers * streaming_seconds(moved, system, fitted),
        "output head": _head_seconds(model, batch, t, system, fitted),
        "tensor parallel": model.layers * _reductions(model, batch, t, system, fitted),
        "overhead": model.layers * fitted.layer_overhead_seconds + fitted.step_overhead_seconds,
    }


def _head_seconds(
    model: ModelDimensions,
    positions: Figures,
    tensor: Figures,
    system: System,
    fitted: Coefficients,
) -> Figures:
    rows = np.maximum(positions, 1)
    head = matmul_seconds(rows, model.hidden, model.vocabulary / tensor, system, fitted)
    return np.where(np.asarray(positions) > 0, head, 0.0)


def _reductions(
    model: ModelDimensions,
    tokens: Figures,
    tensor: Figures,
    system: System,
    fitted: Coefficients,
) -> Figures:
    moved = tokens * model.hidden * system.element_bytes
    group = ring(tensor, 1, system, fitted, fitted.network_share)
    each = all_reduce_seconds(moved, group)
    return np.where(np.asarray(tensor) > 1, model.blocks * each, 0.0)
