"""Published speeds and durations of training and inference, to fit estimates to and to judge them.

A row that is not usable says why in `excluded`.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Listing, Row, read

Precision = Literal["fp32", "tf32", "fp16", "bf16", "fp8"]
Workload = Literal["pretraining", "fine-tuning", "image classification"]
Recompute = Literal["none", "selective", "full"]
Stage = Annotated[int, Field(ge=0, le=3)]
"""A stage of ZeRO; 3 is what PyTorch calls fully sharded."""
Day = Annotated[str, Field(pattern=r"^(\d{4}(-\d{2}){0,2})?$")]
"""A date as exactly as the source gives it: a day, a month, a year, or nothing."""


class Published(Row):
    """What all published figures have in common: an id, and why it is not usable."""

    id: str
    model: str
    excluded: str = ""

    identity: ClassVar[tuple[str, ...]] = ("id",)


ID = Figure("Row", "id", brief=False)
MODEL = Figure("Model", "model")
EXCLUDED = Figure("Not usable because", "excluded", brief=False)


def number(value: float) -> str:
    """Write a figure to six digits."""
    return f"{value:,.6g}"


class TrainingSpeed(Published):
    """A published training speed of one model on some accelerators.

    `model` and `accelerator` are catalogue names. `micro_batch` sequences or images are worked on
    at once by each of `data` groups of devices, `accumulation_steps` times an optimizer step; 0 is
    a batch that the source does not print. `samples_per_second` is of all devices together.
    `sequence_length` is 0 for images, `image_size` (pixels a side) for sequences.
    """

    accelerator: str
    devices: PositiveInt
    precision: Precision
    workload: Workload
    sequence_length: NonNegativeInt = 0
    image_size: NonNegativeInt = 0
    micro_batch: NonNegativeInt = 0
    accumulation_steps: PositiveInt = 1
    tensor: PositiveInt = 1
    zero: Stage = 0
    recompute: Recompute = "none"
    flash_attention: bool = False
    samples_per_second: PositiveFloat
    framework: str
    date: Day = ""

    figures: ClassVar[tuple[Figure, ...]] = (
        ID,
        MODEL,
        Figure("Accelerator", "accelerator"),
        Figure("Devices", "devices"),
        Figure("Precision", "precision"),
        Figure("Workload", "workload"),
        Figure("Sequence length", "sequence_length"),
        Figure("Image size", "image_size", brief=False),
        Figure("Micro-batch", "micro_batch"),
        Figure("Accumulation steps", "accumulation_steps", brief=False),
        Figure("Tensor parallelism", "tensor", brief=False),
        Figure("ZeRO stage", "zero", brief=False),
        Figure("Recomputation", "recompute", brief=False),
        Figure("Samples/s", "samples_per_second", number),
        Figure("Framework", "framework"),
        EXCLUDED,
        Figure("Date", "date"),
    )

    @property
    def data(self) -> int:
        """Degree of data parallelism."""
        return self.devices // self.tensor

    @model_validator(mode="after")
    def _check(self) -> TrainingSpeed:
        if self.devices % self.tensor:
            raise ValueError("devices must be a multiple of tensor")
        if bool(self.sequence_length) == bool(self.image_size):
            raise ValueError("give either sequence_length or image_size")
        if not (self.micro_batch or self.excluded):
            raise ValueError("a row without micro_batch must say in excluded why it is not usable")
        return self


class InferenceSpeed(Published):
    """A published inference speed: a rate, a latency or both.

    `kind` says what was timed: an encoder's or image network's forward pass, the reading of a
    prompt, or the generation of `output_length` tokens with (`generation`) or without (`decode`)
    the prompt. `per_second` counts sequences or images, for generation output tokens, of all
    devices together; `seconds` is the latency of a batch. `batch` is of one replica.
    """

    accelerator: str
    devices: PositiveInt
    tensor: PositiveInt = 1
    precision: Precision
    weight_bits: PositiveInt
    kind: Literal["encoder", "image", "generation", "prefill", "decode"]
    batch: PositiveInt
    input_length: NonNegativeInt = 0
    output_length: NonNegativeInt = 0
    image_size: NonNegativeInt = 0
    seconds: PositiveFloat | None = None
    per_second: PositiveFloat | None = None
    framework: str = ""
    date: Day = ""

    figures: ClassVar[tuple[Figure, ...]] = (
        ID,
        MODEL,
        Figure("Accelerator", "accelerator"),
        Figure("Devices", "devices"),
        Figure("Tensor parallelism", "tensor", brief=False),
        Figure("Precision", "precision"),
        Figure("Bits a weight", "weight_bits", brief=False),
        Figure("Kind", "kind"),
        Figure("Batch", "batch"),
        Figure("Input length", "input_length"),
        Figure("Output length", "output_length"),
        Figure("Image size", "image_size", brief=False),
        Figure("Seconds", "seconds", number),
        Figure("Per second", "per_second", number),
        Figure("Framework", "framework"),
        EXCLUDED,
        Figure("Date", "date"),
    )

    @model_validator(mode="after")
    def _check(self) -> InferenceSpeed:
        if self.seconds is None and self.per_second is None:
            raise ValueError("give seconds, per_second or both")
        if not (self.input_length or self.image_size or self.excluded):
            raise ValueError("a usable row has input_length or image_size")
        if (self.output_length > 0) != (self.kind in ("generation", "prefill", "decode")):
            raise ValueError(
                "output_length is for generation, prefill and decode, and needed there"
            )
        return self


class Phase(NamedTuple):
    """A part of a training run at one sequence length, which is 0 for images."""

    samples: int
    sequence_length: int


def _phases(cell: Any) -> Any:
    """Read `461242368 x 128; 51216384 x 512`."""
    if not isinstance(cell, str):
        return cell
    return tuple(tuple(part.split(" x ")) for part in cell.split("; "))


class TrainingRun(Published):
    """A published training run as a whole: how long some accelerators took.

    `phases` are the sequences or images that were seen, in order. `convention` says what
    `device_hours` include. None is what the source does not say.
    """

    accelerator: str
    devices: PositiveInt | None = None
    precision: Precision | None = None
    workload: Workload
    phases: Annotated[tuple[Phase, ...], BeforeValidator(_phases)] = ()
    image_size: NonNegativeInt = 0
    global_batch: PositiveInt | None = None
    tensor: PositiveInt | None = None
    zero: Stage | None = None
    recompute: Recompute | None = None
    device_hours: PositiveFloat | None = None
    tflops_per_device: PositiveFloat | None = None
    convention: Literal["whole run", "time to train", "uninterrupted", "best rate"]

    figures: ClassVar[tuple[Figure, ...]] = (
        ID,
        MODEL,
        Figure("Accelerator", "accelerator"),
        Figure("Devices", "devices"),
        Figure("Precision", "precision"),
        Figure("Workload", "workload"),
        Figure(
            "Samples x sequence length",
            "phases",
            lambda phases: (
                "; ".join(f"{one.samples:,} x {one.sequence_length:,}" for one in phases) or "–"
            ),
        ),
        Figure("Sequences a step", "global_batch", brief=False),
        Figure("Device hours", "device_hours", number),
        Figure("TFLOP/s a device", "tflops_per_device", number, brief=False),
        Figure("Convention", "convention"),
        EXCLUDED,
    )

    @property
    def samples(self) -> int:
        """Sequences or images seen."""
        return sum(phase.samples for phase in self.phases)

    @property
    def tokens(self) -> int:
        """Tokens seen; 0 for images."""
        return sum(phase.samples * phase.sequence_length for phase in self.phases)

    @model_validator(mode="after")
    def _check(self) -> TrainingRun:
        if not (self.phases and self.device_hours) and not self.excluded:
            raise ValueError("a usable row has phases and device_hours")
        return self


@cache
def _training_speeds() -> tuple[TrainingSpeed, ...]:
    return read(DATA / "training_speeds.csv", TrainingSpeed)


@cache
def _inference_speeds() -> tuple[InferenceSpeed, ...]:
    return read(DATA / "inference_speeds.csv", InferenceSpeed)


@cache
def _training_runs() -> tuple[TrainingRun, ...]:
    return read(DATA / "training_runs.csv", TrainingRun)


def training_speeds() -> Listing[TrainingSpeed]:
    """List published training speeds, those that are not usable too."""
    return Listing(_training_speeds())


def inference_speeds() -> Listing[InferenceSpeed]:
    """List published inference speeds, those that are not usable too."""
    return Listing(_inference_speeds())


def training_runs() -> Listing[TrainingRun]:
    """List published training runs, those that are not usable too."""
    return Listing(_training_runs())
