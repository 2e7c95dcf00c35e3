"""Calibration: against scikit-learn's curve, and on models whose calibration is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.calibration import calibration_curve

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation.calibration import best_temperature, probabilities, reliability


def drawn(n=4000, classes=5, scale=1.5, seed=0):
    """Return logits, and labels that are drawn by their probabilities: calibrated as they are."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, classes))
    shares = probabilities(logits)
    return logits, (shares.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)


def test_the_bins_are_scikit_learns():
    logits, labels = drawn()
    shares = probabilities(logits)
    found = reliability(labels, shares, bins=12)
    right = shares.argmax(axis=1) == labels
    expected = calibration_curve(right, shares.max(axis=1), n_bins=12)
    there = found.texts > 0
    np.testing.assert_allclose(found.accuracy[there], expected[0])
    np.testing.assert_allclose(found.confidence[there], expected[1])
    assert found.texts.sum() == len(labels)
    assert np.isnan(found.accuracy[~there]).all()


def test_the_error_is_counted_by_hand():
    labels, shares = [0, 0, 1, 1], np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.92, 0.08]])
    # Bins (0.7, 0.8], (0.8, 0.9] and (0.9, 1.0], and 0.7, which is an upper edge, in (0.6, 0.7].
    found = reliability(labels, shares)
    np.testing.assert_array_equal(np.flatnonzero(found.texts), [6, 7, 8, 9])
    expected = (0.3 + 0.2 + 0.1 + 0.92) / 4
    assert found.expected_calibration_error == pytest.approx(expected)


def test_a_sharpened_model_is_too_sure_until_its_temperature_is_found():
    logits, labels = drawn()
    sure = 3 * logits
    temperature = best_temperature(sure, labels)
    assert temperature == pytest.approx(3, rel=0.05)
    before = reliability(labels, probabilities(sure)).expected_calibration_error
    after = reliability(labels, probabilities(sure, temperature)).expected_calibration_error
    assert after < 0.03 < 0.15 < before


@given(st.integers(0, 2**32 - 1), st.floats(0.2, 5))
def test_no_other_temperature_makes_the_labels_likelier(seed, other):
    logits, labels = drawn(60, 3, seed=seed)

    def loss(temperature):
        return -log_softmax(logits / temperature, axis=1)[np.arange(60), labels].mean()

    assert loss(best_temperature(logits, labels)) <= loss(other) + 1e-6


def test_a_model_that_is_always_right_gets_the_lowest_temperature():
    assert best_temperature(np.array([[1.0, 0], [0, 1.0]]), [0, 1]) == pytest.approx(0.05, rel=0.01)


@given(st.floats(0.1, 10))
def test_probabilities_add_up_and_no_guess_changes(temperature):
    logits, _ = drawn(50)
    shares = probabilities(1e3 * logits, temperature)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(shares.argmax(axis=1), logits.argmax(axis=1))


def test_what_does_not_go_together_is_refused():
    with pytest.raises(InvalidValueError, match="add up to 1"):
        reliability([0], np.array([[3.0, 1.0]]))
    for wrong in ([[1.0, 2.0]], [1.0, 2.0], [[np.inf, 0.0], [0.0, 1.0]], [[1.0], [1.0]]):
        with pytest.raises(InvalidValueError, match="logits must be finite"):
            best_temperature(np.array(wrong), [0, 1])
    with pytest.raises(InvalidValueError, match="temperature"):
        probabilities(np.ones((1, 2)), 0)
