"""What a plan file may say: its keys, what they mean, and their JSON schema for editors."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticCustomError

from enterprise_lab.batch.attempt import Scalar
from enterprise_lab.units import DAY, GB, GIB

_LONGEST_TEXT = 10_000
"""Of a parameter, in characters."""
_MEMORY_UNITS = {"MB": GB / 1000, "GB": GB, "TB": 1000 * GB, "MiB": GIB / 1024, "GiB": GIB}


def _scalar(value: object) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        raise PydanticCustomError("scalar", "{value} is not a finite number", {"value": value})
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise PydanticCustomError("scalar", "the number does not fit 64 bits")
    if isinstance(value, str) and len(value) > _LONGEST_TEXT:
        raise PydanticCustomError(
            "scalar", "a text of {n} characters is too long", {"n": len(value)}
        )
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError("scalar", "the text holds half a character") from None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise PydanticCustomError(
        "scalar", "a {kind} is not a single value", {"kind": type(value).__name__}
    )


def _memory(text: str) -> str:
    if bytes_of(text) <= 0:
        raise PydanticCustomError("memory", "nothing runs in no memory")
    return text


def bytes_of(memory: str) -> float:
    """Return the bytes of a plan's memory, such as `8 GB` or `7.5 GiB`."""
    number = memory.rstrip("MGTiB ")
    return float(number) * _MEMORY_UNITS[memory[len(number) :].strip()]


Value: TypeAlias = Annotated[
    Any,
    PlainValidator(_scalar),
    WithJsonSchema({"type": ["boolean", "integer", "number", "string", "null"]}),
]
Values: TypeAlias = Annotated[list[Value], Field(min_length=1)]
SomeValues: TypeAlias = Annotated[dict[str, Value], Field(min_length=1)]
Text: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]*$")
]
Memory: TypeAlias = Annotated[
    str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})? ?(MB|GB|TB|MiB|GiB)$"), AfterValidator(_memory)
]
Deadline: TypeAlias = Annotated[float, Field(gt=0, le=30 * DAY, allow_inf_nan=False)]
Retried: TypeAlias = Literal["failed", "timed_out", "kernel_died", "out_of_memory"]
Workload: TypeAlias = Literal["training", "inference"]


class Part(BaseModel):
    """A mapping of a plan: unknown keys are refused, and nothing is converted."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )


class Resources(Part):
    """What a run occupies of a machine."""

    gpus: Annotated[int, Field(ge=0, le=1024)] = 0
    """GPUs that the run has to itself."""
    accelerator: Text | None = None
    """The only kind of GPU it may run on, by its name in `elab catalog accelerators`."""
    memory: Memory | None = None
    """Most memory that the run may hold, such as `8 GB` or `7.5 GiB`; none: no limit."""


class Retries(Part):
    """How often a run is tried again, and after which ends."""

    times: Annotated[int, Field(ge=0, le=20)]
    """How often a run is tried again at most."""
    on: Annotated[list[Retried], Field(min_length=1)]
    """The ends after which it is. An interrupted run always goes on, and isn't counted here."""


class Price(Part):
    """What a machine costs while it runs: that of an instance, or a price of your own."""

    instance: Text | None = None
    """An EC2 instance of the catalogue, at its newest on-demand price."""
    usd_per_hour: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] | None = None
    """Dollars an hour of a whole machine."""
    gpus: Annotated[int, Field(ge=0, le=1024)] | None = None
    """GPUs of the machine that costs `usd_per_hour`; a run pays for its share of them."""

    @model_validator(mode="after")
    def _check(self) -> Price:
        if (self.instance is None) == (self.usd_per_hour is None):
            raise PydanticCustomError("price", "give instance or usd_per_hour, one of the two")
        if self.instance is not None and self.gpus is not None:
            raise PydanticCustomError("price", "the catalogue knows the GPUs of an instance")
        return self


class Entry(Part):
    """A notebook, and the values of its parameters that it is run with.

    A run is made for every combination of what `matrix` and `sets` list. The profile of a lab is
    a parameter as any other: `parameters: {profile: full}`, or `matrix: {profile: [smoke, full]}`.
    """

    notebook: Text
    """The notebook's path, counted from the folder above the plan's."""
    parameters: dict[str, Value] = {}
    """Values that all runs of the entry share. Others keep the notebook's own."""
    matrix: Annotated[dict[str, Values], Field(min_length=1)] | None = None
    """Values that are combined, each with all of the others: `{device: [cpu, cuda]}`."""
    sets: Annotated[dict[str, dict[str, Value]], Field(min_length=1)] | None = None
    """Values that belong together, by a name for people: `{small: {width: 8, batch: 32}}`. The
    sets are combined with the matrix; one that is empty keeps the notebook's own values."""
    exclude: Annotated[list[SomeValues], Field(min_length=1, max_length=100)] | None = None
    """Combinations to leave out, by some of their values: `[{device: cpu, width: 128}]`."""
    data: Annotated[list[Text], Field(min_length=1)] | None = None
    """Data sets and weights that the notebook uses besides those that its parameters name, by
    their names in `elab data list`."""
    workload: Workload | None = None
    """What the parameters model, batch_size, sequence_length, precision and steps describe: with
    it, memory and time are estimated before anything runs."""
    resources: Resources = Resources()
    """What a run occupies; keys given here go before the plan's."""
    deadline_seconds: Deadline | None = None
    """The deadline of these runs, instead of the plan's."""
    retries: Retries | None = None
    """How often these runs are tried again, instead of the plan's."""


class Plan(Part):
    """A batch plan of Enterprise Lab: notebooks, and the parameters they are run with."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """The name of the folder that results go to: letters, digits, - and _."""
    title: Text | None = None
    """One line for people; the name where there is none."""
    store: Text = "runs"
    """Where results are kept: a folder, counted from the one above the plan's, or the URL of a
    bucket, such as s3://bucket/prefix."""
    runs: Annotated[list[Entry], Field(min_length=1)]
    """What is run."""
    slots: Annotated[int, Field(ge=1, le=256)] = 1
    """How many runs without GPUs a machine makes side by side."""
    resources: Resources = Resources()
    """What every run occupies where its entry doesn't say otherwise."""
    price: Price | None = None
    """What a machine costs, to predict the bill."""
    deadline_seconds: Deadline = 600
    """Seconds that a run may take."""
    retries: Retries | None = None
    """How often a run is tried again; none: never."""


KEYS: dict[str, type[Part]] = {
    "runs": Entry, "resources": Resources, "price": Price, "retries": Retries,
}  # fmt: skip
"""What stands below a key that holds a mapping, or a list of them; a plan else."""

MENDS = {
    "name": "Use up to 64 letters, digits, - and _: it names the output folder.",
    "title": "Write one line of text.",
    "store": "Give a folder, or the URL of a bucket such as s3://bucket/prefix.",
    "runs": "List at least one entry with the key notebook.",
    "notebook": "Give the notebook's path, counted from the folder above the plan's.",
    "parameters": "Write `parameters: {name: value}` with text, numbers, true, false or null.",
    "matrix": "Write `matrix: {name: [value, value]}` with at least one value, or leave it out.",
    "sets": "Write `sets: {small: {name: value}, large: {name: value}}`, or leave it out.",
    "exclude": "Write `exclude: [{name: value}]` with values of the matrix, or leave it out.",
    "data": "List names of `elab data list`, or leave it out.",
    "workload": "Write training or inference, or leave it out.",
    "resources": "Write `resources: {gpus: 1, accelerator: L4, memory: 8 GB}`, or a part of it.",
    "gpus": "Give a whole number of GPUs, from 0 to 1024.",
    "accelerator": "Give a name of the catalogue's, such as A100-SXM4-80GB.",
    "memory": "Give a number and MB, GB, TB, MiB or GiB, such as `8 GB`.",
    "slots": "Give a whole number from 1 to 256.",
    "price": "Write `price: {instance: g5.xlarge}` or `price: {usd_per_hour: 1.5}`.",
    "instance": "Give a name of the catalogue's, such as g5.xlarge.",
    "usd_per_hour": "Give the dollars an hour of a machine, above zero.",
    "deadline_seconds": "Give the seconds one run may take, above zero and at most 30 days.",
    "retries": "Write `retries: {times: 2, on: [kernel_died, timed_out]}`, or leave it out.",
    "times": "Give a whole number from 0 to 20.",
    "on": "List some of failed, timed_out, kernel_died and out_of_memory.",
}  # fmt: skip
"""What to do about a wrong value, by its key."""


class _Untitled(GenerateJsonSchema):
    """Without a title for every field: they would only repeat the keys."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False


def schema() -> dict[str, Any]:
    """Return the JSON schema of plan files, for editors and other programs."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Plan.model_json_schema(schema_generator=_Untitled),
    }
