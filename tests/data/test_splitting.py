"""Splits: whole groups, every class to train on, shares that hold, and nothing that leaks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import data
from enterprise_lab.data.texts import Texts, labelled
from enterprise_lab.errors import InvalidValueError

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=40)


def texts_of(rows: list[tuple[int, int]]) -> Texts:
    return labelled(
        [f"text {number}" for number in range(len(rows))],
        [f"class {label}" for label, _ in rows],
        [f"group {group}" for _, group in rows],
    )


@given(rows, st.integers(0, 5), st.booleans())
def test_a_split_is_one_and_keeps_groups(
    rows: list[tuple[int, int]], seed: int, grouped: bool
) -> None:
    texts = texts_of(rows)
    found = data.split(texts, seed=seed, grouped=grouped)
    parts = (found.train, found.validation, found.test)

    assert sorted(np.concatenate(parts)) == list(range(len(texts)))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert set(texts.labels[found.train]) == set(texts.labels)
    if grouped:
        inside = [{texts.groups[row] for row in part} for part in parts]
        assert sum(map(len, inside)) == len(set(texts.groups))
    again = data.split(texts, seed=seed, grouped=grouped)
    assert all(
        (one == other).all()
        for one, other in zip(parts, (again.train, again.validation, again.test), strict=True)
    )


@pytest.mark.parametrize("seed", range(5))
def test_shares_hold_for_each_class_where_groups_are_small(seed: int) -> None:
    chance = np.random.default_rng(seed)
    texts = texts_of([(int(chance.choice(4, p=[0.7, 0.15, 0.1, 0.05])), int(group))
                      for group in chance.integers(0, 400, 2000)])  # fmt: skip

    found = data.split(texts, test_share=0.25, validation_share=0.05, seed=seed)

    for label in range(4):
        whole = (texts.labels == label).sum()
        assert (texts.labels[found.test] == label).sum() / whole == pytest.approx(0.25, abs=0.03)
        assert (texts.labels[found.validation] == label).sum() / whole == pytest.approx(
            0.05, abs=0.03
        )


def test_seeds_split_differently_and_no_share_gives_an_empty_part() -> None:
    texts = texts_of([(row % 3, row % 30) for row in range(90)])

    assert len({tuple(data.split(texts, seed=seed).test) for seed in range(4)}) > 1
    assert len(data.split(texts, validation_share=0).validation) == 0


@pytest.mark.parametrize(("test", "validation"), [(0.8, 0.2), (-0.1, 0.1), (0.1, -0.1), (1, 0)])
def test_shares_that_leave_nothing_are_told(test: float, validation: float) -> None:
    with pytest.raises(InvalidValueError, match="to below 1 together"):
        data.split(texts_of([(0, 0)]), test_share=test, validation_share=validation)


@given(rows.filter(bool), st.data())
def test_smaller_samples_are_in_larger_ones(
    rows: list[tuple[int, int]], more: st.DataObject
) -> None:
    texts = texts_of(rows)
    few, many = sorted(more.draw(st.tuples(*[st.integers(1, len(rows))] * 2)))

    smaller, larger = data.sample_rows(texts, few), data.sample_rows(texts, many)

    assert len(smaller) == few
    assert set(smaller) <= set(larger)


def test_a_sample_of_more_than_there_are_is_told() -> None:
    with pytest.raises(InvalidValueError, match="rows must be a whole number from 1 to 2"):
        data.sample_rows(texts_of([(0, 0), (1, 1)]), 3)


def test_copies_leak_through_a_careless_split_only() -> None:
    chance = np.random.default_rng(0)
    texts, groups = [], []
    for family in range(60):
        words = " ".join(map(str, chance.integers(0, 1000, 40)))
        texts += [f"{words} version {version} of it" for version in range(3)]
        groups += [str(family)] * 3
    found = labelled(texts, [group[-1] for group in groups], groups)

    assert len(data.leaked(found, data.split(found))) == 0
    careless = data.split(found, grouped=False)
    assert len(data.leaked(found, careless)) > 0.5 * len(careless.test)
