"""Published speeds of BERT pre-training, to hold estimates against."""

from __future__ import annotations

from datetime import date
from functools import cache
from typing import ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, Row, read


class PublishedRun(Row):
    """A published pre-training speed of one model on some accelerators.

    `model` and `accelerator` are catalogue names; `batch_per_device` is the sequences of one
    micro-batch, of which `accumulation_steps` make a step. A `suspect` row is not for calibration;
    its note says why.
    """

    id: str
    model: str
    accelerator: str
    devices: PositiveInt
    precision: Literal["fp32", "tf32", "fp16"]
    sequence_length: PositiveInt
    batch_per_device: PositiveInt
    accumulation_steps: PositiveInt
    sequences_per_second: PositiveFloat
    framework: str
    suspect: bool
    date: date

    identity: ClassVar[tuple[str, ...]] = ("id",)
    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Row", "id", brief=False),
        Figure("Model", "model"),
        Figure("Accelerator", "accelerator"),
        Figure("Devices", "devices"),
        Figure("Precision", "precision"),
        Figure("Sequence length", "sequence_length"),
        Figure("Batch per device", "batch_per_device"),
        Figure("Accumulation steps", "accumulation_steps", brief=False),
        Figure("Sequences/s", "sequences_per_second", lambda rate: f"{rate:g}"),
        Figure("Framework", "framework"),
        Figure("Suspect", "suspect", lambda suspect: "yes" if suspect else "no"),
        Figure("Date", "date"),
    )


@cache
def _all() -> tuple[PublishedRun, ...]:
    return read(DATA / "pretraining.csv", PublishedRun)


def published_pretraining() -> Listing[PublishedRun]:
    """List published BERT-large pre-training speeds, on one to sixteen accelerators."""
    return Listing(_all())


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
