"""Parameter counts, against their sources and against real models without weights."""

import pytest

from enterprise_lab import catalog

VERIFIED = [model for model in catalog.models() if not model.unverified]


@pytest.mark.parametrize("model", VERIFIED, ids=lambda model: model.name)
def test_counts_equal_the_published_ones_to_the_integer(model):
    assert model.shape.parameters == model.parameters_published


def test_recalled_counts_agree_too_but_for_gpt3_which_is_rounded():
    recalled = [model for model in catalog.models() if model.unverified]
    differing = [m for m in recalled if m.shape.parameters != m.parameters_published]
    assert [m.name for m in differing] == ["gpt-3-175b"]
    assert differing[0].shape.parameters == pytest.approx(175e9, rel=0.003)


@pytest.mark.parametrize(
    "name",
    [
        "bert-base-uncased", "bert-base-cased", "bert-large-uncased",
        "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl",
        "llama-7b", "llama-13b", "llama-3-8b",
    ],
)  # fmt: skip
def test_counts_equal_those_of_a_real_model(name):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    shape = catalog.model(name).shape
    if name.startswith("bert"):
        config = transformers.BertConfig(
            vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, intermediate_size=shape.ffn,
        )  # fmt: skip
        build = transformers.BertModel
    elif name.startswith("gpt2"):
        config = transformers.GPT2Config(
            n_embd=shape.hidden, n_layer=shape.layers, n_head=shape.heads
        )
        build = transformers.GPT2LMHeadModel
    else:
        config = transformers.LlamaConfig(
            vocab_size=shape.vocabulary, hidden_size=shape.hidden, num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
            intermediate_size=shape.ffn, tie_word_embeddings=False,
        )  # fmt: skip
        build = transformers.LlamaForCausalLM
    with torch.device("meta"):
        real = build(config)
    assert shape.parameters == sum(p.numel() for p in real.parameters())


def test_models_are_filtered_by_kind_and_text():
    assert {m.shape.kind for m in catalog.models(kind="encoder")} == {"encoder"}
    assert {m.name for m in catalog.models("llama 3")} >= {"llama-3-8b", "llama-3-70b"}
