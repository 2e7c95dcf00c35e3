"""Duplicates: every pair that is told is true, and hardly one is missed."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enterprise_lab.data.duplicates import (
    exact_duplicates,
    near_duplicates,
    similarity,
    with_copies,
)
from enterprise_lab.errors import InvalidValueError

words = st.lists(st.sampled_from("abcdef"), max_size=9).map(" ".join)


def jaccard(one: str, other: str) -> float:
    """The definition, written out."""

    def shingles(text: str) -> set[tuple[str, ...]]:
        found = re.findall(r"\w+", text.lower())
        if len(found) < 3:
            return {tuple(found)}
        return {tuple(found[place : place + 3]) for place in range(len(found) - 2)}

    both = shingles(one) & shingles(other), shingles(one) | shingles(other)
    return len(both[0]) / len(both[1])


@given(words, words)
def test_similarity_is_jaccards(one: str, other: str) -> None:
    assert similarity(one, other) == pytest.approx(jaccard(one, other))
    assert similarity(one, one) == 1


def test_exact_duplicates_have_the_same_words() -> None:
    found = exact_duplicates(
        ["You may NOT sell it.", "else", "you may not\nsell it", "Else!", "it"]
    )

    assert found.kept.tolist() == [0, 1, 4]
    assert found.clusters == ((0, 2), (1, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(words, max_size=12), st.sampled_from([0.3, 0.6, 0.9, 1.0]))
def test_what_is_left_out_is_truly_near_a_kept_text_before_it(
    texts: list[str], threshold: float
) -> None:
    found = near_duplicates(texts, threshold)
    left_out = [pair.copy for pair in found.pairs]

    assert sorted([*found.kept, *left_out]) == list(range(len(texts)))
    for pair in found.pairs:
        assert pair.kept in found.kept
        assert pair.kept < pair.copy
        assert pair.similarity == pytest.approx(jaccard(texts[pair.kept], texts[pair.copy]))
        assert pair.similarity >= threshold
    assert sorted(row for rows in found.clusters for row in rows) == sorted(
        left_out + list({pair.kept for pair in found.pairs})
    )


def test_hardly_a_near_duplicate_is_missed() -> None:
    chance = np.random.default_rng(0)
    texts = []
    for _ in range(150):
        text = chance.integers(0, 500, 60)
        copy = np.where(chance.random(60) < 0.05, chance.integers(0, 500, 60), text)
        texts += [" ".join(map(str, text)), " ".join(map(str, copy))]
    near = [row for row in range(0, 300, 2) if jaccard(texts[row], texts[row + 1]) >= 0.6]

    found = near_duplicates(texts, 0.6)

    assert 80 < len(near) < 150
    assert len(found.pairs) >= 0.98 * len(near)
    assert near_duplicates(texts, 0.6).pairs == found.pairs


def test_texts_with_copies_elsewhere_are_told() -> None:
    long = "the licensee shall not in any case whatever sell rent or lend the software to others"
    found = with_copies([long, "another text entirely"], [f"{long} again", "unrelated words"])

    assert found.tolist() == [True, False]
    assert with_copies([], [long]).shape == (0,)
    assert with_copies([long], []).tolist() == [False]


@pytest.mark.parametrize("threshold", [0, 1.1, -1, float("nan")])
def test_a_threshold_is_a_similarity(threshold: float) -> None:
    with pytest.raises(InvalidValueError, match="above 0 and at most 1"):
        near_duplicates(["a"], threshold)
