"""The dimensions of Transformers as numbers or arrays, for arithmetic over many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from enterprise_lab.shapes import TransformerShape

Figures = float | npt.NDArray[np.floating[Any]] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class ModelDimensions:
    """What time depends on: each field one number, or one for each of many models."""

    layers: Figures
    hidden: Figures
    query: Figures
    """Width of all query heads together."""
    kv: Figures
    """Width of all keys, or all values, together."""
    head_size: Figures
    heads: Figures
    ffn: Figures
    up_projections: Figures
    """Products from the hidden width to the feed-forward width: 2 in a gated MLP."""
    experts: Figures
    """Feed-forward blocks a layer; 1 in a dense model."""
    active_experts: Figures
    attentions: Figures
    """Attention blocks a layer on average: above 1 where a decoder also attends to an encoder."""
    blocks: Figures
    """Blocks a layer whose outputs tensor parallelism sums: attention and MLP, or both as one."""
    causal: Figures
    """1 where a mask hides the future."""
    vocabulary: Figures
    layer_parameters: Figures
    parameters: Figures

    @classmethod
    def of(cls, shape: TransformerShape) -> ModelDimensions:
        """Return one model's dimensions as numbers."""
        both = shape.layers + shape.decoder_layers
        return cls(
            layers=float(both),
            hidden=float(shape.hidden),
            query=float(shape.query_hidden),
            kv=float(shape.kv_hidden),
            head_size=float(shape.head_size),
            heads=float(shape.heads),
            ffn=float(shape.ffn),
            up_projections=float(shape.mlp_matrices - 1),
            experts=float(max(1, shape.experts)),
            active_experts=float(shape.mlps_per_token),
            attentions=1 + shape.decoder_layers / both,
            blocks=1.0 if shape.parallel_block else 2 + shape.decoder_layers / both,
            causal=float(shape.kind == "decoder"),
            vocabulary=float(shape.vocabulary),
            layer_parameters=_layer_parameters(shape) / both,
            parameters=float(shape.parameters),
        )

    @classmethod
    def halves(cls, shape: TransformerShape) -> tuple[ModelDimensions, ModelDimensions]:
        """Return what reads and what writes: different layers of an encoder-decoder."""
        whole = cls.of(shape)
        if not shape.decoder_layers:
            return whole, whole
        encoder = replace(whole, layers=float(shape.layers), attentions=1.0, blocks=2.0)
        decoder = replace(
            whole, layers=float(shape.decoder_layers), attentions=2.0, blocks=3.0, causal=1.0
        )
        return encoder, decoder

    @classmethod
    def stack(cls, shapes: Sequence[TransformerShape]) -> ModelDimensions:
        """Return many models' dimensions as arrays of their length."""
        each = [cls.of(shape) for shape in shapes]
        names = [field.name for field in fields(cls)]
        return cls(**{name: np.array([getattr(one, name) for one in each]) for name in names})


def _layer_parameters(shape: TransformerShape) -> float:
    terms = shape.parameter_terms
    return float(sum(terms[name] for name in ("attention", "mlp")))
