"""The dimensions of a model, from which everything else follows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from enterprise_lab.errors import InvalidValueError, require_whole

_LARGEST = {"layers": 10_000, "hidden": 1_000_000, "heads": 100_000, "kv_heads": 100_000,
            "ffn": 10_000_000, "vocabulary": 100_000_000}  # fmt: skip


@dataclass(frozen=True)
class TransformerShape:
    """An encoder (BERT) or decoder (GPT, LLaMA) Transformer.

    An encoder normalises its embeddings, a decoder its last hidden state; both normalise twice
    a layer. `kv_heads` below `heads` is grouped-query attention (Ainslie et al. 2023).
    `tied_embeddings` means that the output head, if any, reuses the token embeddings.

    Raises InvalidValueError for a dimension below one or beyond anything built, for `hidden` not
    divisible by `heads`, and for `heads` not divisible by `kv_heads`.
    """

    kind: Literal["encoder", "decoder"]
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int
    max_positions: int = 0
    """Learned position embeddings; 0 where positions are rotary or otherwise computed."""
    token_types: int = 0
    gated_mlp: bool = False
    tied_embeddings: bool = True
    bias: bool = True
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    pooler: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("encoder", "decoder"):
            raise InvalidValueError(
                f"kind must be encoder or decoder, not {self.kind!r}.", "Give one of the two."
            )
        if self.norm not in ("layernorm", "rmsnorm"):
            raise InvalidValueError(
                f"norm must be layernorm or rmsnorm, not {self.norm!r}.", "Give one of the two."
            )
        for name, largest in _LARGEST.items():
            require_whole(name, getattr(self, name), largest)
        for name in ("max_positions", "token_types"):
            require_whole(name, getattr(self, name), 100_000_000, smallest=0)
        _require_divisible("hidden", self.hidden, "heads", self.heads)
        _require_divisible("heads", self.heads, "kv_heads", self.kv_heads)

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.hidden // self.heads

    @property
    def kv_hidden(self) -> int:
        """Width of all keys, or all values, of one token."""
        return self.kv_heads * self.head_size

    @cached_property
    def parameter_terms(self) -> dict[str, int]:
        """Exact parameter counts by part of the model; they sum to `parameters`.

        Weights and biases counted from the published architectures: Devlin et al. 2019 (BERT),
        Radford et al. 2019 (GPT-2), Touvron et al. 2023 (LLaMA).
        """
        d, ffn, bias = self.hidden, self.ffn, int(self.bias)
        norm = d * (1 + bias) if self.norm == "layernorm" else d
        ups = 2 if self.gated_mlp else 1
        attention = 2 * d * (d + self.kv_hidden) + bias * 2 * (d + self.kv_hidden)
        mlp = (ups + 1) * d * ffn + bias * (ups * ffn + d)
        return {
            "embeddings": (self.vocabulary + self.max_positions + self.token_types) * d,
            "attention": self.layers * attention,
            "mlp": self.layers * mlp,
            "norms": (2 * self.layers + 1) * norm,
            "pooler": d * d + d if self.pooler else 0,
            "head": 0 if self.tied_embeddings else self.vocabulary * d,
        }

    @property
    def parameters(self) -> int:
        """Exact number of parameters."""
        return sum(self.parameter_terms.values())


def _require_divisible(name: str, value: int, by_name: str, by: int) -> None:
    if value % by:
        near = max(by, round(value / by) * by)
        raise InvalidValueError(
            f"{name} ({value:,}) is not divisible by {by_name} ({by:,}).",
            f"The nearest {name} that is: {near:,}.",
        )
