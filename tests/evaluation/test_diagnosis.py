"""Diagnoses of curves whose shape is known."""

import math
import re

import numpy as np
import pytest

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
    ],
    "underfitting": [
        ([2.9, 2.5, 2.0], [2.8, 2.4, 1.9]),
        ([3.1, 3.09, 3.08, 3.08], [3.1, 3.1, 3.09, 3.09]),
        ([2.0, 1.6, 1.5, 1.48, 1.47], [1.9, 1.6, 1.52, 1.5, 1.5]),
        ([1.5, 0.9, 0.6], [1.3, 0.9, 0.7]),
    ],
    "fits well": [
        ([1.5, 0.7, 0.4, 0.3], [1.1, 0.75, 0.66, 0.64]),
        ([1.2, 0.6, 0.45, 0.4, 0.38], [0.9, 0.7, 0.65, 0.66, 0.65]),
        ([0.3, 0.05, 0.02, 0.015], [0.1, 0.05, 0.04, 0.04]),
    ],
    "unclear": [
        ([1.0], [1.0]),
        ([1.0, 0.5], [1.0, 0.8]),
        ([], []),
        ([1.0, math.nan, math.nan], [1.0, math.nan, math.nan]),
        ([1.0, 0.5, math.inf], [1.0, 0.8, 0.7]),
        ([1.0, 0.5, 2.9, 3.1], [1.0, 0.8, 3.0, 3.1]),
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


def test_epochs_out_of_order_are_refused():
    with pytest.raises(InvalidValueError, match="order of their epochs"):
        diagnose(curve([1.0, 0.5], [1.0, 0.5])[::-1])
