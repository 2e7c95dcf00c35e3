"""What a batch of sequences of unequal lengths wastes on padding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from enterprise_lab.errors import InvalidValueError, require_flag, require_kind
from enterprise_lab.estimate.flops import Causal, forward_flops, require_length
from enterprise_lab.shapes import TransformerShape


@dataclass(frozen=True)
class PaddedFlops:
    """Forward FLOPs of a batch: those its tokens need, and those of the rows they are put in."""

    useful: int
    spent: int
    rows: int

    @property
    def useful_share(self) -> float:
        """Share of the FLOPs spent that is not for padding."""
        return self.useful / self.spent


def padded_flops(
    shape: TransformerShape,
    lengths: Iterable[int],
    *,
    sequence_length: int | None = None,
    packed: bool = False,
    causal: Causal = "full",
    predicted_share: float = 1.0,
) -> PaddedFlops:
    """FLOPs of one forward pass over sequences of `lengths` tokens, padded or packed.

    Padded, each sequence is a row of `sequence_length` tokens (the longest where not given).
    Packed, sequences share rows, the longest first and each in the fullest row with room for it;
    a mask keeps them apart, and the scores between neighbours are computed all the same.
    Training wastes the same share. Source: Krell et al. 2021 (packing without contamination).

    Raises InvalidValueError for no sequences, and for one longer than `sequence_length`.
    """
    require_kind("shape", shape, TransformerShape, "catalog.model('bert-base-uncased').shape")
    require_kind("lengths", lengths, Iterable, "[128, 64]")
    require_flag(packed=packed)
    lengths = [require_length(shape, "sequence_length", length) for length in lengths]
    if not lengths:
        raise InvalidValueError("There are no sequences.", "Give the length of at least one.")

    def forward(length: int) -> int:
        terms = forward_flops(
            shape, sequence_length=length, causal=causal, predicted_share=predicted_share
        )
        return sum(terms.values())

    useful = sum(count * forward(length) for length, count in Counter(lengths).items())
    width = max(lengths)
    if sequence_length is not None:
        width = require_length(shape, "sequence_length", sequence_length)
    if max(lengths) > width:
        raise InvalidValueError(
            f"A sequence of {max(lengths):,} tokens doesn't fit into rows of {width:,}.",
            f"Use a sequence_length of at least {max(lengths):,}.",
        )
    rows = _rows(lengths, width) if packed else len(lengths)
    return PaddedFlops(useful, rows * forward(width), rows)


def _rows(lengths: list[int], width: int) -> int:
    """Return how many rows are filled. Rows with equal room are alike, so room is what counts."""
    rows_with: Counter[int] = Counter()
    for length in sorted(lengths, reverse=True):
        room = min((room for room in +rows_with if room >= length), default=None)
        if room is not None:
            rows_with[room] -= 1
        rows_with[(width if room is None else room) - length] += 1
    return rows_with.total()
