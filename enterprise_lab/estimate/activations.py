"""Bytes of activations that a Transformer keeps for the backward pass."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from enterprise_lab.errors import (
    InvalidValueError,
    require_flag,
    require_kind,
    require_share,
    require_whole,
)
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE
from enterprise_lab.estimate.plan import LARGEST_BATCH, RECOMPUTE, Recompute
from enterprise_lab.estimate.states import compute_bytes
from enterprise_lab.estimate.trainable import PROJECTIONS, LowRank, Trainable
from enterprise_lab.shapes import TransformerShape


@dataclass(frozen=True)
class Implementation:
    """What an implementation keeps besides the inputs of its operations.

    The default is one fused kernel an operation, as the closed forms of Korthikanti et al. 2022
    assume.
    """

    written_out_norms: bool = False
    """RMS norms in elementary operations also keep an fp32 copy of their input and the result."""
    uncast_norm_inputs: bool = False
    """And the input as it came."""
    written_out_gelu: bool = False
    """GELU in elementary operations keeps three more tensors of the feed-forward width."""
    repeated_keys: bool = False
    """Grouped keys and values are repeated to every head before unfused attention."""
    fp32_softmax: bool = False
    """Unfused attention keeps its probabilities in fp32 too."""
    fp32_norms: bool = False
    """Norms keep fp32 inputs, as under PyTorch's autocast."""
    own_casts: bool = False
    """Weights stay in fp32; each product casts them and its input, and keeps the copies."""
    relu: bool = False
    """The feed-forward part needs its activation's output only."""
    inner_dropout: bool = False
    """It also drops within."""
    mask_bytes: int = 1
    """Bytes of an element of a dropout mask; PyTorch keeps a CPU's in the activations' type."""
    fp32_logits: bool = True
    """The loss is computed in fp32."""
    loss_copies: int = 0
    """Buffers of the logits' size besides the one kept, at the loss; fused ones work in place."""
    optimizer_copies: int = 0
    """Buffers of the largest tensor's size that an unfused optimizer makes in its step."""

    @classmethod
    def of_transformers(
        cls, shape: TransformerShape, *, activation: str | None = None
    ) -> Implementation:
        """Return what Hugging Face's modules keep, as written: without a compiler.

        Theirs of the LLaMA family write out norms and upcast the softmax; encoders compute the
        loss in the model's precision, and T5 all the rest too. `activation` is what their config
        calls it, of which "gelu_new" is written out; None takes the family's usual one: that of
        GPT-2 for decoders, ReLU for T5.
        """
        modern, both = shape.norm == "rmsnorm", shape.kind == "encoder-decoder"
        if activation is None and not shape.gated_mlp:
            activation = "relu" if both else "gelu_new" if shape.kind == "decoder" else "gelu"
        return cls(
            written_out_norms=modern,
            uncast_norm_inputs=modern and both,
            written_out_gelu=activation == "gelu_new",
            repeated_keys=shape.kv_heads < shape.heads,
            fp32_softmax=modern and not both,
            relu=activation == "relu",
            inner_dropout=both,
            fp32_logits=shape.kind == "decoder",
            loss_copies=2,
            optimizer_copies=2,
        )

    @classmethod
    def of_trainer(
        cls, shape: TransformerShape, precision: str, *, processor: bool = False
    ) -> Implementation:
        """Return what Hugging Face's modules keep under its Trainer.

        That trains in 16 bits by autocast over fp32 weights, with a fused optimizer. `processor`
        is whether it runs on one, where PyTorch's dropout masks are of the activations' type.
        """
        element = compute_bytes(precision)
        autocast = element < 4
        return replace(
            cls.of_transformers(shape),
            fp32_norms=autocast,
            fp32_softmax=autocast,
            own_casts=autocast,
            mask_bytes=element if processor else 1,
            optimizer_copies=0,
        )


FUSED = Implementation()


@dataclass(frozen=True)
class LayerActivations:
    """Bytes one token leaves in one layer; `scores` for each key it attends to.

    What is `shared` is divided by tensor parallelism, what is `whole` by sequence parallelism only
    (Korthikanti et al. 2022, sections 4.2.1 and 4.2.2).
    """

    layer_input: float
    attention_whole: float
    attention_shared: float
    mlp_whole: float
    mlp_shared: float
    norms: float
    unfused: float
    """Keys and values, for attention that makes whole score matrices."""
    flash: float
    """Keys, values, output and the logarithm of each softmax's sum, for flash attention."""
    scores: float
    gradients_whole: float
    """Alive at once on the way back through the widest operation, besides what was kept."""
    frozen_whole: float
    """The same on the way through a frozen layer, as PyTorch's profiler tells of a BERT: the
    embeddings, which the caller holds, and the inputs of the layer's two parts. Under autocast five
    tensors in fp32, as what is added and normalised is cast, and two in 16 bits."""
    gradients_shared: float
    score_gradients: float
    embedding: float
    """Once, where tokens become vectors: a dropout mask, and a norm's input in encoders."""

    @property
    def whole(self) -> float:
        """All that tensor parallelism leaves whole."""
        return self.attention_whole + self.mlp_whole + self.norms

    @property
    def shared(self) -> float:
        """All that tensor parallelism divides, but what depends on the kind of attention."""
        return self.attention_shared + self.mlp_shared


@dataclass(frozen=True)
class HeadActivations:
    """Bytes one predicted token leaves in the output head; logits are divided by tensors."""

    whole: float
    logits: float
    temporary_logits: float


def trains_with_dropout(shape: TransformerShape) -> bool:
    """Whether models of this kind are trained with dropout.

    The generation with layer norms and ungated MLPs (BERT, GPT-2, GPT-3, T5's first version) is;
    the LLaMA generation is not.
    """
    return shape.norm == "layernorm" and not shape.gated_mlp


def layer_activations(
    shape: TransformerShape,
    *,
    precision: str,
    dropout: bool,
    implementation: Implementation = FUSED,
    capacity_factor: float = 1.0,
    trainable: Trainable = "all",
    attentions: float | None = None,
) -> LayerActivations:
    """Bytes a token leaves in a layer of `attentions` attention blocks.

    None averages over layers with and without cross attention.

    A linear layer keeps its input for the gradient of its weights, so a frozen one keeps none
    unless an adapter reads the same; all else is needed to pass the gradient on. Each of a
    token's experts keeps its own input and output, `capacity_factor` times (Fedus et al. 2021,
    section 2.2). Source: Korthikanti et al. 2022, section 4.1.
    """
    element = compute_bytes(precision)
    trained: Collection[str] = trainable.targets if isinstance(trainable, LowRank) else PROJECTIONS
    d, q, kv, ffn = shape.hidden, shape.query_hidden, shape.kv_hidden, shape.ffn
    if attentions is None:
        attentions = 1 + shape.decoder_layers / (shape.layers + shape.decoder_layers)
    it = implementation
    mask = it.mask_bytes if dropout else 0
    reads = bool({"query", "key", "value"} & set(trained))
    one_input = shape.parallel_block and shape.norms_per_layer < 2
    attention_input = element * d * (reads or (one_input and "mlp" in trained))
    if it.own_casts:
        attention_input *= len({"query", "key", "value"} & set(trained))
    mlp_input = element * d * ("mlp" in trained and not one_input)
    keys = q if it.repeated_keys else kv
    output_input = element * q * ("output" in trained)

    second_input = "mlp" in trained and not (it.relu and not (it.inner_dropout and dropout))
    kept = (3 if shape.gated_mlp else 1) + 3 * it.written_out_gelu + second_input
    experts = capacity_factor * shape.experts_per_token
    mlp_hidden = (element * kept + mask * it.inner_dropout) * ffn * (experts or 1)
    routed = element * 2 * d * experts

    norm = 4 if it.fp32_norms else element
    if it.written_out_norms and shape.norm == "rmsnorm":
        uncast = it.uncast_norm_inputs and element < 4
        norm = 4 + element * ((trainable == "all") + uncast)
    norms = shape.norms_per_layer + attentions - 1
    softmax = element + 4 * (it.fp32_softmax and element < 4)
    dropped = (element + it.mask_bytes) if dropout else 0
    normed = shape.kind == "encoder" if shape.embedding_norm is None else shape.embedding_norm
    rank = element * trainable.rank * len(trained) if isinstance(trainable, LowRank) else 0
    return LayerActivations(
        layer_input=element * d,
        attention_whole=attentions * (attention_input + mask * d) + rank,
        attention_shared=attentions * (element * q + output_input),
        mlp_whole=mlp_input + mask * d + routed,
        mlp_shared=mlp_hidden,
        norms=norms * norm * d,
        scores=attentions * shape.heads * (softmax + dropped),
        unfused=attentions * element * 2 * keys,
        flash=attentions * (element * (q + 2 * kv) - output_input + 4 * shape.heads),
        gradients_whole=2 * element * d,
        frozen_whole=(4 * 5 + element * 2 if it.own_casts else element * 3) * d,
        gradients_shared=element * (3 if shape.gated_mlp else 2) * ffn * (experts or 1),
        score_gradients=shape.heads * (2 * element + (4 if softmax > element else 0)),
        embedding=(trainable == "all") * (mask + element * normed) * d,
    )


def head_activations(
    shape: TransformerShape, *, precision: str, implementation: Implementation = FUSED,
    trainable: Trainable = "all",
) -> HeadActivations:  # fmt: skip
    """Bytes a predicted token leaves in the output head and its loss.

    A decoder's head normalises and multiplies; an encoder's masked-language-model head also
    transforms first; what is frozen keeps no input of its products. The loss keeps fp32 logits
    (Korthikanti et al. 2022, section 4.3).
    """
    element, it = compute_bytes(precision), implementation
    logits = (4 if it.fp32_logits else element) * shape.vocabulary
    kept = 4 if shape.kind == "encoder" else 2
    if isinstance(trainable, LowRank):
        kept //= 2
    elif trainable == "head":
        kept = 1
    copies = it.loss_copies * logits if it.loss_copies else element * shape.vocabulary
    return HeadActivations(
        whole=element * kept * shape.hidden,
        logits=logits,
        temporary_logits=copies,
    )


def activation_bytes(
    shape: TransformerShape,
    *,
    sequence_length: int,
    micro_batch: int,
    precision: str = "fp16",
    recompute: Recompute = "none",
    predicted_share: float = 1.0,
    dropout: bool = True,
    implementation: Implementation = FUSED,
) -> dict[str, int]:
    """Bytes of activations kept for backward on one device, by part.

    Sums to s b h (34 + 5 a s / h) a layer for an ordinary layer in 16 bits, to s b h 34 with
    selective recomputation (the scores are made again) and to 2 s b h with full recomputation
    (only each layer's input is kept). The output head keeps fp32 logits of the predicted
    positions. Source: Korthikanti et al. 2022, sections 4.1 to 4.3, equations 1, 2 and 6.
    """
    require_kind("shape", shape, TransformerShape, "catalog.model('bert-base-uncased').shape")
    sequence_length = require_whole("sequence_length", sequence_length, LONGEST_SEQUENCE)
    micro_batch = require_whole("micro_batch", micro_batch, LARGEST_BATCH)
    require_share(predicted_share=predicted_share)
    require_flag(dropout=dropout)
    if recompute not in RECOMPUTE:
        raise InvalidValueError(
            f"recompute must be none, selective or full, not {recompute!r}.",
            "Give one of the three.",
        )
    it = layer_activations(
        shape, precision=precision, dropout=dropout, implementation=implementation
    )
    head = head_activations(shape, precision=precision, implementation=implementation)
    if recompute == "full":
        layer = {"layer inputs": it.layer_input}
    else:
        layer = {
            "attention": it.attention_whole + it.attention_shared + it.unfused,
            "scores": it.scores * sequence_length,
            "mlp": it.mlp_whole + it.mlp_shared,
            "norms": it.norms,
        }
        if recompute == "selective":
            del layer["scores"]
    layers = shape.layers + shape.decoder_layers
    parts = {name: layers * size for name, size in layer.items()}
    parts["head"] = predicted_share * (head.whole + head.logits)
    tokens = sequence_length * micro_batch
    return {name: round(tokens * size) for name, size in parts.items()}
