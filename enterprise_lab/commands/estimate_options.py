"""Options that the commands of `elab estimate` share, and what they mean to the estimator."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from typer import Argument, Option

from enterprise_lab.commands.estimate_words import with_options
from enterprise_lab.errors import InvalidValueError, LabError, require_positive

if TYPE_CHECKING:
    from enterprise_lab.shapes import Shape

Model = Annotated[
    str, Argument(help="A model of `elab catalog models`, or a path to a Hugging Face config.json.")
]
Json = Annotated[bool, Option("--json", help="Write all figures for programs.")]
Images = Annotated[int, Option("--image-size", help="Pixels along an image's edge.")]
_WORK, _RUN, _PLAN = "What is done", "The whole run", "How it is spread"
_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


@dataclass(frozen=True)
class Machine:
    """Where it runs."""

    accelerator: Annotated[
        str | None,
        Option("--accelerator", "-a", help="Such as A100-SXM4-80GB, or `here`: this processor."),
    ] = None
    instance: Annotated[
        str | None,
        Option("--instance", "-i", help="An EC2 instance, such as p4d.24xlarge, all of it paid."),
    ] = None
    precision: Annotated[
        str | None,
        Option(help="fp32, tf32, fp16, bf16, fp8 or int8; by default bf16 to train decoders,"
               " else fp16, as the chip can (in Python always fp16)."),
    ] = None  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """What a step of training does."""

    batch: Annotated[
        int, Option("--batch", "-b", help="Sequences (or images) of a step, over all devices.",
                    rich_help_panel=_WORK)
    ]  # fmt: skip
    sequence_length: Annotated[
        int, Option("--sequence-length", "-s", help="Tokens of a sequence.", rich_help_panel=_WORK)
    ] = 0
    image_size: Annotated[
        int, Option(help="Pixels along an image's edge.", rich_help_panel=_WORK)
    ] = 224
    predicted_share: Annotated[
        float | None,
        Option(help="Share of tokens the vocabulary head predicts: 0.15 in BERT's pre-training;"
               " by default all in decoders, none in encoders.", rich_help_panel=_WORK),
    ] = None  # fmt: skip
    optimizer: Annotated[
        Literal["adam", "adam8bit", "adafactor", "sgd", "momentum"],
        Option(help="Whose states are kept.", rich_help_panel=_WORK),
    ] = "adam"
    causal: Annotated[
        Literal["full", "half"],
        Option(help="Which attention scores FLOPs count.", rich_help_panel=_WORK),
    ] = "full"

    def arguments(self) -> dict[str, Any]:
        """Return these as the estimator calls them."""
        given = dict(vars(self))
        return {"global_batch": given.pop("batch"), **given}


@dataclass(frozen=True)
class Waits:
    """What a step waits for beside its own work."""

    samples_per_second: Annotated[
        float | None,
        Option(help="What the input pipeline delivers; by default enough.", rich_help_panel=_RUN),
    ] = None
    checkpoint_every: Annotated[
        int | None, Option(help="Steps between checkpoints.", rich_help_panel=_RUN)
    ] = None
    checkpoint_rate: Annotated[
        str | None, Option(help="Bytes a second to write them, such as 2G.", rich_help_panel=_RUN)
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return these as the estimator calls them."""
        from enterprise_lab.estimate import Checkpoints

        if (self.checkpoint_every is None) != (self.checkpoint_rate is None):
            raise InvalidValueError(
                "A checkpoint needs --checkpoint-every and --checkpoint-rate; one is missing.",
                "Give both: --checkpoint-every 1000 --checkpoint-rate 2G.",
            )
        saved = None
        if self.checkpoint_every is not None and self.checkpoint_rate is not None:
            rate = number("--checkpoint-rate", self.checkpoint_rate)
            saved = Checkpoints(self.checkpoint_every, rate)
        return {"samples_per_second": self.samples_per_second, "checkpoints": saved}


@dataclass(frozen=True)
class Run:
    """How much is trained."""

    tokens: Annotated[
        str | None, Option(help="Tokens in all, such as 300B or 3e11.", rich_help_panel=_RUN)
    ] = None
    samples: Annotated[
        str | None,
        Option(help="Sequences (or images) of an epoch, such as 25k.", rich_help_panel=_RUN),
    ] = None
    epochs: Annotated[
        float, Option(help="How often all samples are seen.", rich_help_panel=_RUN)
    ] = 1.0

    def total(self, shape: Shape, sequence_length: int) -> float | None:
        """Return tokens, or images, of the whole run; None where nothing says how many."""
        require_positive(**{"--epochs": self.epochs})
        if self.tokens is not None and self.samples is not None:
            raise InvalidValueError(
                "Both --tokens and --samples are given.", "Give the one you know."
            )
        if self.tokens is not None:
            if shape.kind == "convolutional":
                raise InvalidValueError(
                    "A convolutional network trains on images, not tokens.",
                    "Give their number: --samples 1.28M --epochs 90.",
                )
            return self.epochs * number("--tokens", self.tokens)
        if self.samples is not None:
            return self.epochs * number("--samples", self.samples) * max(1, sequence_length)
        if self.epochs != 1:
            raise InvalidValueError(
                "--epochs says how often the samples are seen, and their number isn't given.",
                "Give it too: --samples 25k.",
            )
        return None


@dataclass(frozen=True)
class Spread:
    """How training is spread over devices."""

    data: Annotated[
        int | None,
        Option(help="Data-parallel groups; by default 1, or what fills the --instance.",
               rich_help_panel=_PLAN),
    ] = None  # fmt: skip
    tensor: Annotated[int, Option(help="Devices that share each layer.", rich_help_panel=_PLAN)] = 1
    pipeline: Annotated[int, Option(help="Stages of layers.", rich_help_panel=_PLAN)] = 1
    context: Annotated[
        int, Option(help="Devices that share each sequence.", rich_help_panel=_PLAN)
    ] = 1
    interleave: Annotated[
        int, Option(help="Virtual stages on each stage.", rich_help_panel=_PLAN)
    ] = 1
    zero: Annotated[
        int, Option(help="ZeRO stage, 0 to 3; 3 is fully sharded (FSDP).", rich_help_panel=_PLAN)
    ] = 0
    sequence_parallel: Annotated[
        bool,
        Option("--sequence-parallel", help="Share the rest of tensor parallel layers too.",
               rich_help_panel=_PLAN),
    ] = False  # fmt: skip
    recompute: Annotated[
        Literal["none", "selective", "full"],
        Option(help="Activations to compute a second time, not keep.", rich_help_panel=_PLAN),
    ] = "none"
    micro_batch: Annotated[
        int | None,
        Option(help="Sequences (or images) at once in a group; by default the fastest that fits.",
               rich_help_panel=_PLAN),
    ] = None  # fmt: skip
    flash_attention: Annotated[
        bool | None, Option(help="Fused attention; by default in decoders.", rich_help_panel=_PLAN)
    ] = None
    offload: Annotated[
        Literal["none", "optimizer", "parameters"],
        Option(help="States kept in the host's memory.", rich_help_panel=_PLAN),
    ] = "none"

    def fields_of_plan(self, shape: Shape, devices: int) -> dict[str, Any]:
        """Return a Plan's fields, on so many devices if it may, but for a micro-batch left out."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        if given["data"] is None:
            others = self.tensor * self.pipeline * self.context
            given["data"] = max(1, devices // max(1, others))
        given["flash_attention"] = fused(self.flash_attention, shape)
        return {name: value for name, value in given.items() if value is not None}


def require_length(shape: Shape, sequence_length: int) -> None:
    """Raise InvalidValueError unless a Transformer has a sequence length, and others none."""
    if shape.kind == "convolutional":
        if sequence_length:
            raise InvalidValueError(
                "A convolutional network reads images, not sequences.",
                "Leave --sequence-length; give --image-size.",
            )
    elif not sequence_length:
        raise InvalidValueError(
            "Nothing says how long sequences are.", "Give --sequence-length 512, in tokens."
        )


def require_no_wider(name: str, bits: int | None, precision: str) -> None:
    """Raise InvalidValueError for numbers stored in more bits than are computed with."""
    from enterprise_lab.estimate.inference import PRECISION_BITS

    own = PRECISION_BITS.get(precision)
    if bits is not None and own is not None and bits > own:
        raise InvalidValueError(
            f"{name} is at most the {own} bits of {precision}, not {bits}.",
            f"Leave {name}, or give a wider --precision.",
        )


def fused(given: bool | None, shape: Shape) -> bool:
    """Return whether attention is fused: in decoders, unless it is said."""
    return shape.kind not in ("encoder", "convolutional") if given is None else given


def number(name: str, text: str) -> float:
    """Read a positive number: `number("--tokens", "300B")` is 3e11; k, M, B (or G), T."""
    match = re.fullmatch(r"([0-9_,]*\.?[0-9]*(?:e[+-]?[0-9]+)?)\s*([kmbgt]?)", text.casefold())
    try:
        value = float(match[1].replace(",", "")) * _SUFFIXES[match[2]] if match else 0.0
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InvalidValueError(
            f"{name} must be a number above zero, not {text!r}.",
            "Write it like 300B, 1.5M or 3e11.",
        )
    return value


def flattened(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of its dataclass parameters, one by one, for typer."""
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name in groups:
            parameters += _parameters(groups[name])
        else:
            by_name = inspect.Parameter.KEYWORD_ONLY
            parameters.append(parameter.replace(annotation=hints[name], kind=by_name))

    @functools.wraps(command)
    def call(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in fields(kind)})  # type: ignore[operator]
        try:
            command(**given)
        except LabError as error:
            raise LabError(with_options(error.problem), with_options(error.remedy)) from error

    del call.__wrapped__
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(group)
    ]
