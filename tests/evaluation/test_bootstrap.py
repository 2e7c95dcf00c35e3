"""Intervals of metrics: against SciPy's, on simulated texts, and what always holds of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation import bootstrap
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


def test_without_groups_the_interval_is_scipys(case):
    labels, guesses, _, _ = case
    found = interval(accuracy, labels, guesses, draws=20_000)
    expected = stats.bootstrap(
        ((labels == guesses).astype(float),),
        np.mean,
        n_resamples=20_000,
        method="percentile",
        rng=0,
    ).confidence_interval
    # Accuracy goes in steps of 1 / 200: ends may differ by one.
    assert found.low == pytest.approx(expected.low, abs=0.0051)
    assert found.high == pytest.approx(expected.high, abs=0.0051)


def test_the_macro_f1_of_every_draw_is_that_of_the_texts_drawn(case):
    labels, guesses, _, _ = case
    found = interval(macro_f1, labels, guesses, draws=4000)
    rows = np.random.default_rng(8).integers(len(labels), size=(600, len(labels)))
    drawn = [f1_score(labels[row], guesses[row], average="macro", zero_division=0) for row in rows]
    low, high = np.quantile(drawn, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_groups_are_drawn_whole():
    """Each group repeats one text: the interval is that of one text a group."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 4, 60)
    guesses = guessed(labels, 0.7, rng)
    one = interval(macro_f1, labels, guesses)
    copies = interval(
        macro_f1, np.repeat(labels, 9), np.repeat(guesses, 9), groups=np.repeat(np.arange(60), 9)
    )
    assert (copies.low, copies.high) == pytest.approx((one.low, one.high), abs=1e-12)
    overlooked = interval(macro_f1, np.repeat(labels, 9), np.repeat(guesses, 9))
    assert overlooked.high - overlooked.low < 0.5 * (one.high - one.low)


def simulated(groups, rng):
    """Return labels, two models' guesses and groups; texts of a group are easy or hard together."""
    sizes = rng.geometric(0.2, groups)
    places = np.repeat(np.arange(groups), sizes)
    labels = rng.choice(6, len(places), p=[0.4, 0.2, 0.15, 0.1, 0.1, 0.05])
    ease = rng.normal(0, 1.5, groups)[places]
    guesses, others = (
        np.where(
            rng.random(len(places)) < 1 / (1 + np.exp(-skill - ease)),
            labels, rng.integers(0, 6, len(places)),
        )
        for skill in (1.0, 0.5)
    )  # fmt: skip
    return labels, guesses, others, places


def test_intervals_hold_the_true_figure_as_often_as_they_say():
    rng = np.random.default_rng(11)
    labels, guesses, others, _ = simulated(40_000, rng)
    true = macro_f1(labels, guesses)
    true_difference = true - macro_f1(labels, others)
    held = np.zeros(3)
    worlds = 200
    for world in range(worlds):
        labels, guesses, others, groups = simulated(60, rng)
        options = {"draws": 400, "seed": world}
        found = (
            interval(macro_f1, labels, guesses, groups=groups, **options),
            paired_difference(macro_f1, labels, guesses, others, groups=groups, **options),
            interval(macro_f1, labels, guesses, **options),
        )
        figures = (true, true_difference, true)
        held += [its.low <= one <= its.high for its, one in zip(found, figures, strict=True)]
    grouped, difference, overlooked = held / worlds
    # Of 200 worlds a share of 0.95 has a standard error of 0.015.
    assert 0.90 <= grouped <= 0.99
    assert 0.90 <= difference <= 0.99
    assert overlooked < 0.87


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(2, 8))
def test_the_order_of_texts_and_the_size_of_a_chunk_do_not_matter(seed, texts, groups):
    rng = np.random.default_rng(seed)
    labels, guesses = rng.integers(0, 3, (2, texts))
    places = np.append(rng.integers(0, groups, texts - 2), [0, 1])
    found = interval(macro_f1, labels, guesses, groups=places, draws=150)
    assert 0 <= found.low <= found.high <= 1
    order = rng.permutation(texts)
    again = interval(macro_f1, labels[order], guesses[order], groups=places[order], draws=150)
    assert (again.low, again.high) == pytest.approx((found.low, found.high), abs=1e-12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "_AT_ONCE", 7)
        chunked = interval(macro_f1, labels, guesses, groups=places, draws=150)
    assert (chunked.low, chunked.high) == pytest.approx((found.low, found.high), abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_a_difference_turned_round_has_the_other_sign(seed):
    rng = np.random.default_rng(seed)
    labels, guesses, others = rng.integers(0, 3, (3, 20))
    there = paired_difference(macro_f1, labels, guesses, others, draws=200)
    back = paired_difference(macro_f1, labels, others, guesses, draws=200)
    assert (-back.high, -back.low) == pytest.approx((there.low, there.high), abs=1e-12)


def test_errors_that_two_models_share_drop_out_of_their_difference():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 4, 300)
    guesses = guessed(labels, 0.7, rng)
    apart = guessed(labels, 0.7, rng)
    alike = guesses.copy()
    alike[:20] = labels[:20]
    shared = paired_difference(accuracy, labels, alike, guesses)
    unshared = paired_difference(accuracy, labels, apart, guesses)
    assert shared.high - shared.low < 0.4 * (unshared.high - unshared.low)
    assert shared.low >= 0
