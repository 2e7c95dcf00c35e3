"""Floating-point operations of a Transformer. One multiply-add is two FLOPs."""

from __future__ import annotations

from typing import Literal

from enterprise_lab.errors import InvalidValueError, require_positive, require_whole
from enterprise_lab.shapes import TransformerShape

Causal = Literal["full", "half"]
Recompute = Literal["none", "selective", "full"]
LONGEST_SEQUENCE = 100_000_000


def rule_of_thumb_flops(parameters: float, tokens: float) -> float:
    """FLOPs to train on `tokens` tokens by the rule 6ND.

    Two FLOPs a parameter and token forward, four backward; attention scores are not counted.
    Source: Kaplan et al. 2020, section 2.1.
    """
    require_positive(parameters=parameters, tokens=tokens)
    return 6 * parameters * tokens


def forward_flops(
    shape: TransformerShape,
    *,
    sequence_length: int,
    causal: Causal = "full",
    predicted_share: float = 1.0,
) -> dict[str, int]:
    """FLOPs of one forward pass over one sequence, by part of the model.

    Counts matrix products, as PyTorch's FLOP counter does; look-ups, norms, softmax and
    activation functions are left out (well under 1 % for models of useful width).
    `causal="half"` counts only the scores a causal mask keeps. `predicted_share` is the share of
    positions for which the output head runs: 1 in most code, about 0.15 in BERT recipes that
    gather the masked positions first. An encoder's head is its masked-language-model head (a
    square transform, then the vocabulary), a decoder's is the vocabulary product.
    Source: Narayanan et al. 2021, appendix; Kaplan et al. 2020, table 1.

    Raises InvalidValueError for a sequence longer than the model's positions.
    """
    require_whole("sequence_length", sequence_length, LONGEST_SEQUENCE)
    require_positive(predicted_share=predicted_share)
    if predicted_share > 1:
        raise InvalidValueError(
            f"predicted_share must be at most 1, not {predicted_share}.",
            "Give the share of positions that the output head predicts.",
        )
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
    if 0 < shape.max_positions < sequence_length:
        raise InvalidValueError(
            f"A sequence of {sequence_length:,} tokens is longer than the model's"
            f" {shape.max_positions:,} positions.",
            f"Use a sequence_length of at most {shape.max_positions:,}.",
        )
    s, d = sequence_length, shape.hidden
    scores = 4 * s * s * d if causal == "full" else 2 * s * s * d
    head = 2 * d * shape.vocabulary + (2 * d * d if shape.kind == "encoder" else 0)
    return {
        "attention projections": shape.layers * 4 * s * d * (d + shape.kv_hidden),
        "attention scores": shape.layers * scores,
        "mlp": shape.layers * 2 * s * (3 if shape.gated_mlp else 2) * d * shape.ffn,
        "pooler": 2 * d * d if shape.pooler else 0,
        "head": round(head * s * predicted_share),
    }


def training_flops(
    shape: TransformerShape,
    *,
    sequence_length: int,
    causal: Causal = "full",
    predicted_share: float = 1.0,
    recompute: Recompute = "none",
) -> dict[str, int]:
    """FLOPs of one training step over one sequence, by part: forward, backward, recomputed.

    Backward costs twice forward: one product for the gradient of the input, one for that of the
    weights. `recompute` adds the forward work done a second time: the attention scores
    ("selective") or every layer ("full"). Without the term "recomputation" this is the model's
    FLOPs, with it the hardware's. Source: Korthikanti et al. 2022, section 5 and appendix A.
    """
    forward = forward_flops(
        shape,
        sequence_length=sequence_length,
        causal=causal,
        predicted_share=predicted_share,
    )
    layers = forward["attention projections"] + forward["attention scores"] + forward["mlp"]
    recomputed = {"none": 0, "selective": forward["attention scores"], "full": layers}
    if recompute not in recomputed:
        raise InvalidValueError(
            f"recompute must be none, selective or full, not {recompute!r}.",
            "Give one of the three.",
        )
    return {name: 3 * flops for name, flops in forward.items()} | {
        "recomputation": recomputed[recompute]
    }
