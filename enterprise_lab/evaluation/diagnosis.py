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

from enterprise_lab.errors import InvalidValueError
from enterprise_lab.evaluation.curves import Point

Verdict = Literal["overfitting", "underfitting", "fits well", "unclear"]

FEWEST_POINTS = 3
"""Fewer show no course: two can't tell a trend from chance."""
RISE = 0.05
"""Share of its least by which a validation loss has risen where it is getting worse."""
FALL = 0.10
"""Share by which a validation loss falls from one quarter to the next where it hasn't settled."""
GAP = 0.10
"""Share of the validation loss by which the training loss is below it where one overfits at all."""
LEARNT = 0.50
"""Such a share from which on the training texts are learnt: what falls then isn't underfitting."""
BY_HEART = 0.80
"""Such a share at which the training texts are known by heart."""
LEAST_NATS = 0.02
"""Smaller changes of a loss mean nothing: 2 % of the probability of the right class."""
UNSURE_NATS = math.log(2)
"""A training loss above it: the right class of a training text gets less than even odds."""
WOBBLES = 4.0
"""Times the wobble of a curve that a rise or fall must exceed to be told from it."""
NOISE = 0.10
"""Share of a validation loss from which its wobble hides what else it does."""


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

    - unclear: fewer than three points; a loss that isn't finite; both losses rise since the
      validation loss was least; or this goes up and down by a tenth of itself, and no other change
      is clear, which takes four times as much.
    - overfitting: since its least the validation loss has risen by 5 % or more, and the training
      loss is 10 % below it or more; or it gained less than 5 % in the second half, at the end of
      which it is five times the training loss or more.
    - underfitting: the validation loss still fell by 10 % or more in the last quarter, and is not
      twice the training loss yet; or it has settled while this still is above ln 2 nats.
    - fits well: none of these.

    A curve's end is its last quarter: from six points on the mean of two or more of them.
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
            f"a course shows from {FEWEST_POINTS} points on, not from {len(points)}; evaluate more"
            " often.",
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
    def quarter(self) -> int:
        """How many points are a quarter of the curve."""
        return max(1, round(len(self.points) / 4))

    @property
    def middle(self) -> Point:
        """The point that the second half begins after."""
        return self.points[(len(self.points) - 1) // 2]

    @property
    def ending(self) -> tuple[Point, ...]:
        """The points of the last quarter."""
        return self.points[-self.quarter :]

    @property
    def end(self) -> float:
        """The validation loss of the last quarter: nats."""
        return _mean_loss(self.ending)

    @property
    def before(self) -> float:
        """The validation loss of the quarter before the last: nats."""
        return _mean_loss(self.points[-2 * self.quarter : -self.quarter])

    @property
    def since(self) -> tuple[Point, ...]:
        """The points of the last quarter that come after the least validation loss."""
        return self.points[self.points.index(self.best) + 1 :][-self.quarter :]

    @property
    def gap(self) -> float:
        """How far the training loss is below the validation loss at the end: a share of this."""
        return 1 - self.last.training_loss / self.end if self.end else 0.0

    @property
    def wobble(self) -> float:
        """How far the validation loss turns back and forth, but for its turn at its least: nats."""
        losses = [point.validation_loss for point in self.points]
        turns = [
            min(abs(one - before), abs(after - one))
            for before, one, after in zip(losses, losses[1:], losses[2:], strict=False)
            if (one - before) * (after - one) < 0 and one != self.best.validation_loss
        ]
        return sum(turns) / len(turns) if turns else 0.0

    @property
    def rises(self) -> bool:
        """Whether the validation loss has clearly risen since its least."""
        least = self.best.validation_loss
        return bool(self.since) and self.clear(_mean_loss(self.since) - least, RISE, least)

    def clear(self, change: float, share: float, whole: float) -> bool:
        """Whether a change of the validation loss is such a share, and told from its wobble."""
        return change >= max(share * whole, LEAST_NATS, WOBBLES * self.wobble)

    @property
    def losses(self) -> str:
        first, last = self.points[0], self.last
        return (
            f"training loss went from {first.training_loss:.2f} to {last.training_loss:.2f}"
            f" and validation loss from {first.validation_loss:.2f} to {last.validation_loss:.2f}"
        )

    def says(self, verdict: Verdict, because: str) -> Diagnosis:
        return Diagnosis(verdict, because, self.best)


def _mean_loss(points: Sequence[Point]) -> float:
    return sum(point.validation_loss for point in points) / len(points)


def _level(points: Sequence[Point]) -> str:
    """Say the validation loss of the last points."""
    if len(points) == 1:
        return f"is {_mean_loss(points):.2f} at the end"
    return f"is {_mean_loss(points):.2f} on average over the last {len(points)} points"


def _unstable(seen: _Seen) -> Diagnosis | None:
    best, last = seen.best, seen.last
    if last.training_loss <= best.training_loss or not seen.rises:
        return None
    return seen.says(
        "unclear",
        f"since epoch {best.epoch:g} training loss rose from {best.training_loss:.2f} to"
        f" {last.training_loss:.2f} and validation loss from {best.validation_loss:.2f} to"
        f" {last.validation_loss:.2f}: the training is unstable; try a lower learning rate.",
    )


def _worse(seen: _Seen) -> Diagnosis | None:
    best, last = seen.best, seen.last
    if seen.gap < GAP or not seen.rises:
        return None
    return seen.says(
        "overfitting",
        f"validation loss was least, {best.validation_loss:.2f}, after epoch {best.epoch:g} and"
        f" {_level(seen.since)}, while training loss fell from {best.training_loss:.2f} to"
        f" {last.training_loss:.2f}.{_but_better(best, last)}",
    )


def _but_better(best: Point, last: Point) -> str:
    if last.validation_macro_f1 <= best.validation_macro_f1:
        return ""
    return (
        f" Macro-F1 still rose from {best.validation_macro_f1:.2f} to"
        f" {last.validation_macro_f1:.2f}: the guesses aren't worse, but too sure."
    )


def _still_falling(seen: _Seen) -> Diagnosis | None:
    if seen.gap > LEARNT or not seen.clear(seen.before - seen.end, FALL, seen.before):
        return None
    return seen.says(
        "underfitting",
        f"validation loss was {seen.before:.2f} a quarter of the training earlier and"
        f" {_level(seen.ending)}, still falling, with training loss at"
        f" {seen.last.training_loss:.2f}: train for longer or at a higher rate.",
    )


def _noisy(seen: _Seen) -> Diagnosis | None:
    if seen.wobble < max(NOISE * seen.end, LEAST_NATS):
        return None
    return seen.says(
        "unclear",
        f"validation loss goes up and down by {seen.wobble:.2f} from point to point, which hides"
        f" what else it does between {seen.best.validation_loss:.2f} and"
        f" {seen.last.validation_loss:.2f}; evaluate on more texts or train at a lower rate.",
    )


def _by_heart(seen: _Seen) -> Diagnosis | None:
    middle, last = seen.middle, seen.last
    gain = middle.validation_loss - seen.end
    if seen.gap < BY_HEART or gain >= max(RISE * middle.validation_loss, LEAST_NATS):
        return None
    if seen.end - last.training_loss < UNSURE_NATS / 2:
        return None
    return seen.says(
        "overfitting",
        f"validation loss was {middle.validation_loss:.2f} after epoch {middle.epoch:g} and"
        f" {_level(seen.ending)}, while training loss fell from {middle.training_loss:.3f} to"
        f" {last.training_loss:.3f}: what was learnt in the second half, the training texts by"
        " heart, helps no others.",
    )


def _never_learnt(seen: _Seen) -> Diagnosis | None:
    if seen.last.training_loss <= UNSURE_NATS:
        return None
    return seen.says(
        "underfitting",
        f"{seen.losses}, and has settled: even of a training text the right class gets a"
        f" probability of {math.exp(-seen.last.training_loss):.2f} only (geometric mean).",
    )


def _wide(seen: _Seen) -> str:
    if seen.gap < BY_HEART:
        return ""
    return " The training texts are learnt: other texts would gain by more labels, not more epochs."


def _well(seen: _Seen) -> Diagnosis:
    return seen.says(
        "fits well",
        f"{seen.losses}, which is at or near its least, {seen.best.validation_loss:.2f} after epoch"
        f" {seen.best.epoch:g}.{_wide(seen)}",
    )


_RULES: tuple[Callable[[_Seen], Diagnosis | None], ...] = (
    _unstable, _worse, _still_falling, _noisy, _by_heart, _never_learnt, _well,
)  # fmt: skip
