"""Whether a model's probabilities can be believed, and how to mend those of one too sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from enterprise_lab.errors import InvalidValueError, require_positive, require_whole
from enterprise_lab.evaluation.metrics import Labels, whole_from_zero

BINS = 10
_MOST_BINS = 1000
_TEMPERATURES = (0.05, 20.0)
"""Between which the best is looked for; it is at an end where there is none, as for a model that is
right on every validation text."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Reliability:
    """Texts by how sure the model is of its guess, in bins of equal width from 0 to 1.

    Arrays shaped (bins,): the texts in each, their mean confidence and the share guessed right; NaN
    in an empty bin.
    """

    texts: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def expected_calibration_error(self) -> float:
        """The mean gap of confidence and accuracy, weighted by texts: Guo et al. 2017, eq. 3."""
        gaps = np.nan_to_num(np.abs(self.confidence - self.accuracy))
        return float(np.sum(gaps * self.texts) / self.texts.sum())


def reliability(labels: Labels, probabilities: Floats, bins: int = BINS) -> Reliability:
    """Sort texts by the probability of the likeliest class, which is what the model guesses.

    Labels shaped (n,), probabilities (n, classes). The bins are those of Guo et al., "On
    calibration of modern neural networks", 2017, section 2: the upper edge belongs to a bin. Raises
    InvalidValueError for labels and probabilities that don't go together.
    """
    require_whole("bins", bins, _MOST_BINS)
    true, rows = _matched(labels, probabilities, "probabilities")
    if rows.min() < 0 or not np.allclose(rows.sum(axis=1), 1, atol=1e-3):
        raise InvalidValueError(
            "The probabilities of a text must be 0 or above and add up to 1.",
            "Make them from logits with calibration.probabilities(logits).",
        )
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == true
    places = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    texts = np.bincount(places, minlength=bins)

    def means(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
        sums = np.bincount(places, weights=values, minlength=bins)
        return np.where(texts > 0, sums / np.maximum(texts, 1), np.nan)

    return Reliability(texts, means(confidence), means(right))


def probabilities(logits: Floats, temperature: float = 1.0) -> npt.NDArray[np.float64]:
    """Return the softmax of logits over a temperature, shaped (n, classes) like these.

    Above 1 a temperature makes a model less sure, below 1 surer; no guess changes. Raises
    InvalidValueError for a temperature that isn't above zero.
    """
    from scipy.special import softmax

    require_positive(temperature=temperature)
    return np.asarray(softmax(np.asarray(logits, np.float64) / temperature, axis=1))


def best_temperature(logits: Floats, labels: Labels) -> float:
    """Return the temperature at which the labels are likeliest: Guo et al. 2017, section 4.2.

    Fit it on validation texts, logits shaped (n, classes), and apply it to the texts of the test.
    Raises InvalidValueError for logits and labels that don't go together.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    true, rows = _matched(labels, logits, "logits")

    def loss(log_temperature: float) -> float:
        likely = log_softmax(rows / np.exp(log_temperature), axis=1)
        return -float(likely[np.arange(len(true)), true].mean())

    # Convex in the temperature's inverse, so that there is one least value.
    found = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded")
    return float(np.exp(found.x))


def _matched(
    labels: Labels, rows: Floats, name: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    true, matrix = whole_from_zero("labels", labels), np.asarray(rows, np.float64)
    shaped = matrix.ndim == 2 and len(matrix) == len(true) and matrix.shape[1] > true.max()
    if not shaped or not np.isfinite(matrix).all():
        raise InvalidValueError(
            f"The {name} must be finite numbers, a row for each of the {len(true):,} labels"
            f" and a column for each class.",
            f"Give the {name} of the same texts, shaped (texts, classes), not {matrix.shape}.",
        )
    return true, matrix
