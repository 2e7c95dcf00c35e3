"""The parameters of a notebook, read from its cell tagged `parameters` without running it.

Types are those of the annotations. A range is written as in the package annotated_types, or as a
field of pydantic: `width: Annotated[int, Interval(ge=1, le=512)] = 32`.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import TYPE_CHECKING, Any

from enterprise_lab.batch.attempt import Scalar
from enterprise_lab.errors import LabError

if TYPE_CHECKING:
    from nbformat import NotebookNode

_KINDS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
_BOUNDS: Mapping[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "ge": ("at least", operator.ge),
    "gt": ("above", operator.gt),
    "le": ("at most", operator.le),
    "lt": ("below", operator.lt),
}
"""How a bound is said, and what holds within it."""
_RANGES = {"Ge": "ge", "Gt": "gt", "Le": "le", "Lt": "lt", "Interval": None, "Field": None}
"""What is read in `Annotated`, with the bound that its first argument is."""


@dataclass(frozen=True)
class Accepted:
    """What an annotation allows: types, the values of a Literal, and bounds such as `ge`."""

    kinds: frozenset[type] = frozenset()
    choices: tuple[Scalar, ...] = ()
    bounds: tuple[tuple[str, int | float], ...] = ()


@dataclass(frozen=True)
class Parameter:
    """One assignment of the parameters cell.

    `accepted` is empty when the cell does not tell. `has_default` is false when the default is not
    a plain literal.
    """

    name: str
    annotation: str
    accepted: Accepted
    default: Scalar
    has_default: bool

    def accept(self, value: Scalar) -> Scalar:
        """Return the value as the notebook wants it: an int becomes a float where one is due.

        Raises LabError when the value is not of the parameter's type, or out of its range.
        """
        kinds, choices = self.accepted.kinds, self.accepted.choices
        if not kinds and not choices:
            raise LabError(
                f"the type of {self.name} cannot be told from the notebook",
                f"Annotate {self.name} in the parameters cell with str, int, float, bool or "
                "Literal[...].",
            )
        if any(type(value) is type(choice) and value == choice for choice in choices):
            return value
        if type(value) is int and float in kinds and int not in kinds:
            value = float(value)
        if type(value) not in kinds:
            raise LabError(f"{self.name} is {self.annotation}, not {value!r}", self._mend(value))
        if not self._within(value):
            raise LabError(
                f"{self.name} is {self.range}, not {value!r}",
                "Give a value in this range: the notebook says it in its parameters cell.",
            )
        return value

    @property
    def range(self) -> str:
        """The bounds in words: `at least 1 and at most 512`."""
        return " and ".join(f"{_BOUNDS[key][0]} {bound:,}" for key, bound in self.accepted.bounds)

    def _within(self, value: Scalar) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return True
        return all(_BOUNDS[key][1](value, bound) for key, bound in self.accepted.bounds)

    def _mend(self, value: Scalar) -> str:
        if self.accepted.choices:
            return f"Give one of: {', '.join(map(repr, self.accepted.choices))}."
        if isinstance(value, str) and self.accepted.kinds & {int, float} and _is_number(value):
            return f"Write {value} as a number: no quotes, and exponents as in 1.0e+6."
        if self.accepted.kinds == {bool}:
            return "Write true or false."
        if str in self.accepted.kinds and isinstance(value, int | float):
            return "Put it in quotes, which make it text."
        return f"Give a value of type {self.annotation}."


def read_parameters(notebook: NotebookNode) -> dict[str, Parameter]:
    """Read the parameters of a notebook by name.

    Raises LabError when no cell is tagged `parameters` or when that cell is not plain Python.
    """
    cells = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if not cells:
        raise LabError(
            "no code cell of the notebook is tagged `parameters`",
            "Tag the cell that holds its parameters.",
        )
    try:
        body = ast.parse(cells[0].source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise LabError(
            f"the notebook's parameters cell is not plain Python: {error}",
            "Keep only imports and assignments in it.",
        ) from None
    return {p.name: p for statement in body for p in _assigned(statement)}


def _assigned(statement: ast.stmt) -> list[Parameter]:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
            return [_parameter(name, annotation, value)]
        case ast.Assign(targets=targets, value=value):
            return [_parameter(t.id, None, value) for t in targets if isinstance(t, ast.Name)]
    return []


def _parameter(name: str, annotation: ast.expr | None, value: ast.expr | None) -> Parameter:
    try:
        default = ast.literal_eval(value) if value else None
        has_default = value is not None and isinstance(default, bool | int | float | str | None)
    except ValueError:
        default, has_default = None, False
    if annotation is None:
        kinds = frozenset({type(default)} if has_default and default is not None else ())
        text = next((k.__name__ for k in kinds), "not annotated")
        accepted = Accepted(kinds)
    else:
        text = ast.unparse(_plain(annotation))
        accepted = _accepted(annotation) or Accepted()
    if type(default) is int and float in accepted.kinds and int not in accepted.kinds:
        default = float(default)
    return Parameter(name, text, accepted, default if has_default else None, has_default)


def _accepted(annotation: ast.expr) -> Accepted | None:
    """Return what an annotation allows, or None if it is not understood."""
    match annotation:
        case ast.Name(id=name) if name in _KINDS:
            return Accepted(frozenset({_KINDS[name]}))
        case ast.Constant(value=None):
            return Accepted(frozenset({NoneType}))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _joined([left, right])
        case ast.Subscript(value=base, slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            match _last_name(base):
                case "Literal":
                    choices = [_literal(item) for item in items]
                    return None if None in choices else Accepted(choices=tuple(choices))
                case "Optional":
                    return _joined([*items, ast.Constant(None)])
                case "Annotated":
                    plain = _accepted(items[0])
                    bounds = tuple(bound for item in items[1:] for bound in _bounds(item))
                    return plain and replace(plain, bounds=(*plain.bounds, *bounds))
    return None


def _joined(alternatives: list[ast.expr]) -> Accepted | None:
    accepted = [_accepted(a) for a in alternatives]
    known = [a for a in accepted if a is not None]
    if len(known) < len(accepted):
        return None
    return Accepted(
        frozenset().union(*(a.kinds for a in known)),
        tuple(choice for a in known for choice in a.choices),
        tuple(bound for a in known for bound in a.bounds),
    )


def _bounds(metadata: ast.expr) -> list[tuple[str, int | float]]:
    """Read the bounds of `Ge(1)`, `Interval(ge=1, le=512)`, `Field(gt=0)`; others say none."""
    if not isinstance(metadata, ast.Call) or _last_name(metadata.func) not in _RANGES:
        return []
    first = _RANGES[_last_name(metadata.func)]
    said: list[tuple[str | None, ast.expr]] = [(first, one) for one in metadata.args[:1]]
    said += [(keyword.arg, keyword.value) for keyword in metadata.keywords]
    return [
        (key, value)
        for key, expression in said
        if key is not None
        and key in _BOUNDS
        and isinstance(value := _literal(expression), int | float)
    ]


def _literal(expression: ast.expr) -> Scalar:
    """Return the value of a literal; None for what is none, or isn't single."""
    try:
        value = ast.literal_eval(expression)
    except ValueError:
        return None
    return value if isinstance(value, bool | int | float | str) else None


def _plain(annotation: ast.expr) -> ast.expr:
    """Return an annotation without what `Annotated` adds to it."""
    match annotation:
        case ast.Subscript(value=base, slice=ast.Tuple(elts=[inner, *_])) if (
            _last_name(base) == "Annotated"
        ):
            return inner
    return annotation


def _last_name(expression: ast.expr) -> str:
    return ast.unparse(expression).rpartition(".")[2]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
