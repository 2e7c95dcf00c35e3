"""Errors a person can cause: what is wrong, and what to do about it."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Callable, Hashable, Iterable
from types import UnionType

FEW = 20
"""Names that are all shown where one was not found; of more only the nearest."""


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

        near = sorted(sorted(known), key=likeness, reverse=True)
        shown = ("Near names first", near) if len(near) <= FEW else ("Near names", near[:6])
        super().__init__(
            f"There is no {kind} called {name!r}.", f"{shown[0]}: {', '.join(shown[1])}."
        )


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()


class AmbiguousNameError(LabError):
    """A name that more than one thing answers to."""

    def __init__(self, kind: str, name: str, candidates: Iterable[str]) -> None:
        super().__init__(
            f"{name!r} could be more than one {kind}.", f"Say which: {', '.join(candidates)}."
        )


def require_positive(**values: object) -> None:
    """Raise InvalidValueError unless every value is a finite number above zero."""
    _require_numbers(values, "above zero", lambda value: value > 0)


def require_not_negative(**values: object) -> None:
    """Raise InvalidValueError unless every value is a finite number, zero or above."""
    _require_numbers(values, "of zero or above", lambda value: value >= 0)


def require_share(**values: object) -> None:
    """Raise InvalidValueError unless every value is a number from 0 to 1."""
    _require_numbers(values, "from 0 to 1", lambda value: 0 <= value <= 1)


def require_finite(**values: object) -> None:
    """Raise InvalidValueError unless every value is a finite number."""
    _require_numbers(values, "of either sign", lambda _: True)


def require_whole(name: str, value: object, largest: int, smallest: int = 1) -> int:
    """Return a whole number, NumPy's too, as an int.

    Raises InvalidValueError for anything else, and beyond `smallest` and `largest`.
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        number = int(value)
        if smallest <= number <= largest:
            return number
    raise InvalidValueError(
        f"{name} must be a whole number from {smallest:,} to {largest:,}, not {value!r}.",
        f"Give {name} within these bounds.",
    )


def keep_whole(owner: object, name: str, largest: int, smallest: int = 1) -> None:
    """Make a frozen dataclass's field an int; InvalidValueError as in `require_whole`."""
    whole = require_whole(name, getattr(owner, name), largest, smallest)
    object.__setattr__(owner, name, whole)


def require_flag(**values: object) -> None:
    """Raise InvalidValueError unless every value is True or False."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise InvalidValueError(
                f"{name} must be True or False, not {value!r}.", "Give one of the two."
            )


def require_one_of(name: str, value: object, known: Iterable[object]) -> None:
    """Raise InvalidValueError for a value that is none of those known."""
    listed = tuple(known)
    if not isinstance(value, Hashable) or value not in listed:
        raise InvalidValueError(
            f"{name} must be one of {', '.join(map(str, listed))}, not {value!r}.",
            "Give one of them.",
        )


def require_kind(name: str, value: object, kind: type | UnionType, example: str) -> None:
    """Raise InvalidValueError with an example unless the value is an instance of a class."""
    if not isinstance(value, kind):
        raise InvalidValueError(
            f"{name} can't be {value!r}.", f"Give what it has to be, such as {example}."
        )


def _require_numbers(
    values: dict[str, object], bounds: str, holds: Callable[[float], bool]
) -> None:
    for name, value in values.items():
        number = _number(value)
        if not math.isfinite(number) or not holds(number):
            raise InvalidValueError(
                f"{name} must be a finite number {bounds}, not {value!r}.",
                f"Give {name} a value {bounds}.",
            )


def _number(value: object) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
