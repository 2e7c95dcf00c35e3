"""Errors a person can cause: what is wrong, and what to do about it."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Iterable


class LabError(Exception):
    """A mistake the user can mend: one sentence on what is wrong, one on what to do.

    The command line prints both and exits with 2; a notebook shows them without a traceback.
    """

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"

    def _render_traceback_(self) -> list[str]:
        """IPython's hook: the lines to show instead of a traceback."""
        return [f"{type(self).__name__}: {self.problem}", self.remedy]


class InvalidValueError(LabError):
    """A number or option outside what it can be."""


class UnknownNameError(LabError):
    """A name that nothing answers to."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        asked = name.casefold()

        def likeness(other: str) -> float:
            beginning = other.casefold()[: len(asked)]
            return _ratio(asked, other.casefold()) + _ratio(asked, beginning)

        near = sorted(sorted(known), key=likeness, reverse=True)[:6]
        super().__init__(f"There is no {kind} called {name!r}.", f"Near names: {', '.join(near)}.")


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


class AmbiguousNameError(LabError):
    """A name that more than one thing answers to."""

    def __init__(self, kind: str, name: str, candidates: Iterable[str]) -> None:
        super().__init__(
            f"{name!r} could be more than one {kind}.", f"Say which: {', '.join(candidates)}."
        )


def require_positive(**values: float) -> None:
    """Raise InvalidValueError unless every value is a finite number above zero."""
    for name, value in values.items():
        if not isinstance(value, numbers.Real) or not 0 < value < float("inf"):
            raise InvalidValueError(
                f"{name} must be a finite number above zero, not {value!r}.",
                f"Give {name} a value above zero.",
            )


def require_whole(name: str, value: object, largest: int, smallest: int = 1) -> None:
    """Raise InvalidValueError unless the value is a whole number from `smallest` to `largest`."""
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        raise InvalidValueError(
            f"{name} must be a whole number from {smallest:,} to {largest:,}, not {value!r}.",
            f"Give {name} within these bounds.",
        )
