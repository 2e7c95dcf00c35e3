"""The commands `elab estimate train`, `finetune`, `infer` and `plans`."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from enterprise_lab.commands.estimate_options import (
    Images,
    Json,
    Machine,
    Model,
    Run,
    Spread,
    Waits,
    Workload,
    flattened,
    fused,
    require_length,
    require_no_wider,
)
from enterprise_lab.errors import InvalidValueError

if TYPE_CHECKING:
    from enterprise_lab.commands.estimate_tables import Sheet
    from enterprise_lab.estimate.trainable import Trainable

estimate_app = typer.Typer(
    help="Predict operations, memory, time and dollars, with ranges that hold four times in five.",
    no_args_is_help=True,
)


@estimate_app.command()
@flattened
def train(
    model: Model,
    machine: Machine,
    workload: Workload,
    run: Run,
    spread: Spread,
    waits: Waits,
    as_json: Json = False,
) -> None:
    """Estimate training a model from nothing.

    Without --micro-batch the fastest that fits is taken. For instance:

    \b
    elab estimate train bert-base-uncased -a A100-SXM4-40GB -b 256 -s 128 \\
      --predicted-share 0.15
    elab estimate train gpt2 -a here -b 4 -s 256 --samples 10k
    elab estimate train gpt-3-175b -a A100-SXM4-80GB -b 1536 -s 2048 \\
      --tokens 300B --data 16 --tensor 8 --pipeline 8 --sequence-parallel \\
      --recompute selective
    elab estimate train resnet50 -i p4d.24xlarge -b 2048 --samples 1.28M \\
      --epochs 90
    """  # noqa: D301
    _training(model, machine, workload, run, spread, waits, "all").print_as(as_json)


@estimate_app.command()
@flattened
def finetune(
    model: Model,
    machine: Machine,
    workload: Workload,
    run: Run,
    spread: Spread,
    waits: Waits,
    trainable: Annotated[
        Literal["all", "head", "lora"], typer.Option(help="Which weights change.")
    ] = "all",
    rank: Annotated[int | None, typer.Option(help="Of the LoRA adapters; 8 by default.")] = None,
    targets: Annotated[
        str | None,
        typer.Option(
            help="What LoRA adapts, of query,key,value,output,mlp; by default query,value."
        ),
    ] = None,
    base_bits: Annotated[
        int | None, typer.Option(help="Bits of a frozen weight: 16, or 8 or 4 for QLoRA.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Estimate changing a trained model: all of it, its head, or LoRA adapters.

    For instance:

    \b
    elab estimate finetune bert-base-uncased -i g5.xlarge -b 32 -s 256 \\
      --samples 25k --epochs 3
    elab estimate finetune llama-7b -a A100-SXM4-40GB -b 16 -s 512 \\
      --trainable lora --rank 16
    elab estimate finetune llama-65b -a H100-SXM5-80GB -b 16 -s 512 \\
      --trainable lora --targets query,key,value,output,mlp --base-bits 4 \\
      --samples 9.8k
    elab estimate finetune resnet50 -a T4 -b 64 --trainable head \\
      --samples 5k --epochs 10
    """  # noqa: D301
    parts = _trainable(trainable, rank=rank, targets=targets, base_bits=base_bits)
    found = _training(model, machine, workload, run, spread, waits, parts)
    found.print_as(as_json)


@estimate_app.command()
@flattened
def infer(
    model: Model,
    machine: Machine,
    batch: Annotated[
        list[int], typer.Option("--batch", "-b", help="Requests at once; several for a curve.")
    ] = [1],  # noqa: B006
    input_length: Annotated[int, typer.Option(help="Tokens of a request.")] = 0,
    output_length: Annotated[
        int, typer.Option(help="New tokens of each request; encoders make none.")
    ] = 0,
    image_size: Images = 224,
    tensor: Annotated[int, typer.Option(help="Devices that share each layer.")] = 1,
    weight_bits: Annotated[
        int | None,
        typer.Option(help="Bits a weight is stored in: at most, and by default, the precision's."),
    ] = None,
    cache_bits: Annotated[
        int | None,
        typer.Option(help="Bits of a number in the KV cache; by default the precision's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Estimate serving a model: latency, requests a second, memory.

    Several --batch give a table of batch and latency. For instance:

    \b
    elab estimate infer bert-base-uncased -a T4 --input-length 128 \\
      -b 1 -b 8 -b 32 -b 128
    elab estimate infer llama-7b -a A100-SXM4-80GB --input-length 512 \\
      --output-length 128
    elab estimate infer llama-3-70b -i p4d.24xlarge --tensor 8 -b 16 \\
      --input-length 1024 --output-length 256 --weight-bits 8
    elab estimate infer resnet50 -a here -b 8
    """  # noqa: D301
    from rich.markup import escape

    from enterprise_lab import estimate
    from enterprise_lab.commands import estimate_sheets as sheets
    from enterprise_lab.commands import estimate_tables as tables
    from enterprise_lab.commands.estimate_place import Place, shape_of

    shape = shape_of(model)
    place = Place.of(machine, shape, training=False)
    if shape.kind != "convolutional" and not input_length:
        raise InvalidValueError(
            "Nothing says how long requests are.", "Give --input-length 128, in tokens."
        )
    place.require_devices(tensor)
    for name, bits in (("--weight-bits", weight_bits), ("--cache-bits", cache_bits)):
        require_no_wider(name, bits, place.precision)
    again = functools.partial(
        estimate.inference,
        shape,
        accelerator=place.chip,
        precision=place.precision,
        batch=batch[0],
        input_length=input_length,
        output_length=output_length,
        image_size=image_size,
        tensor=tensor,
        weight_bits=weight_bits,
        cache_bits=cache_bits,
    )
    found = [again(batch=size) for size in dict.fromkeys(batch)]
    each = [sheets.inference(model, one, place, again) for one in found]
    if as_json:
        written = [sheet.as_json() for sheet in each]
        tables.write_json(written if len(written) > 1 else written[0])
    elif len(found) == 1:
        each[0].print_as()
    else:
        usd = [sheet.figures.get("usd_per_million_requests") for sheet in each]
        title = f"{model}, serving: {sheets.devices_of(place, tensor)}, {sheets.request(found[0])}"
        fullest = max(range(len(found)), key=lambda i: found[i].memory_bytes_per_device.value)
        remarks = each[fullest].remarks
        tables.show(f"[bold]{escape(title)}", tables.curve(found, usd), *remarks)


@estimate_app.command()
@flattened
def plans(
    model: Model,
    machine: Machine,
    devices: Annotated[
        list[int],
        typer.Option("--devices", "-n", help="Number of devices; several to choose from."),
    ],
    workload: Workload,
    run: Run,
    flash_attention: Annotated[
        bool | None, typer.Option(help="Fused attention; by default in decoders.")
    ] = None,
    context_parallel: Annotated[
        bool, typer.Option("--context-parallel", help="Try sharing each sequence, too.")
    ] = False,
    memory_share: Annotated[
        float, typer.Option(help="Share of a device's memory that plans may fill.")
    ] = 0.9,
    usd_per_device_hour: Annotated[
        float | None, typer.Option(help="By default of the cheapest EC2 instance with such chips.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search every way to spread training over devices: the fastest, the cheapest, the best.

    For instance:

    \b
    elab estimate plans gpt-3-175b -a A100-SXM4-80GB -n 1024 -b 1536 \\
      -s 2048 --tokens 300B
    elab estimate plans llama-7b -i p4d.24xlarge -n 8 -n 16 -n 32 -b 512 \\
      -s 2048
    elab estimate plans resnet50 -a V100-SXM2-16GB -n 8 -b 2048 \\
      --samples 1.28M --epochs 90
    """  # noqa: D301
    from enterprise_lab import estimate
    from enterprise_lab.commands import estimate_plans
    from enterprise_lab.commands.estimate_place import Place, shape_of
    from enterprise_lab.commands.estimate_tables import write_json

    shape = shape_of(model)
    place = Place.of(machine, shape, training=True)
    require_length(shape, workload.sequence_length)
    place.require_devices(max(devices))
    found = estimate.plans(
        shape,
        devices=devices,
        accelerator=place.chip,
        precision=place.precision,
        node=place.node,
        flash_attention=fused(flash_attention, shape),
        context_parallel=context_parallel,
        memory_share=memory_share,
        usd_per_device_hour=usd_per_device_hour,
        tokens=run.total(shape, workload.sequence_length),
        **workload.arguments(),
    )
    if place.instance and usd_per_device_hour is None:
        found = replace(found, price=place.price(max(devices)))
    if as_json:
        write_json(estimate_plans.plans_as_json(model, found))
    else:
        estimate_plans.print_plans(model, found)


def _trainable(
    which: str, *, rank: int | None, targets: str | None, base_bits: int | None
) -> Trainable:
    from enterprise_lab.estimate import LowRank
    from enterprise_lab.estimate.trainable import PROJECTIONS

    chosen: dict[str, Any] = {"rank": rank, "base_bits": base_bits}
    if targets is not None:
        chosen["targets"] = tuple(filter(None, (one.strip() for one in targets.split(","))))
        if not chosen["targets"]:
            raise InvalidValueError(
                "--targets names nothing to adapt.", f"Name some of {', '.join(PROJECTIONS)}."
            )
    given = {name: value for name, value in chosen.items() if value is not None}
    if which == "lora":
        return LowRank(**given)
    if given:
        raise InvalidValueError(
            "--rank, --targets and --base-bits are LoRA's.", "Add --trainable lora, or leave them."
        )
    return "head" if which == "head" else "all"


def _training(
    model: str,
    machine: Machine,
    workload: Workload,
    run: Run,
    spread: Spread,
    waits: Waits,
    trainable: Trainable,
) -> Sheet:
    from enterprise_lab.commands import estimate_sheets as sheets
    from enterprise_lab.commands.estimate_place import Place, shape_of

    shape = shape_of(model)
    place = Place.of(machine, shape, training=True)
    return sheets.training(model, shape, place, workload, run, spread, waits, trainable)
