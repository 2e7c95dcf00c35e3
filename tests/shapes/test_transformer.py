"""Shapes: counts of small models by hand, and what can't be a shape."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.shapes import TransformerShape

TINY = {
    "kind": "encoder",
    "layers": 1,
    "hidden": 2,
    "heads": 1,
    "kv_heads": 1,
    "ffn": 4,
    "vocabulary": 10,
    "max_positions": 3,
    "token_types": 2,
    "pooler": True,
}
FLAGS = ("gated_mlp", "tied_embeddings", "bias", "pooler", "head_bias", "parallel_block")


def test_a_tiny_encoder_by_hand():
    terms = TransformerShape(**TINY).parameter_terms
    assert terms == {
        "embeddings": 30,
        "attention": 24,
        "mlp": 22,
        "norms": 12,
        "pooler": 6,
        "head": 0,
    }


@given(layers=st.integers(1, 50), heads=st.sampled_from([2, 4, 8, 16]), ffn=st.integers(1, 10_000))
def test_grouped_queries_save_exactly_the_keys_and_values(layers, heads, ffn):
    def shape(kv_heads):
        return TransformerShape(
            "decoder",
            layers=layers,
            hidden=64 * heads,
            heads=heads,
            kv_heads=kv_heads,
            ffn=ffn,
            vocabulary=100,
            bias=False,
        )

    saved = shape(heads).parameters - shape(heads // 2).parameters
    assert saved == layers * 2 * (64 * heads) * (64 * heads // 2)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 0},
        {"layers": -1},
        {"layers": 10**9},
        {"hidden": 2.5},
        {"hidden": True},
        {"hidden": 3, "heads": 2},
        {"hidden": 8, "heads": 4, "kv_heads": 3},
        {"vocabulary": 0},
        {"max_positions": -1},
        {"kind": "cnn"},
        {"norm": "batchnorm"},
        {"norm": []},
        {"norm_bias": "8"},
        {"final_norm": 1},
        *({flag: wrong} for flag in FLAGS for wrong in ("8", None, float("nan"), [1])),
    ],
)
def test_what_cannot_be_a_shape_is_refused(change):
    with pytest.raises(InvalidValueError):
        TransformerShape(**(TINY | change))


def test_sizes_of_numpy_become_ints():
    shape = TransformerShape(
        **{name: np.int8(size) if type(size) is int else size for name, size in TINY.items()}
    )
    assert shape == TransformerShape(**TINY)
    assert type(shape.parameters) is int
    assert replace(shape, ffn=np.int32(10**7), layers=10**4).parameters > 2**32


def test_an_indivisible_width_names_the_nearest():
    with pytest.raises(InvalidValueError, match="768"):
        TransformerShape(**(TINY | {"hidden": 770, "heads": 12, "kv_heads": 12}))
