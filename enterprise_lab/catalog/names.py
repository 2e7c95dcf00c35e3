"""Look-up by the names people use."""

from __future__ import annotations

import re
from collections.abc import Iterable

from enterprise_lab.errors import (
    AmbiguousNameError,
    InvalidValueError,
    UnknownNameError,
    require_kind,
)


def fold(text: str) -> str:
    """Strip case and punctuation from a name: `fold("p4d.24xlarge")` is `p4d24xlarge`."""
    return "".join(_words(text))


def find(kind: str, query: str, known: Iterable[str]) -> str:
    """Find the one known name that `query` means, whatever its case and punctuation.

    Raises UnknownNameError or AmbiguousNameError, both listing the names near it.
    """
    found = find_all(kind, query, known)
    if len(found) > 1:
        raise AmbiguousNameError(kind, query, found)
    return found[0]


def find_all(kind: str, query: str, known: Iterable[str]) -> list[str]:
    """Find the known names `query` can mean: the exact one, or those whose words it abbreviates.

    The first word of a name is never abbreviated, as it tells models apart: L40 is not L40S,
    p4d not p4de. Raises UnknownNameError where there is none.
    """
    if not isinstance(query, str):
        raise InvalidValueError(
            f"No {kind} is called {query!r}, which is no text.", f"Give the {kind}'s name."
        )
    names = list(known)
    exact = [name for name in names if fold(name) == fold(query)]
    found = exact or [name for name in names if _abbreviates(query, name)]
    if not found:
        begun = [name for name in names if fold(query) and fold(name).startswith(fold(query))]
        raise UnknownNameError(kind, query, begun or names)
    return found


def mentions(text: str, *fields: str | None) -> bool:
    """Whether every word of `text` begins a word of the fields, or a field run together."""
    require_kind("text", text, str, "'a100'")
    given = [field for field in fields if field]
    beginnings = [fold(field) for field in given] + [w for field in given for w in _words(field)]
    return all(any(known.startswith(word) for known in beginnings) for word in _words(text))


def _words(text: str) -> list[str]:
    return re.findall(r"[0-9a-z]+", text.casefold())


def _abbreviates(query: str, name: str) -> bool:
    asked, (first, *rest) = _words(query), _words(name)
    if not asked:
        return False
    whole = [word for word in asked if word in (first, *rest)]
    begun = [word for word in asked if any(other.startswith(word) for other in rest)]
    words_match = bool(whole) and set(asked) <= {*whole, *begun}
    run_together = fold(name).startswith(fold(query)) and len(fold(query)) > len(first)
    return words_match or run_together
