"""Intervals of metrics: against SciPy's, on simulated texts, and what always holds of them."""

import numpy as np
import pytest

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation.bootstrap import interval, paired_difference
from enterprise_lab.evaluation.metrics import accuracy, macro_f1


def guessed(labels, share_right, rng, classes=4):
    wrong = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(rng.random(len(labels)) < share_right, labels, wrong)


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 200)
    groups = rng.integers(0, 40, 200)
    return labels, guessed(labels, 0.8, rng), guessed(labels, 0.6, rng), groups


def test_as_many_units_as_groups_or_texts(case):
    labels, guesses, _, groups = case
    assert interval(accuracy, labels, guesses).units == 200
    assert interval(accuracy, labels, guesses, groups=groups).units == 40
    names = [f"family {n:02}" for n in groups]
    assert interval(accuracy, labels, guesses, groups=names) == interval(
        accuracy, labels, guesses, groups=groups
    )


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_one_that_is_surely_better_is_clearly_so(metric, case):
    labels, guesses, others, groups = case
    better = paired_difference(metric, labels, guesses, others, groups=groups)
    assert better.low > 0
    assert better.value == pytest.approx(metric(labels, guesses) - metric(labels, others))
    same = paired_difference(metric, labels, guesses, guesses, groups=groups)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_what_does_not_go_together_is_refused(case):
    labels, guesses, others, groups = case
    with pytest.raises(InvalidValueError, match="200 texts and 3 groups"):
        interval(accuracy, labels, guesses, groups=groups[:3])
    with pytest.raises(InvalidValueError, match="at least two groups"):
        interval(accuracy, labels, guesses, groups=["one"] * 200)
    with pytest.raises(InvalidValueError, match="draws must be"):
        interval(accuracy, labels, guesses, draws=10)
    with pytest.raises(InvalidValueError, match="200 labels and 5 guesses"):
        paired_difference(accuracy, labels, guesses, others[:5])
