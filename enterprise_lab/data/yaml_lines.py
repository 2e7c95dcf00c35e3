"""YAML files with the line and the span of every value, so that a problem can name its place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

Location: TypeAlias = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """Where a value stands in its text: the line of its key (from 1), the characters it spans."""

    line: int
    start: int
    end: int


@dataclass(frozen=True)
class Document:
    """What a YAML text says, and where it says it; `repeated` are keys that are given again."""

    content: Any
    places: dict[Location, Place]
    repeated: tuple[Location, ...] = ()

    def where(self, location: Location) -> str:
        """Name a place: `line 5 (files[0].bytes)`; of a missing key the line it belongs below."""
        known = location
        while known not in self.places:
            known = known[:-1]
        name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
        return f"line {self.places[known].line}" + (f" ({name.lstrip('.')})" if name else "")


class _Loader(yaml.SafeLoader):
    """Reads what YAML 1.2 and editors call booleans and numbers: `on` is a word, 5e-5 a number."""


_BOOLEAN, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in forms if tag != _BOOLEAN]
    for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile("^(true|True|TRUE|false|False|FALSE)$"), "tTfF")
_Loader.add_implicit_resolver(
    _FLOAT, re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), "-+0123456789"
)


class BadYAMLError(Exception):
    """A text that is no YAML document of plain values: the line (0 if unknown) and the reason."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line = line
        self.reason = reason


def read(text: str, *, repeated: bool = False) -> Document:
    """Read one YAML document; BadYAMLError for anything else.

    Keys given twice are noted with `repeated`, of which the last holds, and refused without.
    """
    places: dict[Location, Place] = {(): Place(1, 0, len(text))}
    again: list[Location] = []
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(None, places)
        _note(node, (), places, 1, again)
        if again and not repeated:
            key = again[0]
            raise BadYAMLError(places[key].line, f"the key {key[-1]} is given twice")
        return Document(loader.construct_document(node), places, tuple(again))
    except BadYAMLError:
        raise
    except RecursionError:
        raise BadYAMLError(0, "it is nested too deeply") from None
    except Exception as error:  # PyYAML's constructors raise nearly anything for a wrong tag
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error) or type(error).__name__
        raise BadYAMLError(mark.line + 1 if mark else 0, reason) from error


def _note(
    node: yaml.Node,
    location: Location,
    places: dict[Location, Place],
    line: int,
    again: list[Location],
) -> None:
    """Note the place of every value below a node. Aliases are refused: a value has one place."""
    if location in places and location:
        again.append(location)
    places[location] = Place(line, node.start_mark.index, node.end_mark.index)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            line = key.start_mark.line + 1
            if value.start_mark.index < key.start_mark.index:
                raise BadYAMLError(line, "an alias stands here")
            _note(value, (*location, str(key.value)), places, line, again)
    elif isinstance(node, yaml.SequenceNode):
        before = node.start_mark.index
        for position, item in enumerate(node.value):
            if item.start_mark.index <= before:
                raise BadYAMLError(line, "an alias stands here")
            before = item.start_mark.index
            _note(item, (*location, position), places, item.start_mark.line + 1, again)
