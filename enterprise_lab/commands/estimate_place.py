"""The model and the machine that options name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator, Instance
from enterprise_lab.catalog.nodes import Node, node_of_instance
from enterprise_lab.commands.estimate_options import Machine
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.shapes import Shape, shape_from_hf_config


@dataclass(frozen=True)
class Place:
    """The chip, how such chips are joined, and the instance that is rented."""

    chip: Accelerator
    precision: str
    node: Node | None = None
    instance: Instance | None = None

    @property
    def devices(self) -> int:
        """Devices of the instance; 1 where none is named."""
        return self.node.devices if self.node else 1

    def instances(self, devices: int) -> int:
        """Return how many instances hold so many devices."""
        return -(-devices // self.devices)

    @classmethod
    def of(cls, machine: Machine, shape: Shape, training: bool) -> Place:
        """Look a machine up; LabError for what the catalogue doesn't have."""
        if machine.accelerator.casefold() == "here":
            from enterprise_lab.measure.this_machine import this_machine

            if machine.instance:
                raise _two_places("this machine", catalog.instance(machine.instance))
            chip = this_machine()
            return cls(chip, machine.precision.casefold() or "fp32")
        if not machine.instance:
            if not machine.accelerator:
                raise InvalidValueError(
                    "Nothing says what it runs on.",
                    "Give --accelerator A100-SXM4-80GB, --accelerator here or --instance"
                    " p4d.24xlarge; `elab catalog accelerators` lists them.",
                )
            chip = catalog.accelerator(machine.accelerator)
            return cls(
                chip, machine.precision.casefold() or _usual_precision(chip, shape, training)
            )
        instance = catalog.instance(machine.instance)
        node = node_of_instance(instance)
        chip = catalog.accelerator(node.accelerator)
        if machine.accelerator and catalog.accelerator(machine.accelerator) != chip:
            raise _two_places(machine.accelerator, instance)
        precision = machine.precision.casefold() or _usual_precision(chip, shape, training)
        return cls(chip, precision, node, instance)


def _two_places(accelerator: str, instance: Instance) -> LabError:
    return InvalidValueError(
        f"{instance.name} has {instance.accelerator}, not {accelerator}.",
        "Give only one of --accelerator and --instance.",
    )


def _usual_precision(chip: Accelerator, shape: Shape, training: bool) -> str:
    """Return what most measured rows of such work have."""
    known = chip.peak_tflops
    first = ("bf16", "fp16") if training and shape.kind == "decoder" else ("fp16", "bf16")
    return next((name for name in (*first, "fp32") if name in known), next(iter(known)))


def shape_of(model: str) -> Shape:
    """Return the shape of a model in the catalogue, or of a config.json; LabError for others."""
    path = Path(model)
    if path.is_dir():
        path /= "config.json"
    if path.suffix != ".json":
        return catalog.model(model).shape
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LabError(
            f"There is no file {path}.", "Give the path of a model's config.json, or its name."
        ) from error
    except ValueError as error:
        raise LabError(
            f"{path} is not JSON: {error}.", "Give a Hugging Face model's config.json."
        ) from error
    return shape_from_hf_config(config)
