"""Memory against the ZeRO paper, Korthikanti's formulas and what PyTorch really saves."""

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import LabError
from enterprise_lab.shapes import TransformerShape


def test_states_of_the_zero_paper():
    # Rajbhandari et al. 2020, figure 1: 7.5 billion parameters in mixed precision keep 120 GB.
    assert estimate.StateBytes().total * 7.5e9 == 120e9


@given(
    layers=st.integers(1, 96),
    heads=st.integers(1, 96),
    length=st.integers(1, 4096),
    micro_batch=st.integers(1, 64),
)
def test_activations_are_the_closed_form(layers, heads, length, micro_batch):
    hidden = 64 * heads
    shape = TransformerShape(
        "decoder", layers=layers, hidden=hidden, heads=heads, kv_heads=heads, ffn=4 * hidden,
        vocabulary=1,
    )  # fmt: skip

    def layers_only(recompute):
        parts = estimate.activation_bytes(
            shape, sequence_length=length, micro_batch=micro_batch, recompute=recompute
        )
        return sum(parts.values()) - parts["head"]

    sbh = length * micro_batch * hidden
    assert layers_only("none") == layers * (34 * sbh + 5 * heads * length**2 * micro_batch)
    assert layers_only("selective") == layers * 34 * sbh
    assert layers_only("full") == layers * 2 * sbh


def saved_bytes(layer: torch.nn.Module, x: torch.Tensor) -> int:
    """Bytes of distinct activation storages autograd keeps for backward."""
    parameters = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = layer(x)
    assert output is not None
    return sum(kept.values())


def test_activations_of_a_real_bert_layer():
    shape = catalog.model("bert-base-uncased").shape
    config = transformers.BertConfig(
        attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0, attn_implementation="eager"
    )
    torch.manual_seed(0)
    layer = transformers.models.bert.modeling_bert.BertLayer(config).train()
    length, batch = 256, 4
    x = torch.randn(batch, length, shape.hidden, requires_grad=True)
    parts = estimate.activation_bytes(
        shape, sequence_length=length, micro_batch=batch, precision="fp32"
    )
    masks = batch * length * (2 * shape.hidden + shape.heads * length)
    dropped_scores = 4 * batch * length * shape.heads * length
    mine = (sum(parts.values()) - parts["head"]) / shape.layers - masks - dropped_scores
    assert saved_bytes(layer, x) == pytest.approx(mine, rel=0.1)


def test_memory_terms_and_precision():
    shape = catalog.model("bert-base-uncased").shape
    mixed = estimate.training_memory(shape, sequence_length=128, micro_batch=8)
    full = estimate.training_memory(shape, sequence_length=128, micro_batch=8, precision="fp32")
    states = ("weights", "gradients", "optimizer states")
    assert sum(mixed[s] for s in states) == 16 * shape.parameters
    assert sum(full[s] for s in states) == 16 * shape.parameters
    assert mixed["activations"] < full["activations"]
    lean = estimate.StateBytes(weight=2, gradient=4, optimizer=12)
    kept = estimate.training_memory(shape, sequence_length=128, micro_batch=8, states=lean)
    assert kept["gradients"] == 4 * shape.parameters


@given(memory_gb=st.integers(3, 400), at_most=st.integers(1, 512))
def test_largest_micro_batch_is_the_largest_that_fits(memory_gb, at_most):
    shape = catalog.model("bert-base-uncased").shape

    def need(micro_batch):
        return sum(
            estimate.training_memory(shape, sequence_length=128, micro_batch=micro_batch).values()
        )

    found = estimate.largest_micro_batch(
        shape, memory_bytes=memory_gb * 1e9, sequence_length=128, at_most=at_most
    )
    assert at_most % found == 0
    assert need(found) <= memory_gb * 1e9
    larger = [n for n in range(found + 1, at_most + 1) if at_most % n == 0]
    assert all(need(n) > memory_gb * 1e9 for n in larger[:1])


def test_too_little_memory_says_what_is_needed():
    with pytest.raises(LabError, match=r"One sequence needs .* GB"):
        estimate.largest_micro_batch(
            catalog.model("bert-large-uncased").shape,
            memory_bytes=4e9,
            sequence_length=512,
            at_most=8,
        )


@pytest.mark.parametrize(
    "arguments",
    [{"micro_batch": 0}, {"micro_batch": 10**12}, {"precision": "int8"}, {"recompute": "some"}],
)
def test_what_cannot_be_is_refused(arguments):
    given_arguments = {"sequence_length": 128, "micro_batch": 1} | arguments
    with pytest.raises(LabError):
        estimate.training_memory(catalog.model("gpt2").shape, **given_arguments)
