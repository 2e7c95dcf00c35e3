"""FLOPs against PyTorch's counter on real modules, and against published counts."""

from functools import partial

import pytest
import real_modules as real
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.flops import forward_flops, layer_flops, training_flops
from enterprise_lab.estimate.trainable import LowRank
from enterprise_lab.shapes import TransformerShape, shape_from_hf_config

TOLERANCE = 0.005
WHOLE = {
    "bert": real.bert,
    "gpt2": real.gpt2,
    "llama with grouped queries": real.llama,
    "explicit head size": real.mistral,
    "experts": real.mixtral,
    "parallel block": real.falcon,
    "parallel block, two norms": lambda: real.falcon(
        new_decoder_architecture=True, num_kv_heads=2
    ),
    "embeddings narrower than the model": real.opt,
    "llama-3-8b": lambda: real.llama(
        vocab_size=128256, hidden_size=4096, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, intermediate_size=14336,
    ),
    "bert-large": lambda: real.bert(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("length", [128, 500])
def test_forward_and_training_match_the_flop_counter(name, length):
    module = WHOLE[name]()
    shape = shape_from_hf_config(module.config.to_dict())
    for backward, flops in ((False, forward_flops), (True, training_flops)):
        mine = 2 * sum(flops(shape, sequence_length=length).values())
        theirs = real.counted(lambda: module(real.tokens(2, length)), backward=backward)
        assert mine == pytest.approx(theirs, rel=TOLERANCE)


@pytest.mark.parametrize(("source", "target"), [(128, 128), (300, 40)])
def test_an_encoder_decoder_matches_the_flop_counter(source, target):
    module = real.t5()
    shape = shape_from_hf_config(module.config.to_dict())
    lengths = {"sequence_length": source, "target_length": target}
    for backward, flops in ((False, forward_flops), (True, training_flops)):
        theirs = real.counted(
            lambda: module(
                input_ids=real.tokens(1, source), decoder_input_ids=real.tokens(1, target)
            ),
            backward=backward,
        )
        assert sum(flops(shape, **lengths).values()) == pytest.approx(theirs, rel=TOLERANCE)


@pytest.mark.parametrize("image_size", [224, 176])
def test_resnet50_matches_the_flop_counter(image_size):
    module, shape = real.resnet50(), catalog.model("resnet50").shape
    image = torch.zeros(2, 3, image_size, image_size, device="meta")
    for backward, flops in ((False, forward_flops), (True, training_flops)):
        theirs = real.counted(lambda: module(image), backward=backward)
        mine = 2 * sum(flops(shape, sequence_length=0, image_size=image_size).values())
        assert mine == pytest.approx(theirs, rel=TOLERANCE)


def test_only_the_last_layer_of_resnet50_matches_the_flop_counter():
    module, shape = real.resnet50(), catalog.model("resnet50").shape
    module.resnet.requires_grad_(False)
    image = torch.zeros(1, 3, 224, 224, device="meta")
    mine = sum(training_flops(shape, trainable="head").values())
    theirs = real.counted(lambda: module(image), backward=True)
    assert mine == pytest.approx(theirs, rel=1e-6)


LLAMA = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "output": "o_proj"}
ALL = tuple(LLAMA)


@pytest.mark.parametrize(
    ("build", "targets", "names"),
    [
        (real.llama, ("query", "value"), ("q_proj", "v_proj")),
        (real.llama, ("key",), ("k_proj",)),
        (real.llama, ("output",), ("o_proj",)),
        (real.llama, ("mlp",), ("gate_proj", "up_proj", "down_proj")),
        (real.llama, (*ALL, "mlp"), (*LLAMA.values(), "gate_proj", "up_proj", "down_proj")),
        (real.mixtral, ("query", "value"), ("q_proj", "v_proj")),
        (real.bert, ("query", "value"), ("query", "value")),
        (lambda: real.t5(tie_word_embeddings=False), ("query", "value"), ("q", "v")),
    ],
)
def test_adapters_in_a_frozen_model_match_the_flop_counter(build, targets, names):
    module = build()
    shape = shape_from_hf_config(module.config.to_dict())
    real.adapt(module, 16, names)
    terms = training_flops(shape, sequence_length=128, trainable=LowRank(rank=16, targets=targets))
    inputs = {"input_ids": real.tokens(1, 128)}
    if shape.decoder_layers:
        inputs["decoder_input_ids"] = inputs["input_ids"]
    theirs = real.counted(lambda: module(**inputs), backward=True)
    assert sum(terms.values()) == pytest.approx(theirs, rel=0.001)
    assert terms["adapters"] > 0


@pytest.mark.parametrize("build", [real.bert, real.llama])
def test_a_trained_head_on_a_frozen_model_matches_the_flop_counter(build):
    module = build(tie_word_embeddings=False)
    shape = shape_from_hf_config(module.config.to_dict())
    module.base_model.requires_grad_(False)
    if shape.pooler:
        module.base_model.pooler.requires_grad_(True)
    mine = sum(training_flops(shape, sequence_length=128, trainable="head").values())
    theirs = real.counted(lambda: module(real.tokens(1, 128)), backward=True)
    assert mine == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(
    ("build", "layers"), [(real.gpt2, "transformer.h"), (real.bert, "bert.encoder.layer")]
)
def test_full_recomputation_matches_the_flop_counter(build, layers):
    module = build()
    shape = shape_from_hf_config(module.config.to_dict())
    for layer in module.get_submodule(layers):
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    mine = sum(training_flops(shape, sequence_length=256, recompute="full").values())
    mask = torch.zeros(1, 1, 256, 256, device="meta")
    with set_checkpoint_early_stop(False):
        theirs = real.counted(
            lambda: module(real.tokens(1, 256), attention_mask=mask, use_cache=False), backward=True
        )
    assert mine == pytest.approx(theirs, rel=TOLERANCE)


def test_nanogpt_forward_count():
    # karpathy/nanoGPT, transformer_sizing.ipynb: 291,648,307,200 a 1024-token sequence.
    flops = estimate.forward_flops(catalog.model("gpt2").shape, sequence_length=1024)
    assert sum(flops.values()) == 291_648_307_200


@pytest.mark.parametrize(
    ("parameters", "tokens", "flops"),
    # Brown et al. 2020, table D.1, to three digits. T5's rows count half of its parameters as
    # active; BERT-large has 355M there.
    [
        (0.5 * 60e6, 1e12, 1.80e20), (0.5 * 220e6, 1e12, 6.60e20), (0.5 * 770e6, 1e12, 2.31e21),
        (0.5 * 3e9, 1e12, 9.00e21), (0.5 * 11e9, 1e12, 3.30e22), (109e6, 250e9, 1.64e20),
        (355e6, 250e9, 5.33e20), (125e6, 2e12, 1.50e21), (355e6, 2e12, 4.26e21),
        (125e6, 300e9, 2.25e20), (356e6, 300e9, 6.41e20), (760e6, 300e9, 1.37e21),
        (1.32e9, 300e9, 2.38e21), (2.65e9, 300e9, 4.77e21), (6.66e9, 300e9, 1.20e22),
        (12.85e9, 300e9, 2.31e22), (174.6e9, 300e9, 3.14e23),
    ],
)  # fmt: skip
def test_rule_of_thumb_reproduces_gpt3_table_d1(parameters, tokens, flops):
    assert estimate.rule_of_thumb_flops(parameters, tokens) == pytest.approx(flops, rel=0.005)


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("gpt3-125m", 2.25e20), ("gpt3-350m", 6.41e20), ("gpt3-760m", 1.37e21),
        ("gpt3-xl", 2.38e21), ("gpt3-2.7b", 4.77e21), ("gpt3-6.7b", 1.20e22),
        ("gpt3-13b", 2.31e22), ("gpt-3-175b", 3.14e23),
    ],
)  # fmt: skip
def test_shapes_reproduce_gpt3_table_d1(name, flops):
    # The table counts parameters only, so all products less attention's scores; a parameter that
    # is in no product (positions, biases, norms) is at most 1.5 % of the smallest model.
    terms = training_flops(catalog.model(name).shape, sequence_length=2048)
    products = 300e9 / 2048 * (sum(terms.values()) - terms["attention scores"])
    assert products == pytest.approx(flops, rel=0.015)


def test_recomputation_follows_its_definition():
    shape = catalog.model("gpt2").shape
    forward = estimate.forward_flops(shape, sequence_length=1024)
    full = estimate.training_flops(shape, sequence_length=1024, recompute="full")
    selective = estimate.training_flops(shape, sequence_length=1024, recompute="selective")
    head_only = training_flops(shape, sequence_length=1024, recompute="full", trainable="head")
    assert full["recomputation"] == sum(forward.values()) - forward["head"]
    assert selective["recomputation"] == forward["attention scores"]
    assert head_only["recomputation"] == 0


@pytest.mark.parametrize("name", ["bert-base-uncased", "mixtral-8x7b", "t5-small", "resnet18"])
def test_layers_and_what_is_outside_them_make_the_whole(name):
    shape = catalog.model(name).shape
    length = 0 if shape.kind == "convolutional" else 64
    terms = training_flops(shape, sequence_length=length)
    layers = layer_flops(shape, sequence_length=length, training=True)
    inside = sum(sum(layer.values()) for layer in layers)
    outside = terms.get("pooler", 0) + terms.get("head", 0)
    assert inside + outside == sum(terms.values())


def test_the_first_layer_of_a_frozen_model_passes_nothing_back():
    shape = catalog.model("llama-3-8b").shape
    first, second, *_, last = layer_flops(
        shape, sequence_length=64, training=True, trainable=LowRank(targets=("mlp",))
    )
    assert second == last
    assert first["attention projections"] * 2 == second["attention projections"]
    assert first["mlp"] < second["mlp"]


shapes = st.builds(
    lambda layers, heads, groups, ratio, vocabulary, gated: TransformerShape(
        "decoder",
        layers=layers,
        hidden=64 * heads * groups,
        heads=heads * groups,
        kv_heads=heads,
        ffn=64 * ratio,
        vocabulary=vocabulary,
        gated_mlp=gated,
    ),
    st.integers(1, 96),
    st.integers(1, 16),
    st.integers(1, 8),
    st.integers(1, 512),
    st.integers(1, 300_000),
    st.booleans(),
)


@given(shape=shapes, length=st.integers(1, 8192))
def test_invariants(shape, length):
    forward = estimate.forward_flops(shape, sequence_length=length)
    half = estimate.forward_flops(shape, sequence_length=length, causal="half")
    double = estimate.forward_flops(shape, sequence_length=2 * length)
    training = estimate.training_flops(shape, sequence_length=length)
    assert sum(training.values()) == 3 * sum(forward.values())
    assert forward["attention scores"] == 2 * half["attention scores"]
    assert double["attention scores"] == 4 * forward["attention scores"]
    assert double["mlp"] == 2 * forward["mlp"]
    d, ups = shape.hidden, 2 if shape.gated_mlp else 1
    weights = shape.layers * (2 * d * (d + shape.kv_hidden) + (ups + 1) * d * shape.ffn)
    scores = 12 * shape.layers * length**2 * d
    assert sum(training.values()) == 6 * (weights + d * shape.vocabulary) * length + scores


@given(
    shape=shapes,
    length=st.integers(1, 4096),
    rank=st.integers(1, 64),
    targets=st.sets(
        st.sampled_from(["query", "key", "value", "output", "mlp"]), min_size=1
    ).map(tuple),
)  # fmt: skip
def test_frozen_weights_save_at_most_their_own_gradients(shape, length, rank, targets):
    forward = forward_flops(shape, sequence_length=length)
    whole = training_flops(shape, sequence_length=length)
    adapted = training_flops(
        shape, sequence_length=length, trainable=LowRank(rank=rank, targets=targets)
    )
    head = training_flops(shape, sequence_length=length, trainable="head")
    for term in forward:
        assert forward[term] <= head[term] <= adapted[term] <= whole[term]
    assert head["mlp"] == forward["mlp"]
    assert head["head"] == 2 * forward["head"]


BERT, GPT2 = "bert-base-uncased", "gpt2"


@pytest.mark.parametrize(
    ("name", "arguments", "named"),
    [
        (BERT, {"sequence_length": 0}, "sequence_length"),
        (BERT, {"sequence_length": -5}, "sequence_length"),
        (BERT, {"sequence_length": 10**12}, "sequence_length"),
        (BERT, {"sequence_length": 12.5}, "sequence_length"),
        (BERT, {"sequence_length": 513}, "512"),
        (BERT, {"sequence_length": 128, "predicted_share": -0.1}, "predicted_share"),
        (BERT, {"sequence_length": 128, "predicted_share": 1.5}, "predicted_share"),
        (BERT, {"sequence_length": 128, "causal": "half"}, "causal"),
        (BERT, {"sequence_length": 128, "causal": "some"}, "causal"),
        (BERT, {"sequence_length": 128, "recompute": "some"}, "recompute"),
        (BERT, {"sequence_length": 128, "trainable": "none"}, "trainable"),
        (GPT2, {"sequence_length": 128, "target_length": 128}, "target_length"),
        ("t5-small", {"sequence_length": 128, "target_length": 0}, "target_length"),
        ("resnet50", {"sequence_length": 128}, "sequence_length"),
        ("resnet50", {"causal": "half"}, "causal"),
        ("resnet50", {"image_size": 0}, "image_size"),
        ("resnet50", {"trainable": LowRank()}, "convolutional"),
    ],
)
def test_what_cannot_be_is_refused(name, arguments, named):
    with pytest.raises(LabError, match=named):
        training_flops(catalog.model(name).shape, **arguments)


def test_what_is_no_shape_is_refused():
    with pytest.raises(LabError, match="shape"):
        forward_flops("bert", sequence_length=128)
