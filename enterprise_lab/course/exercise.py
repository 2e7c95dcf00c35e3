"""Exercises that check themselves: against a reference, on fresh cases, knowing the mistakes."""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import numpy as np

from enterprise_lab.errors import LabError

Case = Mapping[str, Any]
_CASES = 20
_RELATIVE_TOLERANCE = 1e-6


class CheckError(LabError):
    """An answer that isn't right yet: on which case, and where to look."""


@dataclass(frozen=True)
class Mistake:
    """What a common mistake answers, and the hint for whoever makes it."""

    answer: Callable[..., object]
    hint: str


@dataclass
class Exercise:
    """A function to write. Call the exercise with it to check it.

    `case` draws the arguments of one random case, `reference` answers it, `example` is the
    worked example of the function's docstring, which is checked first.
    """

    name: str
    reference: Callable[..., object]
    case: Callable[[np.random.Generator], Case]
    example: Case
    mistakes: tuple[Mistake, ...]
    _attempts: int = field(default=0, init=False)

    def __call__(self, answer: Callable[..., object]) -> None:
        """Say that the answer is right, or raise CheckError."""
        self._attempts += 1
        seed = [zlib.crc32(self.name.encode()), self._attempts]
        rng = np.random.default_rng(seed)
        cases = [self.example, *(self.case(rng) for _ in range(_CASES))]
        wanted = [self.reference(**case) for case in cases]
        given = [self._ask(answer, case) for case in cases]
        for case, mine, right in zip(cases, given, wanted, strict=True):
            if not _agree(mine, right):
                raise CheckError(
                    f"{self.name}: not right for {_show(case)}. {_compare(mine, right)}",
                    self._hint(cases, given),
                )
        print(f"✓ {self.name}: right on the worked example and on {_CASES} random cases.")  # noqa: T201

    def _ask(self, answer: Callable[..., object], case: Case) -> object:
        try:
            # A copy: an answer may change what it is given, and the case is shown afterwards.
            return answer(**copy.deepcopy(dict(case)))
        except NotImplementedError as error:
            raise CheckError(
                f"{self.name}: not written yet.",
                "Replace the line `raise NotImplementedError` by your answer and run both cells.",
            ) from error
        except Exception as error:
            raise CheckError(
                f"{self.name}: stopped with {type(error).__name__} ({error}) for {_show(case)}.",
                "Run your function on this case by itself to see where.",
            ) from error

    def _hint(self, cases: list[Case], given: list[object]) -> str:
        for mistake in self.mistakes:
            made = [mistake.answer(**case) for case in cases]
            if all(_agree(mine, theirs) for mine, theirs in zip(given, made, strict=True)):
                return mistake.hint
        return "Work this case by hand, term by term, and compare; watch the units."


def _agree(mine: object, right: object) -> bool:
    if _is_number(mine) and _is_number(right):
        return math.isclose(float(mine), float(right), rel_tol=_RELATIVE_TOLERANCE)
    return type(mine) is type(right) and mine == right


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _compare(mine: object, right: object) -> str:
    if _is_number(right):
        if mine is None:
            return "Your function returned None; does every path end in a return?"
        if not _is_number(mine) or math.isnan(mine):
            return f"Your answer, {mine!r}, is not a number."
        side = "small" if mine < right else "large"
        return f"Your answer, {_figure(mine)}, is too {side}."
    if right is None and _is_number(mine):
        return f"Your answer, {_figure(mine)}, is not the one."
    if mine is not None and not isinstance(mine, str):
        return f"Your function returned a {type(mine).__name__}; the task asks for a name or None."
    return f"Your answer, {mine!r}, is not the one."


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def _show(case: Case) -> str:
    return ", ".join(f"{name}={_written(value)}" for name, value in case.items())


def _written(value: object) -> str:
    if isinstance(value, list):
        return "[\n" + "".join(f"    {item},\n" for item in value) + "]"
    return repr(value)
