"""Activations against the closed forms of Korthikanti et al. and what PyTorch really saves."""

from dataclasses import replace

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.activations import (
    FUSED,
    Implementation,
    activation_bytes,
    layer_activations,
    trains_with_dropout,
)
from enterprise_lab.shapes import TransformerShape, shape_from_hf_config


def ordinary(layers: int, heads: int) -> TransformerShape:
    hidden = 64 * heads
    return TransformerShape(
        "decoder", layers=layers, hidden=hidden, heads=heads, kv_heads=heads, ffn=4 * hidden,
        vocabulary=1,
    )  # fmt: skip


@given(
    layers=st.integers(1, 96),
    heads=st.integers(1, 96),
    length=st.integers(1, 4096),
    micro_batch=st.integers(1, 64),
)
def test_activations_are_the_closed_form(layers, heads, length, micro_batch):
    shape = ordinary(layers, heads)

    def layers_only(recompute):
        parts = activation_bytes(
            shape, sequence_length=length, micro_batch=micro_batch, recompute=recompute
        )
        return sum(parts.values()) - parts["head"]

    sbh = length * micro_batch * shape.hidden
    assert layers_only("none") == layers * (34 * sbh + 5 * heads * length**2 * micro_batch)
    assert layers_only("selective") == layers * 34 * sbh
    assert layers_only("full") == layers * 2 * sbh


@given(length=st.integers(1, 4096), vocabulary=st.integers(1, 100_000))
def test_the_head_is_the_closed_form(length, vocabulary):
    # Korthikanti et al. 2022, section 4.3: a norm's input, a product's and fp32 logits.
    shape = replace(ordinary(1, 2), vocabulary=vocabulary)
    parts = activation_bytes(shape, sequence_length=length, micro_batch=3)
    assert parts["head"] == 3 * length * (4 * shape.hidden + 4 * vocabulary)


def saved_bytes(layer: torch.nn.Module, x: torch.Tensor, **options: object) -> int:
    """Bytes of distinct activation storages autograd keeps for backward."""
    parameters = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = layer(x, **options)
    assert output is not None
    return sum(kept.values())


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_activations_of_a_real_bert_layer(dropout):
    shape = catalog.model("bert-base-uncased").shape
    config = transformers.BertConfig(
        attention_probs_dropout_prob=dropout,
        hidden_dropout_prob=dropout,
        attn_implementation="eager",
    )
    torch.manual_seed(0)
    layer = transformers.models.bert.modeling_bert.BertLayer(config).train()
    length, batch = 256, 4
    x = torch.randn(batch, length, shape.hidden, requires_grad=True)
    parts = activation_bytes(
        shape,
        sequence_length=length,
        micro_batch=batch,
        precision="fp32",
        dropout=dropout > 0,
        implementation=replace(Implementation.of_transformers(shape), mask_bytes=4),
    )
    mine = (sum(parts.values()) - parts["head"]) / shape.layers
    assert saved_bytes(layer, x) == pytest.approx(mine, rel=0.005)


def test_activations_of_a_real_llama_layer_with_grouped_keys():
    config = transformers.LlamaConfig(
        hidden_size=256, num_attention_heads=8, num_key_value_heads=2, intermediate_size=704,
        num_hidden_layers=1, vocab_size=100, attn_implementation="eager",
    )  # fmt: skip
    shape = shape_from_hf_config(config.to_dict())
    torch.manual_seed(0)
    layer = transformers.models.llama.modeling_llama.LlamaDecoderLayer(config, layer_idx=0)
    length, batch = 128, 2
    x = torch.randn(batch, length, 256, requires_grad=True)
    turn = torch.randn(1, length, 32)
    parts = activation_bytes(
        shape, sequence_length=length, micro_batch=batch, precision="fp32", dropout=False,
        implementation=Implementation.of_transformers(shape),
    )  # fmt: skip
    mine = sum(parts.values()) - parts["head"]
    saved = saved_bytes(layer.train(), x, position_embeddings=(turn, turn))
    assert saved == pytest.approx(mine, rel=0.02)


def test_models_with_layer_norms_and_plain_mlps_train_with_dropout():
    assert trains_with_dropout(catalog.model("gpt2").shape)
    assert not trains_with_dropout(catalog.model("llama-2-7b").shape)


def test_experts_keep_an_input_and_an_output_for_each_token_they_get():
    shape = replace(ordinary(2, 4), experts=8, experts_per_token=2)
    one = layer_activations(shape, precision="bf16", dropout=False)
    more = layer_activations(shape, precision="bf16", dropout=False, capacity_factor=1.5)
    assert more.mlp_shared == 1.5 * one.mlp_shared
    assert one.mlp_shared == 2 * 2 * 2 * shape.ffn
    assert more.mlp_whole - one.mlp_whole == 0.5 * 2 * 2 * 2 * shape.hidden


@pytest.mark.parametrize("kept", ["written_out_norms", "fp32_softmax", "repeated_keys"])
def test_an_implementation_only_adds(kept):
    shape = catalog.model("llama-2-70b").shape
    given_arguments = {"sequence_length": 128, "micro_batch": 1, "dropout": False}
    plain = sum(activation_bytes(shape, **given_arguments).values())
    more = sum(
        activation_bytes(
            shape, implementation=replace(FUSED, **{kept: True}), **given_arguments
        ).values()
    )
    assert more > plain


@pytest.mark.parametrize(
    "arguments",
    [{"micro_batch": 0}, {"micro_batch": 10**12}, {"precision": "int8"}, {"recompute": "some"}],
)
def test_what_cannot_be_is_refused(arguments):
    given_arguments = {"sequence_length": 128, "micro_batch": 1} | arguments
    with pytest.raises(LabError):
        activation_bytes(catalog.model("gpt2").shape, **given_arguments)
