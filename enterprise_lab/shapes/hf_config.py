"""Shapes from the config.json of Hugging Face models, without importing transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from enterprise_lab.errors import InvalidValueError, LabError, UnknownNameError
from enterprise_lab.shapes.config_keys import ConfigKeys
from enterprise_lab.shapes.transformer import TransformerShape


def shape_from_hf_config(config: Mapping[str, Any]) -> TransformerShape:
    """Return the shape that a Hugging Face config.json, as a dict, describes.

    An encoder is the bare model with its pooler where it has one (BertModel), a decoder the one
    with the language-model head (GPT2LMHeadModel), as is T5. Keys that are missing and have a
    default in their model's documentation take it.

    Raises LabError for what isn't a dict, a model type not known here, and a size that is missing
    or can't be.
    """
    if not isinstance(config, Mapping):
        raise InvalidValueError(
            f"A config is a dict, not {type(config).__name__}.",
            "Give the object in the model's config.json, read as JSON.",
        )
    model_type = config.get("model_type")
    if model_type is None:
        raise LabError(
            "This config has no model_type.", f"Add it, one of: {', '.join(sorted(_READERS))}."
        )
    if not isinstance(model_type, str) or model_type not in _READERS:
        raise UnknownNameError("model_type", str(model_type), _READERS)
    keys = ConfigKeys(config, model_type)
    keys.size("max_position_embeddings", default=1)  # Of no use to rotary positions, but no less.
    return _READERS[model_type](keys)


def _bert(config: ConfigKeys) -> TransformerShape:
    config.refuse("add_cross_attention")
    hidden = config.size("hidden_size")
    return TransformerShape(
        "encoder",
        layers=config.size("num_hidden_layers"),
        hidden=hidden,
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_attention_heads"),
        ffn=config.size("intermediate_size"),
        vocabulary=config.size("vocab_size"),
        max_positions=config.size("max_position_embeddings", default=512),
        token_types=config.size("type_vocab_size", default=2),
        pooler=config.model_type != "electra",
        embedding_size=config.size("embedding_size", default=hidden),
    )


def _distilbert(config: ConfigKeys) -> TransformerShape:
    return TransformerShape(
        "encoder",
        layers=config.size("n_layers"),
        hidden=config.size("dim"),
        heads=config.size("n_heads"),
        kv_heads=config.size("n_heads"),
        ffn=config.size("hidden_dim"),
        vocabulary=config.size("vocab_size"),
        max_positions=config.size("max_position_embeddings", default=512),
    )


def _gpt2(config: ConfigKeys) -> TransformerShape:
    config.refuse("add_cross_attention")
    hidden = config.size("n_embd")
    return TransformerShape(
        "decoder",
        layers=config.size("n_layer"),
        hidden=hidden,
        heads=config.size("n_head"),
        kv_heads=config.size("n_head"),
        ffn=config.size("n_inner", default=4 * hidden),
        vocabulary=config.size("vocab_size"),
        max_positions=config.size("n_positions", "n_ctx", default=1024),
        tied_embeddings=config.flag("tie_word_embeddings", True),
    )


def _gptj(config: ConfigKeys) -> TransformerShape:
    hidden = config.size("n_embd")
    return TransformerShape(
        "decoder",
        layers=config.size("n_layer"),
        hidden=hidden,
        heads=config.size("n_head"),
        kv_heads=config.size("n_head"),
        ffn=config.size("n_inner", default=4 * hidden),
        vocabulary=config.size("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", False),
        attention_bias="none",
        head_bias=True,
        norms_per_layer=1,
        parallel_block=True,
    )


def _gpt_neox(config: ConfigKeys) -> TransformerShape:
    return TransformerShape(
        "decoder",
        layers=config.size("num_hidden_layers"),
        hidden=config.size("hidden_size"),
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_attention_heads"),
        ffn=config.size("intermediate_size"),
        vocabulary=config.size("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", False),
        attention_bias="all" if config.flag("attention_bias", True) else "none",
        parallel_block=config.flag("use_parallel_residual", True),
    )


def _phi(config: ConfigKeys) -> TransformerShape:
    config.refuse("qk_layernorm")
    heads = config.size("num_attention_heads")
    return TransformerShape(
        "decoder",
        layers=config.size("num_hidden_layers"),
        hidden=config.size("hidden_size"),
        heads=heads,
        kv_heads=config.size("num_key_value_heads", default=heads),
        ffn=config.size("intermediate_size"),
        vocabulary=config.size("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", False),
        head_bias=True,
        norms_per_layer=1,
        parallel_block=True,
    )


def _llama(config: ConfigKeys) -> TransformerShape:
    heads = config.size("num_attention_heads")
    biases: Literal["none", "all"] = "all" if config.flag("attention_bias", False) else "none"
    experts = config.model_type == "mixtral"
    return TransformerShape(
        "decoder",
        layers=config.size("num_hidden_layers"),
        hidden=config.size("hidden_size"),
        heads=heads,
        kv_heads=config.size("num_key_value_heads", default=heads),
        ffn=config.size("intermediate_size"),
        vocabulary=config.size("vocab_size"),
        gated_mlp=True,
        tied_embeddings=config.flag("tie_word_embeddings", config.model_type == "gemma"),
        bias=config.flag("mlp_bias", False),
        norm="rmsnorm",
        head_dim=config.size("head_dim", default=0),
        attention_bias="qkv" if config.model_type == "qwen2" else biases,
        experts=config.size("num_local_experts") if experts else 0,
        experts_per_token=config.size("num_experts_per_tok") if experts else 0,
    )


def _bloom(config: ConfigKeys) -> TransformerShape:
    hidden = config.size("hidden_size", "n_embed")
    heads = config.size("n_head", "num_attention_heads")
    return TransformerShape(
        "decoder",
        layers=config.size("n_layer", "num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        ffn=4 * hidden,
        vocabulary=config.size("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", True),
        embedding_norm=True,
    )


def _mpt(config: ConfigKeys) -> TransformerShape:
    hidden, heads = config.size("d_model"), config.size("n_heads")
    attention = config.part("attn_config")
    learned = config.flag("learned_pos_emb", True) and not attention.flag("alibi", True)
    attention.refuse("qk_ln")
    return TransformerShape(
        "decoder",
        layers=config.size("n_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=attention.size("kv_n_heads", default=heads),
        ffn=config.size("expansion_ratio", default=4) * hidden,
        vocabulary=config.size("vocab_size"),
        max_positions=config.size("max_seq_len") if learned else 0,
        tied_embeddings=config.flag("tie_word_embeddings", True),
        bias=not config.flag("no_bias", True),
    )


def _opt(config: ConfigKeys) -> TransformerShape:
    hidden = config.size("hidden_size")
    if not config.flag("layer_norm_elementwise_affine", True):
        raise LabError(
            "OPT models whose layer norms have no weights are not estimated.",
            "Give a config with layer_norm_elementwise_affine true.",
        )
    before = config.flag("do_layer_norm_before", True)
    return TransformerShape(
        "decoder",
        layers=config.size("num_hidden_layers"),
        hidden=hidden,
        heads=config.size("num_attention_heads"),
        kv_heads=config.size("num_attention_heads"),
        ffn=config.size("ffn_dim"),
        vocabulary=config.size("vocab_size"),
        max_positions=config.size("max_position_embeddings") + 2,
        tied_embeddings=config.flag("tie_word_embeddings", True),
        bias=config.flag("enable_bias", True),
        norm_bias=True,
        final_norm=before and not config.flag("_remove_final_layer_norm", False),
        embedding_size=config.size("word_embed_proj_dim", default=hidden),
    )


def _falcon(config: ConfigKeys) -> TransformerShape:
    hidden = config.size("hidden_size")
    heads = config.size("num_attention_heads", "n_head")
    kv_heads = config.size("num_kv_heads", "n_head_kv", default=heads)
    new = config.flag("new_decoder_architecture", False)
    parallel = config.flag("parallel_attn", True)
    norms = config.size("num_ln_in_parallel_attn", default=2 if new else 1)
    return TransformerShape(
        "decoder",
        layers=config.size("num_hidden_layers", "n_layer"),
        hidden=hidden,
        heads=heads,
        kv_heads=1 if config.flag("multi_query", True) and not new else kv_heads,
        ffn=config.size("ffn_hidden_size", default=4 * hidden),
        vocabulary=config.size("vocab_size"),
        tied_embeddings=config.flag("tie_word_embeddings", True),
        bias=config.flag("bias", False),
        norm_bias=True,
        norms_per_layer=norms if parallel else 2,
        parallel_block=parallel,
    )


def _t5(config: ConfigKeys) -> TransformerShape:
    layers = config.size("num_layers")
    return TransformerShape(
        "encoder-decoder",
        layers=layers,
        decoder_layers=config.size("num_decoder_layers", default=layers),
        hidden=config.size("d_model"),
        heads=config.size("num_heads"),
        kv_heads=config.size("num_heads"),
        head_dim=config.size("d_kv"),
        ffn=config.size("d_ff"),
        vocabulary=config.size("vocab_size"),
        gated_mlp=config.text("feed_forward_proj", "relu").startswith("gated"),
        tied_embeddings=config.flag("tie_word_embeddings", True),
        bias=False,
        norm="rmsnorm",
        relative_buckets=config.size("relative_attention_num_buckets", default=32),
    )


_READERS: dict[str, Callable[[ConfigKeys], TransformerShape]] = {
    "bert": _bert,
    "roberta": _bert,
    "electra": _bert,
    "distilbert": _distilbert,
    "gpt2": _gpt2,
    "gptj": _gptj,
    "gpt_neox": _gpt_neox,
    "phi": _phi,
    "llama": _llama,
    "mistral": _llama,
    "mixtral": _llama,
    "qwen2": _llama,
    "gemma": _llama,
    "bloom": _bloom,
    "mpt": _mpt,
    "opt": _opt,
    "falcon": _falcon,
    "t5": _t5,
}
