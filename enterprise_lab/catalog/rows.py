"""Catalogue files: CSV rows that are checked as they are read, each with its source."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    ValidationError,
    model_validator,
)

from enterprise_lab.catalog import render
from enterprise_lab.catalog.names import fold
from enterprise_lab.errors import LabError
from enterprise_lab.units import GB, GIB

DATA = resources.files("enterprise_lab.catalog") / "data"


class CatalogError(LabError):
    """A catalogue file that cannot be trusted: the file, line and column, and the mend."""


class Row(BaseModel):
    """A fact of the catalogue with its source.

    `unverified` names the fields whose figures were recalled and not read in a source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    unverified: Annotated[frozenset[str], BeforeValidator(lambda cell: frozenset(cell.split()))] = (
        frozenset()
    )
    source: Annotated[str, Field(min_length=1)]
    note: str = ""

    identity: ClassVar[tuple[str, ...]] = ("name",)
    """The fields that no two rows of a file share."""
    figures: ClassVar[tuple[render.Figure, ...]]
    """What is shown of a row, in this order."""

    @classmethod
    def columns(cls) -> list[str]:
        """List the columns that a file of such rows can have."""
        return [str(field.validation_alias or name) for name, field in cls.model_fields.items()]

    @model_validator(mode="after")
    def _name_unverified_fields(self) -> Row:
        """Translate columns to fields; `all` means every field that is shown."""
        field_of = {
            str(field.validation_alias or name): name
            for name, field in type(self).model_fields.items()
        }
        if self.unverified == {"all"}:
            named = {figure.field for figure in self.figures} - {*self.identity}
        elif unknown := self.unverified - field_of.keys():
            raise ValueError(f"unverified names no column of this file: {', '.join(unknown)}")
        else:
            named = {field_of[column] for column in self.unverified}
        object.__setattr__(self, "unverified", frozenset(named))
        return self

    def __repr__(self) -> str:
        named = ", ".join(f"{field}={getattr(self, field)!r}" for field in self.identity)
        return f"{type(self).__name__}({named})"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return render.card(self)


RowT = TypeVar("RowT", bound=Row)


class Listing(list[RowT], Generic[RowT]):
    """Rows of one kind; in Jupyter, one table."""

    def _repr_html_(self) -> str:
        return render.table(self)


def read(file: Traversable, row_type: type[RowT]) -> tuple[RowT, ...]:
    """Read the rows of a CSV file; an empty cell is a figure that is not known.

    Raises CatalogError at the first row that is incomplete, wrong, twice there or without source.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(
            f"{file.name} cannot be read: {error}.", "Install the package again."
        ) from error
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: dict[str, RowT] = {}
    try:
        _check_header(file.name, lines.fieldnames or [], row_type.columns())
        for cells in lines:
            row = _check_row(f"{file.name}, line {lines.line_num}", cells, row_type)
            identity = fold(" ".join(str(getattr(row, field)) for field in row.identity))
            if identity in rows:
                raise CatalogError(
                    f"{file.name}, line {lines.line_num} repeats the row of the same "
                    f"{', '.join(row.identity)}.",
                    "Keep one of the two.",
                )
            rows[identity] = row
    except csv.Error as error:
        raise CatalogError(
            f"{file.name}, line {lines.reader.line_num} is not CSV: {error}.", "Mend its quotes."
        ) from error
    return tuple(rows.values())


def _check_header(file: str, header: list[str] | Any, known: list[str]) -> None:
    for column in header:
        if column not in known or list(header).count(column) > 1:
            raise CatalogError(
                f"{file}, line 1 has a column {column!r} that is unknown or twice there.",
                f"Remove it; the columns are: {', '.join(known)}.",
            )


def _check_row(where: str, cells: dict[str | Any, str | Any], row_type: type[RowT]) -> RowT:
    if None in cells or None in cells.values():
        raise CatalogError(
            f"{where} has more or fewer cells than the header has columns.",
            "Quote the cell that contains a comma, or add the missing commas.",
        )
    try:
        return row_type.model_validate({column: cell for column, cell in cells.items() if cell})
    except ValidationError as error:
        first = error.errors()[0]
        column = str(first["loc"][-1]) if first["loc"] else ""
        place = f"{where}, column {column}" if column else where
        mend = (
            "Fill it in; no row goes without."
            if first["type"] == "missing"
            else f"Mend it; it is now {cells.get(column, '')!r}."
        )
        raise CatalogError(f"{place}: {first['msg']}.", mend) from error
    except LabError as error:
        raise CatalogError(f"{where}: {error.problem}", error.remedy) from error


def _times(unit: int) -> Callable[[str], float]:
    def scale(cell: str) -> float:
        value = float(cell) * unit
        return round(value) if math.isfinite(value) else value

    return scale


Gigabytes = Annotated[PositiveInt, BeforeValidator(_times(GB))]
"""Bytes, written in the file as GB."""
Gibibytes = Annotated[PositiveInt, BeforeValidator(_times(GIB))]
"""Bytes, written in the file as GiB."""
