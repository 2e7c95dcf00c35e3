"""The parameters of a notebook, read from its cell tagged `parameters` without running it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from types import NoneType
from typing import TypeAlias

from nbformat import NotebookNode

from enterprise_lab.batch.plan import Scalar
from enterprise_lab.errors import LabError

_KINDS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


@dataclass(frozen=True)
class Parameter:
    """One assignment of the parameters cell.

    `kinds` are the types it accepts and `choices` the values of a Literal; both are empty when
    the cell does not tell. `has_default` is false when the default is not a plain literal.
    """

    name: str
    annotation: str
    kinds: frozenset[type]
    choices: tuple[Scalar, ...]
    default: Scalar
    has_default: bool

    def accept(self, value: Scalar) -> Scalar:
        """Return the value as the notebook wants it: an int becomes a float where one is due.

        Raises LabError when the value is not of the parameter's type.
        """
        if not self.kinds and not self.choices:
            raise LabError(
                f"the type of {self.name} cannot be told from the notebook",
                f"Annotate {self.name} in the parameters cell with str, int, float, bool or "
                "Literal[...].",
            )
        if type(value) in self.kinds:
            return value
        if any(type(value) is type(choice) and value == choice for choice in self.choices):
            return value
        if type(value) is int and float in self.kinds:
            return float(value)
        raise LabError(f"{self.name} is {self.annotation}, not {value!r}", self._mend(value))

    def _mend(self, value: Scalar) -> str:
        if self.choices:
            return f"Give one of: {', '.join(map(repr, self.choices))}."
        if isinstance(value, str) and self.kinds & {int, float} and _is_number(value):
            return f"Write {value} as a number: no quotes, and exponents as in 1.0e+6."
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
    except (SyntaxError, ValueError) as error:
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
        return Parameter(name, text, kinds, (), default if has_default else None, has_default)
    kinds, choices = _accepted(annotation) or (frozenset(), ())
    if type(default) is int and float in kinds and int not in kinds:
        default = float(default)
    return Parameter(
        name,
        ast.unparse(annotation),
        kinds,
        choices,
        default if has_default else None,
        has_default,
    )


_Accepted: TypeAlias = tuple[frozenset[type], tuple[Scalar, ...]]


def _accepted(annotation: ast.expr) -> _Accepted | None:
    """Return the types and Literal values an annotation allows, or None if not understood."""
    match annotation:
        case ast.Name(id=name) if name in _KINDS:
            return frozenset({_KINDS[name]}), ()
        case ast.Constant(value=None):
            return frozenset({NoneType}), ()
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _joined([left, right])
        case ast.Subscript(value=base, slice=inner):
            items = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            match _last_name(base):
                case "Literal" if all(isinstance(i, ast.Constant) for i in items):
                    return frozenset(), tuple(ast.literal_eval(i) for i in items)
                case "Optional":
                    return _joined([*items, ast.Constant(None)])
    return None


def _joined(alternatives: list[ast.expr]) -> _Accepted | None:
    accepted = [_accepted(a) for a in alternatives]
    known = [a for a in accepted if a is not None]
    if len(known) < len(accepted):
        return None
    return frozenset().union(*(k for k, _ in known)), tuple(c for _, cs in known for c in cs)


def _last_name(expression: ast.expr) -> str:
    return ast.unparse(expression).rpartition(".")[2]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
