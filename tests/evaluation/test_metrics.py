"""Metrics, against scikit-learn's."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation.metrics import accuracy, confusion, macro_f1, per_class

CLASSES = 5
pairs = st.lists(
    st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40
).map(lambda rows: tuple(np.array(rows).T))


@given(pairs)
def test_metrics_are_scikit_learns(pair):
    labels, guesses = pair
    assert accuracy(labels, guesses) == pytest.approx(reference.accuracy_score(labels, guesses))
    expected = reference.f1_score(labels, guesses, average="macro", zero_division=0)
    assert macro_f1(labels, guesses) == pytest.approx(expected, abs=1e-12)
    expected = reference.confusion_matrix(labels, guesses, labels=range(CLASSES))
    np.testing.assert_array_equal(confusion(labels, guesses, CLASSES), expected)


@given(pairs)
def test_the_table_is_scikit_learns_and_its_mean_is_the_macro_f1(pair):
    labels, guesses = pair
    table = per_class(labels, guesses, [f"class {n}" for n in range(CLASSES)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference.precision_recall_fscore_support(
            labels, guesses, labels=range(CLASSES), zero_division=0
        )
    there = table["f1"].notna()
    for column, its in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        np.testing.assert_allclose(table[column][there], its[there])
    assert not table["support"][~there].any()
    assert table["f1"].mean() == pytest.approx(macro_f1(labels, guesses), abs=1e-12)


@given(pairs, st.integers(0, 2**32 - 1))
def test_a_weight_counts_a_text_so_often(pair, seed):
    labels, guesses = pair
    weights = np.random.default_rng(seed).integers(0, 4, (3, len(labels))).astype(float)
    weights[:, 0] += 1
    for metric in (accuracy, macro_f1):
        expected = [
            metric(np.repeat(labels, times), np.repeat(guesses, times))
            for times in weights.astype(int)
        ]
        np.testing.assert_allclose(metric(labels, guesses, weights), expected)


@given(pairs, st.permutations(range(CLASSES)))
def test_the_order_of_texts_and_classes_does_not_matter(pair, renamed):
    labels, guesses = pair
    names = np.array(renamed)
    assert macro_f1(names[labels][::-1], names[guesses][::-1]) == pytest.approx(
        macro_f1(labels, guesses), abs=1e-12
    )


@pytest.mark.parametrize(
    ("labels", "guesses", "words"),
    [
        ([0, 1], [0], "2 labels and 1 guesses"),
        ([], [], "labels must be"),
        ([0.5], [0], "labels must be"),
        ([0], [-1], "guesses must be"),
        ([[0]], [[0]], "labels must be"),
        (["a"], ["a"], "labels must be"),
    ],
)
def test_what_does_not_go_together_is_refused(labels, guesses, words):
    with pytest.raises(InvalidValueError, match=words):
        macro_f1(labels, guesses)


def test_a_class_beyond_those_named_is_refused():
    with pytest.raises(InvalidValueError, match="classes must be a whole number from 3"):
        confusion([0, 2], [0, 1], 2)
