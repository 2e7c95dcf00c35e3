"""What the curves of a training say of it: overfitting, underfitting, fits well, or unclear.

The rules are those a person applies, with figures to them (Goodfellow, Bengio and Courville, "Deep
learning", 2016, section 5.2: underfitting is a training error that stays high, overfitting too
large a gap between it and the validation error). They are made for fine-tuning, where a training
has three to ten epochs and each point counts.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation.curves import Point

Verdict = Literal["overfitting", "underfitting", "fits well", "unclear"]

FEWEST_POINTS = 3
"""Fewer show no course: two can't tell a trend from chance."""
RISE = 0.05
"""Share of its least by which a validation loss has risen where it is getting worse."""
FALL = 0.10
"""Share by which a validation loss falls over the last quarter where it hasn't settled."""
LEAST_NATS = 0.02
"""Smaller changes of a loss mean nothing: 2 % of the probability of the right class."""
WOBBLES = 2.0
"""Times the wobble of a curve that a rise must exceed to be told from it."""
UNSURE_NATS = math.log(2)
"""A training loss above it: the right class of a training text gets less than even odds."""
BY_HEART = 0.1
"""Share of the validation loss below which a training loss says that texts are known by heart."""


@dataclass(frozen=True)
class Diagnosis:
    """What a training is, the figures that say so, and the point of least validation loss."""

    verdict: Verdict
    because: str
    best: Point | None = None

    def __str__(self) -> str:
        return f"{self.verdict}: {self.because}"


def diagnose(curve: Sequence[Point]) -> Diagnosis:
    """Name what the points of a training, in their order, say of it, and on which figures.

    - unclear: fewer than three points, a loss that isn't finite, or losses that rise on both sides;
      also a validation loss that goes up and down by more than it moves.
    - overfitting: since its least the validation loss has risen by 5 % or more while the training
      loss went on falling; or it has settled at ten times the training loss or more.
    - underfitting: the validation loss still falls by 10 % over the last quarter; or it has
      settled while the training loss still is above ln 2 nats.
    - fits well: none of these.

    Raises InvalidValueError for points that aren't in the order of their epochs.
    """
    points = tuple(curve)
    epochs = [point.epoch for point in points]
    if any(later <= earlier for earlier, later in itertools.pairwise(epochs)):
        raise InvalidValueError(
            "The points of a curve must be in the order of their epochs.",
            "Give each epoch once, the earliest first.",
        )
    for point in points:
        if not math.isfinite(point.training_loss) or not math.isfinite(point.validation_loss):
            return Diagnosis("unclear", _diverged(point))
    if len(points) < FEWEST_POINTS:
        return Diagnosis(
            "unclear",
            f"{len(points)} points show no course; evaluate at least {FEWEST_POINTS} times.",
        )
    seen = _Seen(points)
    found = (rule(seen) for rule in _RULES)
    return next(diagnosis for diagnosis in found if diagnosis)


def _diverged(point: Point) -> str:
    return (
        f"at epoch {point.epoch:g} the training loss is {point.training_loss:g} and the validation"
        f" loss {point.validation_loss:g}: the training has diverged; try a lower learning rate."
    )


@dataclass(frozen=True)
class _Seen:
    """A curve of finite losses, and what is read off it."""

    points: tuple[Point, ...]

    @property
    def last(self) -> Point:
        return self.points[-1]

    @property
    def best(self) -> Point:
        return min(self.points, key=lambda point: point.validation_loss)

    @property
    def tail(self) -> Point:
        """The point that the last quarter begins with."""
        start = 0.75 * self.last.epoch
        return [p for p in self.points[:-1] if p.epoch <= start or p is self.points[0]][-1]

    @property
    def wobble(self) -> float:
        """How far a validation loss turns back and forth, apart from at its least: nats."""
        losses = np.array([point.validation_loss for point in self.points])
        before, after = np.diff(losses)[:-1], np.diff(losses)[1:]
        turns = np.minimum(abs(before), abs(after))[before * after < 0]
        others = np.sort(turns)[: len(turns) - 1] if self.best is not self.last else turns
        return float(np.mean(others)) if len(others) else 0.0

    @property
    def losses(self) -> str:
        first, last = self.points[0], self.last
        return (
            f"training loss went from {first.training_loss:.2f} to {last.training_loss:.2f}"
            f" and validation loss from {first.validation_loss:.2f} to {last.validation_loss:.2f}"
        )

    def says(self, verdict: Verdict, because: str) -> Diagnosis:
        return Diagnosis(verdict, because, self.best)


def _unstable(seen: _Seen) -> Diagnosis | None:
    least = min(point.training_loss for point in seen.points)
    if not _rose(least, seen.last.training_loss):
        return None
    return seen.says(
        "unclear",
        f"training loss was {least:.2f} and is {seen.last.training_loss:.2f} at the end: it is"
        " unstable; try a lower learning rate.",
    )


def _worse(seen: _Seen) -> Diagnosis | None:
    best, last = seen.best, seen.last
    if not _rose(best.validation_loss, last.validation_loss):
        return None
    rise = last.validation_loss - best.validation_loss
    if rise < WOBBLES * seen.wobble:
        return seen.says(
            "unclear",
            f"validation loss goes up and down by {seen.wobble:.2f} from point to point, so that"
            f" its {last.validation_loss:.2f} at the end tells nothing from its least,"
            f" {best.validation_loss:.2f}; evaluate on more texts or train at a lower rate.",
        )
    return seen.says(
        "overfitting",
        f"validation loss was least, {best.validation_loss:.2f}, after epoch {best.epoch:g} and is"
        f" {last.validation_loss:.2f} at the end, while training loss fell from"
        f" {best.training_loss:.2f} to {last.training_loss:.2f}.{_but_better(best, last)}",
    )


def _but_better(best: Point, last: Point) -> str:
    if last.validation_macro_f1 <= best.validation_macro_f1:
        return ""
    return (
        f" Macro-F1 still rose from {best.validation_macro_f1:.2f} to"
        f" {last.validation_macro_f1:.2f}: the guesses aren't worse, but too sure."
    )


def _still_falling(seen: _Seen) -> Diagnosis | None:
    tail, last = seen.tail, seen.last
    fall = tail.validation_loss - last.validation_loss
    if fall < max(FALL * tail.validation_loss, LEAST_NATS) or fall < WOBBLES * seen.wobble:
        return None
    return seen.says(
        "underfitting",
        f"validation loss still fell from {tail.validation_loss:.2f} after epoch {tail.epoch:g} to"
        f" {last.validation_loss:.2f} at the end, training loss from {tail.training_loss:.2f} to"
        f" {last.training_loss:.2f}: train for longer or at a higher rate.",
    )


def _by_heart(seen: _Seen) -> Diagnosis | None:
    last = seen.last
    gap = last.validation_loss - last.training_loss
    if last.training_loss > BY_HEART * last.validation_loss or gap < UNSURE_NATS / 2:
        return None
    return seen.says(
        "overfitting",
        f"validation loss has settled at {last.validation_loss:.2f}, while training loss fell to"
        f" {last.training_loss:.3f}: the training texts are known by heart, which helps no other.",
    )


def _never_learnt(seen: _Seen) -> Diagnosis | None:
    if seen.last.training_loss <= UNSURE_NATS:
        return None
    return seen.says(
        "underfitting",
        f"{seen.losses}, and it has settled: even of a training text the right class gets a"
        f" probability of {math.exp(-seen.last.training_loss):.2f} only (geometric mean).",
    )


def _well(seen: _Seen) -> Diagnosis:
    return seen.says(
        "fits well",
        f"{seen.losses}, which is at or near its least, {seen.best.validation_loss:.2f} after epoch"
        f" {seen.best.epoch:g}.",
    )


def _rose(least: float, last: float) -> bool:
    return last - least >= max(RISE * least, LEAST_NATS)


_RULES: tuple[Callable[[_Seen], Diagnosis | None], ...] = (
    _unstable, _worse, _still_falling, _by_heart, _never_learnt, _well,
)  # fmt: skip
