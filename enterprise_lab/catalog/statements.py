"""What papers and projects say that pre-training BERT took, to hold estimates against."""

from __future__ import annotations

from functools import cache
from typing import ClassVar, Literal

from pydantic import PositiveFloat

from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, Row, read


class Statement(Row):
    """What a source says of a model's pre-training as a whole."""

    model: str
    quantity: Literal["tokens", "training FLOPs", "hours", "days"]
    value: PositiveFloat
    hardware: str = ""
    who: str

    identity: ClassVar[tuple[str, ...]] = ("model", "quantity", "hardware", "who")
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Who", "who"),
        Figure("Model", "model"),
        Figure("Quantity", "quantity"),
        Figure("Figure", "value", lambda value: f"{value:,.4g}"),
        Figure("Hardware", "hardware"),
    )


@cache
def _statements() -> tuple[Statement, ...]:
    return read(DATA / "statements.csv", Statement)


def pretraining_statements() -> Listing[Statement]:
    """List what papers and projects say BERT's pre-training took; they contradict each other."""
    return Listing(_statements())
