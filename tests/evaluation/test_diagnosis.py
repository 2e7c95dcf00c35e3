"""Diagnoses of curves whose shape is known."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation.curves import Point
from enterprise_lab.evaluation.diagnosis import diagnose


def curve(training, validation, f1=None):
    f1 = f1 or np.linspace(0.3, 0.7, len(training))
    return [
        Point(epoch, *its)
        for epoch, its in enumerate(zip(training, validation, f1, strict=True), start=1)
    ]


SHAPES = {
    "overfitting": [
        ([2.0, 1.0, 0.5, 0.2, 0.1], [1.5, 1.0, 0.81, 1.0, 1.22]),
        ([0.9, 0.4, 0.2], [0.9, 0.7, 0.8]),
        ([1.0, 0.5, 0.2], [0.8, 0.9, 1.1]),
        ([1.0, 0.3, 0.05, 0.01], [1.2, 1.1, 1.1, 1.1]),
        ([0.7, 0.04, 0.011, 0.003], [0.9, 0.95, 1.1, 1.2]),
        ([0.9, 0.3, 0.01, 0.02, 0.01], [1.0, 0.8, 0.9, 1.0, 1.1]),
    ],
    "underfitting": [
        ([2.9, 2.5, 2.0], [2.8, 2.4, 1.9]),
        ([3.1, 3.09, 3.08, 3.08], [3.1, 3.1, 3.09, 3.09]),
        ([2.0, 1.6, 1.5, 1.48, 1.47], [1.9, 1.6, 1.52, 1.5, 1.5]),
        ([1.5, 0.9, 0.6], [1.3, 0.9, 0.7]),
        ([3.03, 1.70, 0.59], [2.53, 1.38, 0.88]),
        ([3.144, 3.140, 3.138], [3.136, 3.134, 3.134]),
    ],
    "fits well": [
        ([1.5, 0.7, 0.4, 0.3], [1.1, 0.75, 0.66, 0.64]),
        ([1.2, 0.6, 0.45, 0.4, 0.38], [0.9, 0.7, 0.65, 0.66, 0.65]),
        ([0.3, 0.05, 0.02, 0.015], [0.1, 0.05, 0.04, 0.04]),
        # A MiniLM on 160 clauses: the validation loss, and macro-F1 too, is best at the end.
        ([3.03, 1.70, 0.59, 0.17, 0.04, 0.02], [2.53, 1.38, 0.88, 0.78, 0.72, 0.72]),
    ],
    "unclear": [
        ([1.0], [1.0]),
        ([1.0, 0.5], [1.0, 0.8]),
        ([], []),
        ([1.0, math.nan, math.nan], [1.0, math.nan, math.nan]),
        ([1.0, 0.5, math.inf], [1.0, 0.8, 0.7]),
        ([1.0, 0.5, 2.9, 3.1], [1.0, 0.8, 3.0, 3.1]),
        ([1.0, 1.2, 1.5], [1.0, 1.3, 1.6]),
        ([1.0, 0.9, 0.8, 0.7, 0.6, 0.5], [1.0, 0.7, 1.1, 0.72, 1.0, 0.8]),
    ],
}


@pytest.mark.parametrize(
    ("verdict", "losses"), [(name, losses) for name, some in SHAPES.items() for losses in some]
)
def test_each_shape_has_its_name(verdict, losses):
    found = diagnose(curve(*losses))
    assert found.verdict == verdict, found
    assert re.search(r"\d", found.because)
    assert found.because.endswith(".")


def test_it_says_on_which_figures():
    found = diagnose(curve([2.0, 1.0, 0.5, 0.2, 0.1], [1.5, 1.0, 0.81, 1.0, 1.22]))
    for words in ("least, 0.81, after epoch 3", "1.22 at the end", "fell from 0.50 to 0.10"):
        assert words in found.because
    assert found.best.epoch == 3


def test_guesses_that_got_better_while_the_loss_got_worse_are_said():
    losses = [1.0, 0.5, 0.2], [0.8, 0.9, 1.1]
    assert "too sure" in diagnose(curve(*losses, f1=[0.6, 0.65, 0.7])).because
    assert "too sure" not in diagnose(curve(*losses, f1=[0.7, 0.7, 0.6])).because


def test_texts_that_are_learnt_ask_for_more_labels_and_not_for_more_epochs():
    for losses in SHAPES["fits well"]:
        wide = losses[0][-1] < 0.2 * losses[1][-1]
        assert wide == ("more labels" in diagnose(curve(*losses)).because)


def test_epochs_out_of_order_are_refused():
    with pytest.raises(InvalidValueError, match="order of their epochs"):
        diagnose(curve([1.0, 0.5], [1.0, 0.5])[::-1])


def simulated(verdict, points, noise, rng):
    """Return a curve of a known kind, with noise that is a share of each loss."""
    gone = np.arange(1, points + 1) / points
    rate, level = rng.uniform(4, 8), rng.uniform(0.5, 1)
    if verdict == "overfitting":
        training = 2 * np.exp(-rate * gone) + 0.02
        rise = np.maximum(0, gone - rng.uniform(0.3, 0.6)) * rng.uniform(0.4, 1.5)
        validation = level + 2 * np.exp(-2 * rate * gone) + rise
    elif verdict == "underfitting":
        training = 3 * np.exp(-0.7 * gone) if rng.random() < 0.5 else 1.8 + np.exp(-rate * gone)
        validation = training + 0.05
    else:
        validation = level + np.exp(-2 * rate * gone)
        training = 0.6 * validation + np.exp(-rate * gone)
    shake = 1 + noise * rng.normal(size=(2, points))
    return curve(training * shake[0], validation * shake[1])


@pytest.mark.parametrize("verdict", ["overfitting", "underfitting", "fits well"])
@pytest.mark.parametrize("points", [3, 4, 6, 10, 40])
def test_simulated_trainings_are_named_through_noise(verdict, points):
    rng = np.random.default_rng(points)
    for noise, share in ((0, 1), (0.01, 0.98), (0.02, 0.9)):
        found = [diagnose(simulated(verdict, points, noise, rng)).verdict for _ in range(100)]
        assert found.count(verdict) >= share * 100, (noise, found)


def test_a_lot_of_noise_makes_a_training_unclear_sooner_than_wrong():
    rng = np.random.default_rng(0)
    found = [diagnose(simulated("fits well", 40, 0.12, rng)).verdict for _ in range(100)]
    assert found.count("unclear") > 40
    assert found.count("underfitting") + found.count("overfitting") < 10


losses = st.lists(st.floats(0, 20), min_size=0, max_size=12)


@given(losses, st.randoms())
def test_every_curve_has_a_verdict_and_figures(validation, random):
    training = random.sample(validation, len(validation))
    found = diagnose(curve(training, validation))
    assert found.verdict in SHAPES
    assert found.because.endswith(".")
    assert found.best is None or found.best.validation_loss == min(validation)


@given(losses, st.floats(0, 5))
def test_none_overfits_that_is_no_worse_on_other_texts(validation, above):
    training = [loss + above for loss in validation]
    assert diagnose(curve(training, validation)).verdict != "overfitting"


@given(st.lists(st.floats(0.05, 5), min_size=3, max_size=12), st.floats(0, 0.05))
def test_a_validation_loss_that_only_falls_is_not_getting_worse(falls, training):
    validation = list(1 + np.cumsum(falls[::-1])[::-1])
    found = diagnose(curve([training] * len(falls), validation))
    assert found.verdict == "fits well" or "helps no others" in found.because
