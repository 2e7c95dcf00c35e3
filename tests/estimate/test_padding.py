"""What padding wastes, and what packing saves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.flops import forward_flops
from enterprise_lab.estimate.padding import padded_flops

BERT = catalog.model("bert-base-uncased").shape


def forward(length):
    return sum(forward_flops(BERT, sequence_length=length).values())


def test_a_batch_by_hand():
    padded = padded_flops(BERT, [128, 64, 64])
    packed = padded_flops(BERT, [64, 128, 64], packed=True)
    useful = forward(128) + 2 * forward(64)
    assert (padded.useful, padded.spent, padded.rows) == (useful, 3 * forward(128), 3)
    assert (packed.useful, packed.spent, packed.rows) == (useful, 2 * forward(128), 2)
    assert padded.useful_share == useful / (3 * forward(128))


@given(st.lists(st.integers(1, 128), min_size=1, max_size=60))
def test_packing_fills_its_rows_by_more_than_half(lengths):
    padded = padded_flops(BERT, lengths, sequence_length=128)
    packed = padded_flops(BERT, lengths, sequence_length=128, packed=True)
    fewest = -(-sum(lengths) // 128)
    assert fewest <= packed.rows <= min(len(lengths), 2 * fewest)
    assert packed.spent <= padded.spent
    assert 0 < padded.useful_share <= 1


def test_equal_lengths_waste_nothing():
    assert padded_flops(BERT, [77] * 5).useful_share == 1


@pytest.mark.parametrize(
    ("lengths", "arguments", "named"),
    [
        ([], {}, "no sequences"),
        ([0], {}, "sequence_length"),
        ([129], {"sequence_length": 128}, "129"),
        ([600], {}, "512"),
        (["7"], {}, "whole number"),
    ],
)
def test_what_cannot_be_is_refused(lengths, arguments, named):
    with pytest.raises(LabError, match=named):
        padded_flops(BERT, lengths, **arguments)
