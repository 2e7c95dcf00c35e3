"""The baselines on small texts: what they find, and what they never overlook."""

import numpy as np
import pytest

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation.baselines import TfIdf, majority
from enterprise_lab.evaluation.metrics import accuracy

TOPICS = ("export control law country", "fee payment price tax", "warranty merchantable fitness")
FILLER = ("the", "licensee", "shall", "under", "this", "agreement", "and", "any", "other")


def texts(n, seed):
    """Return n texts of a few words, their labels among 1, 2 and 4 of five classes, and groups."""
    rng = np.random.default_rng(seed)
    topics = rng.integers(0, 3, n)
    its = [
        " ".join([*rng.choice(TOPICS[topic].split(), 2), *rng.choice(FILLER, 8)])
        for topic in topics
    ]
    return its, np.array([1, 2, 4])[topics], [f"family {group}" for group in rng.integers(0, 12, n)]


@pytest.fixture(scope="module")
def fitted():
    learnt, labels, groups = texts(120, seed=0)
    return TfIdf().fit(learnt, labels, groups=groups, classes=5)


def test_the_most_frequent_class_is_guessed_for_all():
    np.testing.assert_array_equal(majority([2, 0, 2, 1], 3), [2, 2, 2])
    np.testing.assert_array_equal(majority([3, 1], 1), [1])
    with pytest.raises(InvalidValueError, match="n must be"):
        majority([0], 0)


def test_words_tell_the_topics(fitted):
    others, labels, _ = texts(80, seed=1)
    assert accuracy(labels, fitted.probabilities(others).argmax(axis=1)) > 0.95


def test_a_class_that_training_did_not_hold_has_a_small_probability(fitted):
    others, _, _ = texts(20, seed=2)
    shares = fitted.probabilities([*others, "nothing known"])
    assert shares.shape == (21, 5)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares[:, [0, 3]], 1 / 125)
    np.testing.assert_allclose(np.exp(fitted.logits(others)), shares[:20])


def test_the_penalty_is_chosen_by_folds_that_split_no_group(monkeypatch):
    from sklearn.model_selection import GroupKFold

    held_out = []
    split = GroupKFold.split

    def watched(self, *arrays):
        for train, test in split(self, *arrays):
            held_out.append(({groups[row] for row in train}, {groups[row] for row in test}))
            yield train, test

    monkeypatch.setattr(GroupKFold, "split", watched)
    learnt, labels, groups = texts(60, seed=3)
    chosen = TfIdf().fit(learnt, labels, groups=groups, classes=5).chosen_c
    assert chosen in (1, 10, 100)
    assert len(held_out) == 3
    assert not any(train & test for train, test in held_out)


def test_the_same_seed_gives_the_same(fitted):
    learnt, labels, groups = texts(120, seed=0)
    again = TfIdf().fit(learnt, labels, groups=groups, classes=5)
    np.testing.assert_array_equal(again.logits(learnt), fitted.logits(learnt))


def test_few_texts_are_learnt_from_as_they_are():
    learnt = ["a fee is due", "a fee is due", "export is banned", "export is banned"]
    for groups in (["one"] * 4, ["one", "one", "two", "two"]):
        one = TfIdf().fit(learnt, [0, 0, 1, 1], groups=groups, classes=2)
        np.testing.assert_array_equal(one.probabilities(learnt).argmax(axis=1), [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("its", "labels", "groups", "classes", "words"),
    [
        (["a b", "a b"], [0, 0], ["x", "y"], 2, "one class"),
        (["a b"], [0, 1], ["x", "y"], 2, "1 texts, 2 labels and 2 groups"),
        (["a b", "a b"], [0, 2], ["x", "y"], 2, "classes must be"),
        (["!", "?"], [0, 1], ["x", "y"], 2, "can't be counted"),
    ],
)
def test_what_can_not_be_learnt_from_is_refused(its, labels, groups, classes, words):
    with pytest.raises(InvalidValueError, match=words):
        TfIdf().fit(its, labels, groups=groups, classes=classes)
