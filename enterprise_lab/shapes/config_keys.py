"""The keys of a config.json, read one by one with a sentence on what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enterprise_lab.errors import InvalidValueError, LabError, require_whole

_LARGEST = 100_000_000


class ConfigKeys:
    """A config whose keys are read by any of their names; a null counts as missing."""

    def __init__(self, keys: Mapping[str, Any], model_type: str) -> None:
        self._keys = keys
        self.model_type = model_type

    def size(self, *names: str, default: int | None = None, smallest: int = 1) -> int:
        """Return a whole number; LabError where it is missing and has no default."""
        for name in names:
            value = self._keys.get(name)
            if value is not None:
                return require_whole(name, value, _LARGEST, smallest)
        if default is None:
            raise LabError(
                f"This {self.model_type} config has no {' or '.join(names)}.",
                "Add it, or give the whole config.json of the model.",
            )
        return default

    def flag(self, name: str, default: bool) -> bool:
        """Return a truth value."""
        value = self._keys.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise InvalidValueError(
                f"{name} must be true or false, not {value!r}.", "Give one of the two."
            )
        return value

    def text(self, name: str, default: str) -> str:
        """Return a text."""
        return str(self._keys.get(name) or default)

    def part(self, name: str) -> ConfigKeys:
        """Return a nested config, empty where there is none."""
        nested = self._keys.get(name) or {}
        if not isinstance(nested, Mapping):
            raise InvalidValueError(f"{name} must be an object, not {nested!r}.", "Mend it.")
        return ConfigKeys(nested, self.model_type)

    def refuse(self, name: str) -> None:
        """Raise LabError where an option is set whose parameters are not counted."""
        if self.flag(name, False):
            raise LabError(
                f"{self.model_type} models with {name} are not estimated.",
                f"Give a config without {name}, or the shape by hand: TransformerShape(...).",
            )
