"""What the pictures of evaluations contain."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection

from enterprise_lab.course import evaluation_pictures as draw
from enterprise_lab.evaluation.bootstrap import Interval
from enterprise_lab.evaluation.calibration import probabilities, reliability
from enterprise_lab.evaluation.curves import Point

COUNTS = np.array([[18, 2, 0], [1, 9, 0], [0, 0, 0]])
TOPICS = ("export", "warranty", "audit")
LOGITS = np.random.default_rng(0).normal(size=(50, 3))
LABELS = LOGITS.argmax(axis=1)
DIAGRAMS = {
    "before": reliability(LABELS, probabilities(LOGITS)),
    "after": reliability(LABELS, probabilities(LOGITS, 0.2)),
}
SCORES = {
    "majority": Interval(0.01, 0.005, 0.02, 90),
    "TF-IDF": Interval(0.61, 0.55, 0.66, 90),
    "frozen": Interval(0.62, 0.56, 0.67, 90),
    "fine-tuned": Interval(0.70, 0.65, 0.74, 90),
}
DIFFERENCES = {
    "frozen": Interval(0.01, -0.02, 0.04, 90),
    "fine-tuned": Interval(0.09, 0.05, 0.13, 90),
}
BY_LABELS = {
    "TF-IDF": {600: SCORES["TF-IDF"], 1500: SCORES["fine-tuned"]},
    "fine-tuned": {600: SCORES["fine-tuned"]},
}


def curve(training, validation):
    losses = zip(training, validation, strict=True)
    return [Point(epoch, *its, 0.5) for epoch, its in enumerate(losses, start=1)]


RUNS = {
    "diverged": curve([3.0, math.nan, math.nan], [3.0, math.nan, math.nan]),
    "few labels": curve([1.0, 0.5, 0.2, 0.1], [0.9, 0.8, 1.0, 1.2]),
    "good": curve([1.2, 0.6, 0.45, 0.4], [0.9, 0.7, 0.65, 0.65]),
    "low rate": curve([3.1, 3.09, 3.08], [3.1, 3.09, 3.09]),
}


def words(figure):
    """Return all that is written in a figure."""
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(plt.Text))


@pytest.mark.parametrize(
    "drawn",
    [
        lambda: draw.confusion_picture(COUNTS, TOPICS),
        lambda: draw.reliability_picture(DIAGRAMS),
        lambda: draw.loss_curves(RUNS),
        lambda: draw.scores_picture(SCORES, DIFFERENCES, against="TF-IDF"),
        lambda: draw.scores_by_labels(BY_LABELS),
    ],
)
def test_axes_are_labelled_and_the_origin_is_said(drawn):
    figure = drawn()
    assert "origin: measured" in words(figure)
    assert all(axes.get_xlabel() for axes in figure.axes[:1])
    assert figure.axes[0].get_ylabel() or figure.axes[0].get_yticklabels()
    assert not plt.get_fignums()


def test_a_confusion_matrix_shows_shares_of_its_rows():
    figure = draw.confusion_picture(COUNTS, TOPICS)
    (image,) = figure.axes[0].images
    np.testing.assert_allclose(image.get_array()[:2], [[90, 10, 0], [10, 90, 0]])
    assert image.get_array().mask[2].all()
    assert {"18", "2", "1", "9"} == {text.get_text() for text in figure.axes[0].texts}
    assert "warranty (10)" in words(figure)


def test_a_reliability_diagram_says_its_error_and_all_bins_with_texts():
    figure = draw.reliability_picture(DIAGRAMS)
    for (name, its), axes in zip(DIAGRAMS.items(), figure.axes, strict=True):
        error = f"{100 * its.expected_calibration_error:.1f} %"
        assert axes.get_title() == f"{name}\ncalibration error {error}"
        (marks,) = (one for one in axes.collections if isinstance(one, PathCollection))
        assert len(marks.get_offsets()) == np.count_nonzero(its.texts)


def test_each_training_has_its_diagnosis_and_its_best_point():
    figure = draw.loss_curves(RUNS)
    verdicts = dict(axes.get_title().split("\n") for axes in figure.axes)
    assert verdicts == {
        "diverged": "unclear",
        "few labels": "overfitting",
        "good": "fits well",
        "low rate": "underfitting",
    }
    best = [line for line in figure.axes[1].lines if line.get_label() == "least validation loss"]
    assert [tuple(line.get_xydata()[0]) for line in best] == [(2, 0.8)]
    assert "least validation loss" in words(figure)
    for axes in figure.axes:
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > 3


def test_a_difference_that_is_not_clear_is_grey():
    left, right = draw.scores_picture(SCORES, DIFFERENCES, against="TF-IDF").axes
    assert [tick.get_text() for tick in left.get_yticklabels()] == list(SCORES)
    bars = {line.get_ydata()[0]: line for line in right.lines if len(line.get_xdata()) == 2}
    assert bars[2].get_color() == "#777777"
    assert bars[3].get_color() == draw.COLOURS[0]
    np.testing.assert_allclose(bars[3].get_xdata(), [0.05, 0.13])
    assert right.get_xlabel() == "difference from\nTF-IDF"


def test_scores_by_labels_have_an_axis_of_those_numbers():
    figure = draw.scores_by_labels(BY_LABELS)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["600", "1,500"]
    assert len(axes.collections) == 2
