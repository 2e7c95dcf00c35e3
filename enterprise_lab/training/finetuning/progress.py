"""How far a training has come: a bar's words in a notebook, sparse lines in a batch log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import transformers

from enterprise_lab.evaluation.curves import Point
from enterprise_lab.units import format_seconds

Tell = Callable[[str, float], object]
"""What is told in words, and the share of all that is done."""

SECONDS = 0.5
"""Between two tellings: a notebook draws its bar anew at each."""
PARTS = 10
"""Of a training for which a log gets a line."""


class Steps(transformers.TrainerCallback):
    """Tells the number of each step when it is done, and the mean loss of a text in it.

    A GPU is waited for at each.
    """

    def __init__(self, tell: Callable[[int, float], object], loss: Callable[[], float]) -> None:
        self._tell, self._loss = tell, loss

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Tell it."""
        self._tell(state.global_step, self._loss())


class Progress(transformers.TrainerCallback):
    """Tells the epoch, the validation's figures and the seconds left, twice a second at most.

    A GPU isn't waited for, and may be some steps behind.
    """

    def __init__(self, tell: Tell, points: Callable[[], Sequence[Point]]) -> None:
        self._tell, self._points = tell, points
        self._began = self._told = time.perf_counter()
        self._first = 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Note where the training begins, or goes on."""
        self._began, self._first = time.perf_counter(), state.global_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Tell how far it is, if it is time to."""
        now = time.perf_counter()
        if now - self._told < SECONDS and state.global_step < state.max_steps:
            return
        self._told = now
        done, steps = state.global_step, state.max_steps
        left = (now - self._began) / max(1, done - self._first) * (steps - done)
        words = [f"epoch {min(int(state.epoch) + 1, args.num_train_epochs)}"
                 f" of {args.num_train_epochs}"]  # fmt: skip
        if points := self._points():
            words.append(f"macro-F1 {points[-1].validation_macro_f1:.3f}")
        words.append(f"{format_seconds(left)} left")
        self._tell(", ".join(words), done / steps)


def lines(write: Callable[[str], object]) -> Tell:
    """Return what tells a log: a line at the beginning, and for each tenth that is done.

    `lines(sys.stdout.write)` suits a batch run, whose log keeps every line.
    """
    told = -1

    def tell(what: str, share: float) -> None:
        nonlocal told
        part = int(share * PARTS)
        if part != told:
            told = part
            write(f"{share:.0%} {what}\n")

    return tell
