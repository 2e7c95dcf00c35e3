"""Transformers: their dimensions and exact parameter counts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from enterprise_lab.errors import InvalidValueError, keep_whole, require_flag, require_one_of

Kind = Literal["encoder", "decoder", "encoder-decoder"]
KINDS: tuple[Kind, ...] = ("encoder", "decoder", "encoder-decoder")

_AT_LEAST_ONE = {"layers": 10_000, "hidden": 1_000_000, "heads": 100_000, "kv_heads": 100_000,
                 "ffn": 10_000_000, "vocabulary": 100_000_000}  # fmt: skip
_AT_LEAST_ZERO = {"max_positions": 100_000_000, "token_types": 100_000_000, "head_dim": 1_000_000,
                  "decoder_layers": 10_000, "experts": 100_000, "experts_per_token": 100_000,
                  "norms_per_layer": 8, "relative_buckets": 100_000,
                  "embedding_size": 1_000_000}  # fmt: skip
_FLAGS = ("gated_mlp", "tied_embeddings", "bias", "pooler", "head_bias", "parallel_block")
_FLAGS_OR_NONE = ("norm_bias", "embedding_norm", "final_norm")


@dataclass(frozen=True)
class TransformerShape:
    """An encoder (BERT), decoder (GPT, LLaMA) or encoder-decoder (T5) Transformer.

    `kv_heads` below `heads` is grouped-query attention (Ainslie et al. 2023). `tied_embeddings`
    means that the output head, if any, reuses the token embeddings. With `experts` each layer has
    that many MLPs and a router that sends each token to `experts_per_token` of them (Fedus et al.
    2021). An encoder-decoder has `layers` of the encoder and `decoder_layers` that also attend to
    its output; the two share the token embeddings.

    Raises InvalidValueError for a dimension below one or beyond anything built, for `hidden` not
    divisible by `heads` where no `head_dim` is given, for `heads` not divisible by `kv_heads`, and
    for experts or decoder layers that can't be.
    """

    kind: Kind
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
    """Biases of linear layers and layer norms, where none of the finer options says otherwise."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    pooler: bool = False
    head_dim: int = 0
    """Width of an attention head; 0 where it is hidden / heads."""
    decoder_layers: int = 0
    """Layers with cross attention: of an encoder-decoder only."""
    experts: int = 0
    """MLPs a layer; 0 where it has one and no router."""
    experts_per_token: int = 0
    attention_bias: Literal["none", "qkv", "all"] | None = None
    """Biases of the attention projections; None: as `bias`."""
    norm_bias: bool | None = None
    """Biases of layer norms; None: as `bias`."""
    head_bias: bool = False
    """Whether a decoder's output head has a bias."""
    norms_per_layer: int = 2
    """Of a layer without cross attention, which brings one more."""
    embedding_norm: bool | None = None
    """Whether embeddings are normalised; None: those of encoders."""
    final_norm: bool | None = None
    """Whether a stack's last hidden state is normalised; None: that of all but encoders."""
    relative_buckets: int = 0
    """Learned biases of attention scores by distance, one for each head (Raffel et al. 2020)."""
    embedding_size: int = 0
    """Width of token embeddings where it is not `hidden` but projected to it; else 0."""
    parallel_block: bool = False
    """Whether attention and MLP read the same input and are summed (GPT-J, Falcon)."""

    def __post_init__(self) -> None:
        require_one_of("kind", self.kind, KINDS)
        require_one_of("norm", self.norm, ("layernorm", "rmsnorm"))
        require_one_of("attention_bias", self.attention_bias, (None, "none", "qkv", "all"))
        for name, largest in _AT_LEAST_ONE.items():
            keep_whole(self, name, largest)
        for name, largest in _AT_LEAST_ZERO.items():
            keep_whole(self, name, largest, smallest=0)
        given = [name for name in _FLAGS_OR_NONE if getattr(self, name) is not None]
        require_flag(**{name: getattr(self, name) for name in (*_FLAGS, *given)})
        if not self.head_dim:
            _require_divisible("hidden", self.hidden, "heads", self.heads)
        self._require_groups()
        self._require_experts()
        if (self.kind == "encoder-decoder") != (self.decoder_layers > 0):
            raise InvalidValueError(
                f"decoder_layers is {self.decoder_layers} and kind is {self.kind!r}.",
                "Give decoder_layers with kind='encoder-decoder', and only with it.",
            )

    def _require_groups(self) -> None:
        if self.heads % self.kv_heads:
            divisors = (n for n in range(1, self.heads + 1) if self.heads % n == 0)
            near = min(divisors, key=lambda n: abs(n - self.kv_heads))
            raise InvalidValueError(
                f"heads ({self.heads:,}) is not divisible by kv_heads ({self.kv_heads:,}).",
                f"The nearest kv_heads that divides it: {near:,}.",
            )

    def _require_experts(self) -> None:
        if bool(self.experts) != bool(self.experts_per_token):
            raise InvalidValueError(
                f"experts is {self.experts} and experts_per_token {self.experts_per_token}.",
                "Give both, such as experts=8, experts_per_token=2, or neither.",
            )
        if self.experts_per_token > self.experts:
            raise InvalidValueError(
                f"A token can't go to {self.experts_per_token} of {self.experts} experts.",
                f"Give experts_per_token of at most {self.experts}.",
            )

    @property
    def head_size(self) -> int:
        """Width of one attention head."""
        return self.head_dim or self.hidden // self.heads

    @property
    def query_hidden(self) -> int:
        """Width of all queries of one token."""
        return self.heads * self.head_size

    @property
    def kv_hidden(self) -> int:
        """Width of all keys, or all values, of one token."""
        return self.kv_heads * self.head_size

    @property
    def mlps_per_token(self) -> int:
        """MLPs of a layer that one token passes through."""
        return self.experts_per_token or 1

    @property
    def mlp_matrices(self) -> int:
        """Weight matrices of one MLP: two, or three where it is gated."""
        return 3 if self.gated_mlp else 2

    @property
    def _attention_parameters(self) -> int:
        d, q, kv = self.hidden, self.query_hidden, self.kv_hidden
        biases = self.attention_bias or ("all" if self.bias else "none")
        bias = {"none": 0, "qkv": q + 2 * kv, "all": q + 2 * kv + d}[biases]
        return 2 * d * (q + kv) + bias

    @property
    def _expert_parameters(self) -> int:
        d, ffn, ups = self.hidden, self.ffn, self.mlp_matrices - 1
        return (ups + 1) * d * ffn + self.bias * (ups * ffn + d)

    @property
    def _mlp_parameters(self) -> int:
        router = self.experts * self.hidden
        return max(1, self.experts) * self._expert_parameters + router

    @property
    def _norm_size(self) -> int:
        """Parameters of a norm, for each element of its width."""
        bias = self.bias if self.norm_bias is None else self.norm_bias
        return 2 if self.norm == "layernorm" and bias else 1

    @property
    def layer_parameters(self) -> int:
        """Exact number of parameters of one layer, without cross attention; all its experts."""
        norms = self.norms_per_layer * self._norm_size * self.hidden
        return self._attention_parameters + self._mlp_parameters + norms

    @property
    def decoder_layer_parameters(self) -> int:
        """Exact number of parameters of one layer with cross attention; 0 where there is none."""
        if not self.decoder_layers:
            return 0
        return self.layer_parameters + self._attention_parameters + self._norm_size * self.hidden

    @cached_property
    def parameter_terms(self) -> dict[str, int]:
        """Exact parameter counts by part of the model; they sum to `parameters`.

        Weights and biases counted from the published architectures: Devlin et al. 2019 (BERT),
        Radford et al. 2019 (GPT-2), Touvron et al. 2023 (LLaMA), Raffel et al. 2020 (T5), Jiang
        et al. 2024 (Mixtral).
        """
        d, e = self.hidden, self.embedding_size or self.hidden
        both, encoder = self.layers + self.decoder_layers, self.kind == "encoder"
        stacks = 2 if self.decoder_layers else 1
        positions = d if not encoder else e
        projection = 0
        if e != d:
            projection = e * d + d if encoder else 2 * e * d
        norms = (self.norms_per_layer * both + self.decoder_layers) * d
        norms += stacks * e * (encoder if self.embedding_norm is None else self.embedding_norm)
        norms += stacks * d * (not encoder if self.final_norm is None else self.final_norm)
        head = 0 if self.tied_embeddings else self.vocabulary * e
        return {
            "embeddings": (self.vocabulary + self.token_types) * e
            + self.max_positions * positions
            + projection,
            "attention": (both + self.decoder_layers) * self._attention_parameters
            + stacks * self.relative_buckets * self.heads,
            "mlp": both * self._mlp_parameters,
            "norms": norms * self._norm_size,
            "pooler": d * d + d if self.pooler else 0,
            "head": head + (self.vocabulary if self.head_bias else 0),
        }

    @property
    def parameters(self) -> int:
        """Exact number of parameters."""
        return sum(self.parameter_terms.values())

    @property
    def active_parameters(self) -> int:
        """Parameters that one token passes through: all but those of the experts it isn't sent to.

        Source: Jiang et al. 2024 (Mixtral), section 2.1.
        """
        idle = self.experts - self.experts_per_token
        return self.parameters - (self.layers + self.decoder_layers) * idle * (
            self._expert_parameters
        )


def _require_divisible(name: str, value: int, by_name: str, by: int) -> None:
    if value % by:
        near = max(by, round(value / by) * by)
        raise InvalidValueError(
            f"{name} ({value:,}) is not divisible by {by_name} ({by:,}).",
            f"The nearest {name} that is: {near:,}.",
        )
