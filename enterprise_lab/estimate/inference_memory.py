"""Bytes that answering keeps on a device."""

from __future__ import annotations

from enterprise_lab.errors import (
    InvalidValueError,
    require_kind,
    require_not_negative,
    require_whole,
)
from enterprise_lab.estimate.activations import FUSED, Implementation
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE
from enterprise_lab.estimate.memory import FRAGMENTATION, FRAMEWORK_BYTES
from enterprise_lab.estimate.plan import LARGEST_BATCH, MOST_DEVICES
from enterprise_lab.estimate.stage_memory import QUANTISATION_BITS
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape, require_shape

_BITS = (4, 8, 16, 32)


def inference_memory(
    shape: Shape,
    *,
    batch: int,
    input_length: int = 0,
    output_length: int = 0,
    tensor: int = 1,
    weight_bits: int = 16,
    cache_bits: int = 16,
    image_size: int = 224,
    implementation: Implementation = FUSED,
    fragmentation: float = FRAGMENTATION,
    framework_bytes: float = FRAMEWORK_BYTES,
) -> dict[str, float]:
    """Bytes by term on each of `tensor` devices, at the fullest moment; they sum to the need.

    The terms are weights, KV cache, activations, temporary buffers, framework, fragmentation.
    `batch` requests of `input_length` tokens are answered at once with `output_length` tokens
    each; 0 reads them only, as encoders do. Weights of 4 and 8 bits leave embeddings and head in
    16, and activations have 16 bits but with weights of 32. Attention is fused; logits are made
    of the last position of a decoder. `fragmentation` is a share of activations and buffers.

    Raises InvalidValueError for sizes that can't be and for other bits than 4, 8, 16 and 32.
    """
    require_shape(shape)
    batch = require_whole("batch", batch, LARGEST_BATCH)
    tensor = require_whole("tensor", tensor, MOST_DEVICES)
    require_kind("implementation", implementation, Implementation, "Implementation()")
    require_not_negative(fragmentation=fragmentation, framework_bytes=framework_bytes)
    for name, bits in (("weight_bits", weight_bits), ("cache_bits", cache_bits)):
        if bits not in _BITS:
            raise InvalidValueError(f"{name} must be 4, 8, 16 or 32, not {bits}.", "Give one.")
    element = 4 if weight_bits == 32 else 2
    if isinstance(shape, ConvolutionalShape):
        operations = shape.operations(image_size)
        alive = max(o.input_elements + o.output_elements for o in operations)
        weights = shape.parameters * weight_bits / 8
        cache, activations, temporary = 0.0, float(batch * element * alive), 0.0
    else:
        require_whole("input_length", input_length, LONGEST_SEQUENCE)
        require_whole("output_length", output_length, LONGEST_SEQUENCE, smallest=0)
        weights = _weight_bytes(shape, weight_bits) / tensor
        groups = min(tensor, shape.kv_heads)
        cache = batch * cache_bits / 8 * _cached(shape, input_length, output_length) / groups
        tokens = batch * input_length
        activations = tokens * element * _alive(shape, tensor, implementation)
        predicted = tokens if shape.kind == "encoder" else batch
        logits = predicted * element * shape.vocabulary / tensor
        temporary = 0.0
        at_the_head = 2.0 * tokens * element * shape.hidden
        if at_the_head + logits > activations:
            activations, temporary = at_the_head, logits
    return {
        "weights": weights,
        "KV cache": cache,
        "activations": activations,
        "temporary buffers": temporary,
        "framework": framework_bytes,
        "fragmentation": fragmentation * (activations + temporary),
    }


def _weight_bytes(shape: TransformerShape, bits: int) -> float:
    terms = shape.parameter_terms
    ends = terms["embeddings"] + terms["head"] + terms["pooler"]
    constants = QUANTISATION_BITS if bits == 4 else 0
    return ((shape.parameters - ends) * (bits + constants) + ends * max(bits, 16)) / 8


def _cached(shape: TransformerShape, input_length: int, output_length: int) -> int:
    """Elements of keys and values of one request; an encoder-decoder keeps its input's too."""
    if shape.kind == "encoder":
        return 0
    layers = shape.decoder_layers or shape.layers
    return 2 * layers * shape.kv_hidden * (input_length + output_length)


def _alive(shape: TransformerShape, tensor: int, implementation: Implementation) -> float:
    """Elements of a token at once in the widest operation.

    Four more of the hidden width are held by those who called it: the embeddings, the layer's
    input, the residual and its norm; each expert has its own input and output.
    """
    attention = 2 * shape.query_hidden + 2 * shape.kv_hidden
    experts = shape.experts_per_token
    mlp = (3 if shape.gated_mlp else 2) * shape.ffn
    if implementation.written_out_gelu:
        mlp += 2 * shape.ffn
    routed = 2 * experts * shape.hidden
    return 4 * shape.hidden + routed + max(attention, (experts or 1) * mlp) / tensor
