"""Published models with their shapes and parameter counts."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from typing import Any, ClassVar, Literal, get_args

from pydantic import PositiveInt, TypeAdapter, model_validator

from enterprise_lab.catalog import names
from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, Row, read
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape
from enterprise_lab.shapes.networks import NETWORKS, network

Kind = Literal["encoder", "decoder", "encoder-decoder", "convolutional"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_SHAPE_COLUMNS = [field.name for field in fields(TransformerShape)]
_TRANSFORMER = TypeAdapter(TransformerShape)


def _write_shape(shape: Shape) -> str:
    if isinstance(shape, ConvolutionalShape):
        weighty = sum(one.kind in ("conv", "linear") for one in shape.operations(224))
        return f"convolutional, {weighty} convolutions and fully connected layers"
    decoder = f" and {shape.decoder_layers}" if shape.decoder_layers else ""
    experts = f"{shape.experts} experts of " if shape.experts else ""
    return (
        f"{shape.kind}, {shape.layers}{decoder} layers, {shape.hidden:,} wide, {shape.heads} heads,"
        f" {experts}feed-forward {shape.ffn:,}, vocabulary {shape.vocabulary:,}"
    )


class Model(Row):
    """A published model: its shape, and the parameter count its source states.

    Transformers have their dimensions in models.csv, convolutional networks their layers in
    `shapes.networks`.
    """

    name: str
    shape: TransformerShape | ConvolutionalShape
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
        if not shape and (name := cells.get("name")) in NETWORKS:
            return {**own, "shape": network(name)}
        return {**own, "shape": _TRANSFORMER.validate_python(shape)}


@cache
def _all() -> dict[str, Model]:
    rows = [*read(DATA / "models.csv", Model), *read(DATA / "networks.csv", Model)]
    return {row.name: row for row in rows}


def model(name: str) -> Model:
    """Look up a model: `model("bert-large")` is bert-large-uncased.

    Raises UnknownNameError or AmbiguousNameError, both listing near names.
    """
    return _all()[names.find("model", name, _all())]


def models(text: str = "", kind: Kind | None = None) -> Listing[Model]:
    """List the models that mention `text`, of one kind or all."""
    if kind is not None:
        names.find("kind of model", kind, KINDS)
    return Listing(
        row
        for row in _all().values()
        if names.mentions(text, row.name) and kind in (None, row.shape.kind)
    )
