"""Shapes from configs against the real modules, and configs that can't be read."""

import contextlib
import json

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from enterprise_lab.errors import LabError
from enterprise_lab.shapes import shape_from_hf_config

REAL = {
    "bert": ("Bert", "BertModel"),
    "roberta": ("Roberta", "RobertaModel"),
    "electra": ("Electra", "ElectraModel"),
    "distilbert": ("DistilBert", "DistilBertModel"),
    "gpt2": ("GPT2", "GPT2LMHeadModel"),
    "gptj": ("GPTJ", "GPTJForCausalLM"),
    "gpt_neox": ("GPTNeoX", "GPTNeoXForCausalLM"),
    "phi": ("Phi", "PhiForCausalLM"),
    "llama": ("Llama", "LlamaForCausalLM"),
    "mistral": ("Mistral", "MistralForCausalLM"),
    "mixtral": ("Mixtral", "MixtralForCausalLM"),
    "qwen2": ("Qwen2", "Qwen2ForCausalLM"),
    "gemma": ("Gemma", "GemmaForCausalLM"),
    "bloom": ("Bloom", "BloomForCausalLM"),
    "mpt": ("Mpt", "MptForCausalLM"),
    "opt": ("OPT", "OPTForCausalLM"),
    "falcon": ("Falcon", "FalconForCausalLM"),
    "t5": ("T5", "T5ForConditionalGeneration"),
}


def parameters_of_the_real_model(config) -> int:
    with torch.device("meta"):
        module = getattr(transformers, REAL[config.model_type][1])(config)
    return sum(p.numel() for p in module.parameters())


def config_of(model_type: str, **sizes):
    return getattr(transformers, f"{REAL[model_type][0]}Config")(**sizes)


@pytest.mark.parametrize("model_type", REAL)
def test_the_default_config_of_every_type_is_exact(model_type):
    config = config_of(model_type)
    shape = shape_from_hf_config(json.loads(config.to_json_string(use_diff=False)))
    assert shape.parameters == parameters_of_the_real_model(config)


def llama_like(draw, **more):
    groups, kv = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 3))
    return {
        "num_hidden_layers": draw(st.integers(1, 3)),
        "hidden_size": 16 * groups * kv,
        "num_attention_heads": groups * kv,
        "num_key_value_heads": kv,
        "intermediate_size": draw(st.integers(1, 70)),
        "vocab_size": draw(st.integers(1, 200)),
        "tie_word_embeddings": draw(st.booleans()),
        "pad_token_id": None,
    } | more


@st.composite
def configs(draw):
    model_type = draw(st.sampled_from(sorted(REAL)))
    layers, heads, width = draw(st.integers(1, 3)), draw(st.integers(1, 4)), 8
    hidden = heads * width
    common = {"vocab_size": draw(st.integers(2, 200)), "pad_token_id": None}
    tied = {"tie_word_embeddings": draw(st.booleans())}
    ffn = draw(st.integers(1, 70))
    bert = {
        "num_hidden_layers": layers, "hidden_size": hidden, "num_attention_heads": heads,
        "intermediate_size": ffn, "max_position_embeddings": draw(st.integers(1, 50)),
    }  # fmt: skip
    gpt2 = {
        "n_layer": layers, "n_head": heads, "n_embd": hidden, "n_positions": 40,
        "n_inner": draw(st.sampled_from([None, 24])),
    }  # fmt: skip
    match model_type:
        case "bert" | "roberta":
            sizes = bert | common | {"type_vocab_size": draw(st.integers(1, 3))}
        case "electra":
            sizes = bert | common | {"embedding_size": draw(st.sampled_from([hidden, 12]))}
        case "distilbert":
            sizes = common | {"n_layers": layers, "n_heads": heads, "dim": hidden,
                              "hidden_dim": ffn}  # fmt: skip
        case "gpt2":
            sizes = gpt2 | common | tied
        case "gptj":
            sizes = gpt2 | common | {"rotary_dim": 4, "tie_word_embeddings": False}
        case "gpt_neox":
            sizes = bert | common | tied | {"attention_bias": draw(st.booleans())}
        case "phi":
            sizes = llama_like(draw) | {"tie_word_embeddings": False}
        case "llama":
            sizes = llama_like(
                draw, attention_bias=draw(st.booleans()), mlp_bias=draw(st.booleans())
            )
        case "mixtral":
            experts = draw(st.integers(1, 4))
            sizes = llama_like(
                draw, num_local_experts=experts, num_experts_per_tok=draw(st.integers(1, experts))
            )
        case "mistral" | "gemma":
            sizes = llama_like(draw, head_dim=draw(st.sampled_from([4, 32])))
        case "qwen2":
            sizes = llama_like(draw)
        case "bloom":
            sizes = common | tied | {"n_layer": layers, "n_head": heads, "hidden_size": hidden}
        case "mpt":
            sizes = common | tied | {"n_layers": layers, "n_heads": heads, "d_model": hidden}
        case "opt":
            sizes = common | tied | {
                "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": hidden,
                "ffn_dim": ffn, "max_position_embeddings": 30,
                "word_embed_proj_dim": draw(st.sampled_from([hidden, 12])),
                "do_layer_norm_before": draw(st.booleans()), "enable_bias": draw(st.booleans()),
            }  # fmt: skip
        case "falcon":
            sizes = common | tied | {
                "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": hidden,
                "ffn_hidden_size": ffn, "num_kv_heads": 1 if heads % 2 else heads // 2,
                "new_decoder_architecture": draw(st.booleans()),
                "parallel_attn": draw(st.booleans()), "bias": draw(st.booleans()),
                "multi_query": True,
            }  # fmt: skip
        case "t5":
            sizes = common | tied | {
                "num_layers": layers, "num_decoder_layers": draw(st.integers(1, 3)),
                "num_heads": heads, "d_model": 24, "d_kv": draw(st.integers(1, 9)), "d_ff": ffn,
                "feed_forward_proj": draw(st.sampled_from(["relu", "gated-gelu"])),
            }  # fmt: skip
    return config_of(model_type, **sizes)


@settings(max_examples=60)
@given(configs())
def test_any_config_is_exact(config):
    shape = shape_from_hf_config(config.to_dict())
    assert shape.parameters == parameters_of_the_real_model(config)


BERT = {
    "model_type": "bert", "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "vocab_size": 30522,
}  # fmt: skip
LLAMA = BERT | {"model_type": "llama"}


def test_a_config_of_sizes_only_takes_the_documented_defaults():
    assert shape_from_hf_config(BERT).parameters == 109_482_240


@pytest.mark.parametrize("key", BERT)
def test_a_missing_key_is_named(key):
    with pytest.raises(LabError, match=key):
        shape_from_hf_config({k: v for k, v in BERT.items() if k != key})


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (None, "dict"),
        ("bert", "dict"),
        ([], "dict"),
        ({}, "model_type"),
        ({"model_type": "bret"}, "bert"),
        ({"model_type": "lama"}, "llama"),
        ({"model_type": "vit"}, "distilbert.*falcon|falcon.*distilbert"),
        ({"model_type": ["bert"]}, "model_type"),
        (BERT | {"hidden_size": "768"}, "hidden_size"),
        (BERT | {"hidden_size": -768}, "hidden_size"),
        (BERT | {"hidden_size": 770}, "768"),
        (LLAMA | {"max_position_embeddings": "x"}, "max_position_embeddings"),
        (LLAMA | {"max_position_embeddings": -1}, "max_position_embeddings"),
        (BERT | {"add_cross_attention": True}, "add_cross_attention"),
        (BERT | {"add_cross_attention": "yes"}, "add_cross_attention"),
        ({"model_type": "mpt", "d_model": 8, "n_heads": 1, "attn_config": 3}, "attn_config"),
    ],
)
def test_what_is_no_config_is_refused_by_name(config, named):
    with pytest.raises(LabError, match=named):
        shape_from_hf_config(config)


@given(
    st.fixed_dictionaries(
        {"model_type": st.sampled_from(sorted(REAL))},
        optional={
            key: st.one_of(st.none(), st.integers(-3, 100), st.text(max_size=3), st.booleans())
            for key in (*BERT, "n_embd", "n_head", "n_layer", "attn_config", "num_local_experts")
            if key != "model_type"
        },
    )
)
def test_any_dict_gives_a_shape_or_a_lab_error(config):
    with contextlib.suppress(LabError):
        assert shape_from_hf_config(config).parameters > 0
