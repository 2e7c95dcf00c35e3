"""FLOPs against PyTorch's counter on real modules, and against published counts."""

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import LabError
from enterprise_lab.shapes import TransformerShape

TOLERANCE = 0.005


def counted(model: torch.nn.Module, length: int, batch: int, backward: bool) -> int:
    tokens = torch.zeros((batch, length), dtype=torch.long, device="meta")
    counter = FlopCounterMode(display=False)
    with counter:
        output = model(tokens)
        if backward:
            scores = (x for x in output.values() if torch.is_tensor(x))
            sum(x.sum() for x in scores).backward()
    return counter.get_total_flops()


def bert(shape: TransformerShape) -> torch.nn.Module:
    config = transformers.BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.ffn,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        return transformers.BertForPreTraining(config)


def gpt2(shape: TransformerShape) -> torch.nn.Module:
    config = transformers.GPT2Config(
        n_embd=shape.hidden,
        n_layer=shape.layers,
        n_head=shape.heads,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        return transformers.GPT2LMHeadModel(config)


def llama(shape: TransformerShape) -> torch.nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        intermediate_size=shape.ffn,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        return transformers.LlamaForCausalLM(config)


@pytest.mark.parametrize(
    ("name", "build", "length"),
    [
        ("bert-base-uncased", bert, 128),
        ("bert-large-uncased", bert, 512),
        ("gpt2", gpt2, 1024),
        ("llama-3-8b", llama, 512),
    ],
)
def test_forward_matches_the_flop_counter(name, build, length):
    shape = catalog.model(name).shape
    mine = 2 * sum(estimate.forward_flops(shape, sequence_length=length).values())
    assert mine == pytest.approx(counted(build(shape), length, 2, False), rel=TOLERANCE)


@pytest.mark.parametrize(("name", "build"), [("bert-base-uncased", bert), ("gpt2", gpt2)])
def test_training_matches_the_flop_counter(name, build):
    shape = catalog.model(name).shape
    mine = 2 * sum(estimate.training_flops(shape, sequence_length=256).values())
    assert mine == pytest.approx(counted(build(shape), 256, 2, True), rel=TOLERANCE)


def test_nanogpt_forward_count():
    # karpathy/nanoGPT, transformer_sizing.ipynb: 291,648,307,200 a 1024-token sequence.
    flops = estimate.forward_flops(catalog.model("gpt2").shape, sequence_length=1024)
    assert sum(flops.values()) == 291_648_307_200


def test_rule_of_thumb_reproduces_gpt3_table_d1():
    # Brown et al. 2020, table D.1: 3.14e23 FLOPs for 174.6 billion parameters, 300 billion tokens.
    assert estimate.rule_of_thumb_flops(174.6e9, 300e9) == pytest.approx(3.14e23, rel=0.005)


def test_recomputation_follows_its_definition():
    shape = catalog.model("gpt2").shape
    forward = estimate.forward_flops(shape, sequence_length=1024)
    full = estimate.training_flops(shape, sequence_length=1024, recompute="full")
    selective = estimate.training_flops(shape, sequence_length=1024, recompute="selective")
    assert full["recomputation"] == sum(forward.values()) - forward["head"]
    assert selective["recomputation"] == forward["attention scores"]


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


@pytest.mark.parametrize(
    "arguments",
    [
        {"sequence_length": 0},
        {"sequence_length": -5},
        {"sequence_length": 10**12},
        {"sequence_length": 12.5},
        {"sequence_length": 513},
        {"sequence_length": 128, "predicted_share": -0.1},
        {"sequence_length": 128, "predicted_share": 1.5},
        {"sequence_length": 128, "causal": "half"},
        {"sequence_length": 128, "causal": "some"},
    ],
)
def test_what_cannot_be_is_refused(arguments):
    with pytest.raises(LabError):
        estimate.forward_flops(catalog.model("bert-base-uncased").shape, **arguments)
