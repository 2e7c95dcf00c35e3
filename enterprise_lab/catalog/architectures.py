"""Published Transformers with their shapes and parameter counts."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, Literal

from pydantic import PositiveInt, model_validator

from enterprise_lab.catalog import names
from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, Row, read
from enterprise_lab.shapes import TransformerShape

_SHAPE_COLUMNS = [field.name for field in fields(TransformerShape)]


def _write_shape(shape: TransformerShape) -> str:
    return (
        f"{shape.kind}, {shape.layers} layers, {shape.hidden:,} wide, {shape.heads} heads, "
        f"feed-forward {shape.ffn:,}, vocabulary {shape.vocabulary:,}"
    )


class Model(Row):
    """A published Transformer: its shape, and the parameter count its source states."""

    name: str
    shape: TransformerShape
    parameters_published: PositiveInt

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Model", "name"),
        Figure("Shape", "shape", _write_shape),
        Figure("Parameters, published", "parameters_published", lambda count: f"{count:,}"),
    )

    @classmethod
    def columns(cls) -> list[str]:
        """List the columns of models.csv: the shape's dimensions beside the row's own fields."""
        return [column for column in super().columns() if column != "shape"] + _SHAPE_COLUMNS

    @model_validator(mode="before")
    @classmethod
    def _gather_shape(cls, cells: dict[str, Any]) -> dict[str, Any]:
        own = {column: cell for column, cell in cells.items() if column not in _SHAPE_COLUMNS}
        shape = {column: cell for column, cell in cells.items() if column in _SHAPE_COLUMNS}
        return {**own, "shape": shape}


@cache
def _all() -> dict[str, Model]:
    return {row.name: row for row in read(DATA / "models.csv", Model)}


def model(name: str) -> Model:
    """Look up a model: `model("bert-large")` is bert-large-uncased.

    Raises UnknownNameError or AmbiguousNameError, both listing near names.
    """
    return _all()[names.find("model", name, _all())]


def models(text: str = "", kind: Literal["encoder", "decoder"] | None = None) -> Listing[Model]:
    """List the models that mention `text`, of one kind or both."""
    if kind is not None:
        names.find("kind of Transformer", kind, ("encoder", "decoder"))
    return Listing(
        row
        for row in _all().values()
        if names.mentions(text, row.name) and kind in (None, row.shape.kind)
    )
