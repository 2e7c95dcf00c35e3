"""Licence texts from the package licensedcode-data: each with its category and its family."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from enterprise_lab.data import store
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.texts import Texts, labelled

_PARTS = re.compile(r"---\n(?P<head>.*?)\n---[ \t]*(?:\n(?P<text>.*))?", re.DOTALL)
_KEYS = re.compile(r"^(?:key|category|language|is_deprecated):.*$", re.MULTILINE)


@dataclass(frozen=True)
class Licence:
    """A licence or an exception to one: its key, the experts' category, its family and its text."""

    key: str
    category: str
    family: str
    text: str
    language: str = "en"


@cache
def licences() -> tuple[Licence, ...]:
    """Return the licences that are in force and have a text, by key.

    Raises DataError where the package isn't installed or its files aren't those of the manifest.
    """
    folder = store.at_hand("licence-texts")
    found = (_licence(file) for file in sorted(folder.glob("*.LICENSE")))
    return tuple(one for one in found if one is not None)


def by_category(categories: int = 5) -> Texts:
    """Return whole English licences labelled by their category, of those that have the most."""
    english = [one for one in licences() if one.language == "en"]
    counted = Counter(one.category for one in english)
    kept = {name for name, _ in counted.most_common(categories)}
    chosen = [one for one in english if one.category in kept]
    return labelled(
        [one.text for one in chosen],
        [one.category for one in chosen],
        [one.family for one in chosen],
    )


def family_of(key: str) -> str:
    """Return the family of a licence: the first part of its key, as `cc` of cc-by-4.0.

    It holds together what one firm or project wrote. Relatives under other names (gpl and agpl,
    mpl and cpal) it keeps apart; their texts tell them: `join_relatives`.
    """
    return key.partition("-")[0]


def _licence(file: Path) -> Licence | None:
    """Read a file: YAML between two lines of three dashes, then the text."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        parts = _PARTS.fullmatch(file.read_text(encoding="utf-8"))
        if parts is None:
            raise ValueError("it has no two lines of three dashes")
        known = yaml.load("\n".join(_KEYS.findall(parts["head"])), Loader=loader)
        text = (parts["text"] or "").strip()
        if known.get("is_deprecated") or not text:
            return None
        key = str(known["key"])
        language = str(known.get("language", "en"))
        return Licence(key, str(known["category"]), family_of(key), text, language)
    except (ValueError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise DataError(
            f"{file.name} is no licence with YAML before its text: {error}.",
            "Run `python -m pip install --force-reinstall licensedcode-data`.",
        ) from error
