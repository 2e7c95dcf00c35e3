"""Floating-point operations of a forward pass and of a training step, by part of the model."""

from __future__ import annotations

from typing import Literal

from enterprise_lab.errors import (
    InvalidValueError,
    require_one_of,
    require_positive,
    require_share,
    require_whole,
)
from enterprise_lab.estimate.products import (
    Count,
    Span,
    Terms,
    convolution_counts,
    ends,
    stack,
    total,
)
from enterprise_lab.estimate.trainable import Trainable, require_trainable
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape, require_shape

Causal = Literal["full", "half"]
Recompute = Literal["none", "selective", "full"]
LONGEST_SEQUENCE = 100_000_000
IMAGE_SIZE = 224
"""Pixels along the side of an image where nothing else is said, as in ImageNet's benchmarks."""
_TRANSFORMER = ("attention projections", "attention scores", "mlp", "pooler", "head")
_CONVOLUTIONAL = ("convolutions", "fully connected")
_IN_LAYERS = ("attention projections", "attention scores", "mlp", "adapters")


def rule_of_thumb_flops(parameters: float, tokens: float) -> float:
    """FLOPs to train on `tokens` tokens by the rule 6ND.

    Two FLOPs a parameter and token forward, four backward; attention scores are not counted.
    Source: Kaplan et al. 2020, section 2.1.
    """
    require_positive(parameters=parameters, tokens=tokens)
    return 6 * float(parameters) * float(tokens)


def forward_flops(
    shape: Shape,
    *,
    sequence_length: int = 0,
    target_length: int | None = None,
    image_size: int = IMAGE_SIZE,
    causal: Causal = "full",
    predicted_share: float = 1.0,
) -> Terms:
    """FLOPs of one forward pass over one sequence, or one image, by part of the model.

    Counts matrix products, as PyTorch's FLOP counter does; look-ups, norms, softmax and
    activation functions are left out (well under 1 % for models of useful width).
    `target_length` is that of an encoder-decoder's decoder, `sequence_length` where not given.
    A token passes `experts_per_token` experts and their router. `causal="half"` counts only the
    scores a causal mask keeps. `predicted_share` is the share of positions for which the output
    head runs: 1 in most code, about 0.15 in BERT recipes that gather the masked positions first,
    0 where there is no such head. An encoder's head is its masked-language-model head (a square
    transform, then the vocabulary), a decoder's is the vocabulary product.
    A convolutional network has no sequence (`sequence_length=0`) but an `image_size` in pixels.
    Source: Narayanan et al. 2021, appendix; Kaplan et al. 2020, table 1.

    Raises InvalidValueError for a sequence longer than the model's positions, an image too small,
    and arguments that the kind of model has no use for.
    """
    counts = _counts(
        shape, sequence_length, target_length, image_size, causal, predicted_share, "all"
    )
    return total((count.forward for count in counts), first=_terms(shape))


def training_flops(
    shape: Shape,
    *,
    sequence_length: int = 0,
    target_length: int | None = None,
    image_size: int = IMAGE_SIZE,
    causal: Causal = "full",
    predicted_share: float = 1.0,
    recompute: Recompute = "none",
    trainable: Trainable = "all",
) -> Terms:
    """FLOPs of one training step over one sequence, by part: forward, backward, recomputed.

    Backward costs twice forward: one product for the gradient of the input, one for that of the
    weights. Frozen weights have none, but the gradients of activations still pass through them,
    down to the first weight that is trained; adapters' own products are the term "adapters".
    `recompute` adds the forward work done a second time: the attention scores ("selective") or
    every layer ("full"). Without the term "recomputation" this is the model's FLOPs, with it the
    hardware's. Other arguments as in `forward_flops`.
    Source: Korthikanti et al. 2022, section 5 and appendix A; Hu et al. 2021, section 4.2.
    """
    require_trainable(trainable, shape)
    counts = _counts(
        shape, sequence_length, target_length, image_size, causal, predicted_share, trainable
    )
    passes = [terms for count in counts for terms in (count.forward, count.backward)]
    forward = total(count.forward for count in counts)
    again = {
        "none": (),
        "selective": ("attention scores",),
        "full": (*_IN_LAYERS, "convolutions"),
    }
    require_one_of("recompute", recompute, again)
    repeated = again[recompute] if trainable != "head" else ()
    return total(passes, first=_terms(shape)) | {
        "recomputation": sum(forward.get(term, 0) for term in repeated)
    }


def layer_flops(
    shape: Shape,
    *,
    sequence_length: int = 0,
    target_length: int | None = None,
    image_size: int = IMAGE_SIZE,
    causal: Causal = "full",
    training: bool = False,
    trainable: Trainable = "all",
) -> list[Terms]:
    """FLOPs of each layer by term, for one sequence or image: forward, or forward and backward.

    An encoder-decoder's encoder layers come first. A convolutional network's layers are its
    convolutions and fully connected layers. What is outside the layers (pooler, head) is left
    out. Arguments as in `training_flops`.
    """
    require_trainable(trainable, shape)
    counts = _counts(shape, sequence_length, target_length, image_size, causal, 1.0, trainable)
    layers = counts if isinstance(shape, ConvolutionalShape) else counts[:-1]
    return [total([one.forward, one.backward] if training else [one.forward]) for one in layers]


def require_length(shape: TransformerShape, name: str, length: object) -> int:
    """Return a length as an int.

    Raises InvalidValueError for one that can't be or that the model has no positions for.
    """
    whole = require_whole(name, length, LONGEST_SEQUENCE)
    if 0 < shape.max_positions < whole:
        raise InvalidValueError(
            f"A sequence of {whole:,} tokens is longer than the model's"
            f" {shape.max_positions:,} positions.",
            f"Use a {name} of at most {shape.max_positions:,}.",
        )
    return whole


def require_causal(shape: TransformerShape, causal: object) -> None:
    """Raise InvalidValueError for a way of counting scores that is none, or not of this kind."""
    if causal not in ("full", "half"):
        raise InvalidValueError(
            f"causal must be 'full' or 'half', not {causal!r}.",
            "Use 'full' to count every attention score, 'half' for those a causal mask keeps.",
        )
    if causal == "half" and shape.kind == "encoder":
        raise InvalidValueError(
            "An encoder's attention has no causal mask, so half of it can't be left out.",
            "Use causal='full' for encoders.",
        )


def _terms(shape: Shape) -> tuple[str, ...]:
    return _CONVOLUTIONAL if isinstance(shape, ConvolutionalShape) else _TRANSFORMER


def _counts(
    shape: Shape,
    sequence_length: int,
    target_length: int | None,
    image_size: int,
    causal: Causal,
    predicted_share: float,
    trainable: Trainable,
) -> list[Count]:
    """Count every layer, then, of a Transformer, what is outside of them."""
    require_shape(shape)
    require_share(predicted_share=predicted_share)
    if isinstance(shape, ConvolutionalShape):
        _require_no_sequence(shape, sequence_length, target_length, causal, predicted_share)
        return convolution_counts(shape, image_size, trainable)
    sequence_length, target = _require_lengths(shape, sequence_length, target_length, causal)
    half = causal == "half"
    own = Span.of(sequence_length, half and shape.kind == "decoder")
    layers, asked = stack(shape, trainable, shape.layers, own)
    if shape.decoder_layers:
        cross = Span(target, sequence_length, sequence_length)
        decoder, asked = stack(
            shape, trainable, shape.decoder_layers, Span.of(target, half), cross, asked
        )
        layers += decoder
    outside = ends(
        shape,
        trainable,
        embedded=sequence_length,
        pooled=1,
        predicted=target * predicted_share,
        asked=asked,
    )
    return [*layers, outside]


def _require_lengths(
    shape: TransformerShape, sequence_length: int, target_length: int | None, causal: Causal
) -> tuple[int, int]:
    """Return the lengths of the sequence and of what is predicted, once both can be."""
    sequence_length = require_length(shape, "sequence_length", sequence_length)
    require_causal(shape, causal)
    if target_length is None:
        return sequence_length, sequence_length
    if not shape.decoder_layers:
        raise InvalidValueError(
            f"target_length is of encoder-decoders, and this is of kind {shape.kind!r}.",
            "Leave it out.",
        )
    return sequence_length, require_length(shape, "target_length", target_length)


def _require_no_sequence(
    shape: ConvolutionalShape,
    sequence_length: int,
    target_length: int | None,
    causal: Causal,
    predicted_share: float,
) -> None:
    given = {
        "sequence_length": sequence_length != 0,
        "target_length": target_length is not None,
        "causal": causal != "full",
        "predicted_share": predicted_share != 1,
    }
    if any(given.values()):
        named = " and ".join(name for name, is_given in given.items() if is_given)
        raise InvalidValueError(
            f"{shape.name} is a convolutional network, which has no use for {named}.",
            "Leave it out, and give the image_size in pixels.",
        )
