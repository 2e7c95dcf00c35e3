"""Labelled texts: their parts fit together, and rows are taken whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.data.texts import Texts, labelled
from enterprise_lab.errors import InvalidValueError


def test_labels_count_into_the_sorted_classes() -> None:
    texts = labelled(["one", "two", "three"], ["b", "a", "b"], ["x", "x", "y"])

    assert texts.classes == ("a", "b")
    assert texts.labels.tolist() == [1, 0, 1]
    assert len(texts) == 3
    assert repr(texts) == "3 texts of 2 groups, 2 classes"


def test_a_text_of_which_nothing_is_known_is_a_group_of_its_own() -> None:
    assert len(set(labelled(["same", "same"], ["a", "a"]).groups)) == 2


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.data())
def test_rows_and_masks_take_the_same(names: list[int], more: st.DataObject) -> None:
    texts = labelled([f"text {row}" for row in range(len(names))], list(map(str, names)))
    mask = np.array(more.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names))))

    by_mask, by_rows = texts.take(mask), texts.take(np.flatnonzero(mask))

    assert by_mask.texts == by_rows.texts
    assert by_mask.groups == by_rows.groups
    assert by_mask.classes == texts.classes
    assert [texts.classes[label] for label in by_mask.labels] == [
        str(name) for name, chosen in zip(names, mask, strict=True) if chosen
    ]


@pytest.mark.parametrize(
    ("labels", "groups", "told"),
    [
        ([0, 1, 0], ("x", "y"), r"labels of the shape \(3,\)"),
        ([0, 1], ("x",), "1 groups"),
        ([0, 2], ("x", "y"), "go from 0 to 2 where there are 2 classes"),
        ([-1, 0], ("x", "y"), "go from -1"),
    ],
)
def test_parts_that_do_not_fit_are_told(
    labels: list[int], groups: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InvalidValueError, match=told):
        Texts(("one", "two"), np.array(labels), ("a", "b"), groups)


def test_a_mask_of_another_length_is_told() -> None:
    with pytest.raises(InvalidValueError, match="can't choose among 2 texts"):
        labelled(["one", "two"], ["a", "b"]).take([True])
