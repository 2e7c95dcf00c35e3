"""Parameter counts, against their sources and against real models without weights."""

from dataclasses import replace

import pytest

from enterprise_lab import catalog

VERIFIED = [model for model in catalog.models() if not model.unverified]


@pytest.mark.parametrize("model", VERIFIED, ids=lambda model: model.name)
def test_counts_equal_the_published_ones_to_the_integer(model):
    assert model.shape.parameters == model.parameters_published


ROUNDED = {
    "gpt-3-175b", "gpt3-125m", "gpt3-350m", "gpt3-760m", "gpt3-xl", "gpt3-2.7b", "gpt3-6.7b",
    "gpt3-13b", "mt-nlg-530b",
}  # fmt: skip


def test_recalled_counts_agree_too_but_for_those_published_rounded():
    recalled = [model for model in catalog.models() if model.unverified]
    differing = [m for m in recalled if m.shape.parameters != m.parameters_published]
    assert {m.name for m in differing} == ROUNDED
    assert all(m.shape.parameters == pytest.approx(m.parameters_published, rel=0.0034)
               for m in differing)  # fmt: skip


def test_pythia_without_its_output_head_is_what_the_source_counts():
    counts = {
        name: shape.parameters - shape.parameter_terms["head"]
        for name in ("pythia-1.4b", "pythia-12b")
        for shape in [catalog.model(name).shape]
    }
    assert counts == {"pythia-1.4b": 1_311_625_216, "pythia-12b": 11_586_549_760}


@pytest.mark.parametrize("length", [512, 8192, 65536])
def test_mpt_has_as_many_learned_positions_as_its_sequence_is_long(length):
    # mosaicml/llm-foundry, scripts/train/benchmarking/README.md, NumParams of MPT-7b.
    published = {512: 6_652_567_552, 8192: 6_684_024_832, 65536: 6_918_905_856}
    shape = replace(catalog.model("mpt-7b").shape, max_positions=length)
    assert shape.parameters == published[length]


def test_active_parameters_of_mixtral():
    # Jiang et al. 2024, section 1: 47B parameters, of which 13B are active.
    shape = catalog.model("mixtral-8x7b").shape
    assert round(shape.parameters / 1e9) == 47
    assert round(shape.active_parameters / 1e9) == 13


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
    for kind in ("encoder", "decoder", "encoder-decoder", "convolutional"):
        assert {m.shape.kind for m in catalog.models(kind=kind)} == {kind}
    assert {m.name for m in catalog.models("llama 3")} >= {"llama-3-8b", "llama-3-70b"}
