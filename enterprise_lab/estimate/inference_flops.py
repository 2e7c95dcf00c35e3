"""Floating-point operations of answering a request: the prompt at once, then token after token."""

from __future__ import annotations

from dataclasses import dataclass

from enterprise_lab.errors import InvalidValueError, require_whole
from enterprise_lab.estimate.flops import (
    IMAGE_SIZE,
    LONGEST_SEQUENCE,
    Causal,
    forward_flops,
    require_causal,
    require_length,
)
from enterprise_lab.estimate.products import Span, Terms, ends, stack, total
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape, require_shape

LARGEST_BATCH = 100_000_000


@dataclass(frozen=True)
class InferenceFlops:
    """FLOPs of a batch of requests by term: of the prompts, and of each later token."""

    prefill: Terms
    decode: tuple[Terms, ...] = ()
    """One step of the whole batch after the other, each with one more position in the cache."""

    @property
    def total(self) -> int:
        """FLOPs in all."""
        return sum(sum(terms.values()) for terms in (self.prefill, *self.decode))


def inference_flops(
    shape: Shape,
    *,
    input_length: int = 0,
    output_length: int = 0,
    batch: int = 1,
    image_size: int = IMAGE_SIZE,
    causal: Causal = "full",
) -> InferenceFlops:
    """FLOPs of `batch` requests of `input_length` tokens, each answered by `output_length`.

    The pass over the prompt (prefill) makes the keys and values of all its positions and the
    first token of the answer; its output head runs on the last position only. Each later token
    is a step of one position that looks at itself and all before it. An encoder-decoder
    encodes the input, makes the keys and values of cross attention once, and decodes from a
    start token. Encoders run without their head, and have nothing to decode. Convolutional
    networks classify `batch` images. Counted as in `forward_flops`.
    Source: Pope et al. 2022, section 2.

    Raises InvalidValueError for lengths beyond the model's positions, and for an `output_length`
    of what can't write.
    """
    require_shape(shape)
    batch = require_whole("batch", batch, LARGEST_BATCH)
    output_length = require_whole("output_length", output_length, LONGEST_SEQUENCE, smallest=0)
    if isinstance(shape, ConvolutionalShape):
        _require_silence(output_length, shape.name)
        image = forward_flops(
            shape, sequence_length=input_length, image_size=image_size, causal=causal
        )
        return InferenceFlops(_times(batch, image))
    input_length = require_length(shape, "input_length", input_length)
    require_causal(shape, causal)
    if shape.kind == "encoder":
        _require_silence(output_length, "an encoder")
        encoded = forward_flops(shape, sequence_length=input_length, predicted_share=0)
        return InferenceFlops(_times(batch, encoded))
    if shape.kind == "decoder":
        read = input_length + max(0, output_length - 1)
        require_length(shape, "sequence with its answer", read)
        prefill = _write(shape, Span.of(input_length, causal == "half"))
        cross, cached = None, input_length
    else:
        encoder, _ = stack(shape, "all", shape.layers, Span.of(input_length))
        first = _write(shape, Span.of(1), Span(1, input_length, input_length))
        prefill = total([*(count.forward for count in encoder), first])
        cross, cached = Span(1, 0, input_length), 1
    alone = _write(shape, Span(1, 1, 0), cross)
    scores = alone["attention scores"]
    growth = _write(shape, Span(1, 1, 1), cross)["attention scores"] - scores
    steps = (
        alone | {"attention scores": scores + growth * (cached + step)}
        for step in range(1, output_length)
    )
    return InferenceFlops(_times(batch, prefill), tuple(_times(batch, step) for step in steps))


def _write(shape: TransformerShape, own: Span, cross: Span | None = None) -> Terms:
    """Count the layers that write, over `own` positions of which the last is predicted."""
    layers, _ = stack(shape, "all", shape.decoder_layers or shape.layers, own, cross)
    outside = ends(shape, "all", embedded=own.rows, pooled=0, predicted=1, asked=False)
    return total(count.forward for count in [*layers, outside])


def _times(batch: int, terms: Terms) -> Terms:
    return {name: batch * flops for name, flops in terms.items()}


def _require_silence(output_length: int, what: str) -> None:
    if output_length:
        raise InvalidValueError(
            f"An output_length of {output_length:,} can't be had from {what}, which writes none.",
            "Use output_length=0.",
        )
