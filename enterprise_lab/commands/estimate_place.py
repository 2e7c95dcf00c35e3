"""The model and the machine that options name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from enterprise_lab import catalog, costing
from enterprise_lab.catalog import Accelerator, Instance
from enterprise_lab.catalog.nodes import Node, node_of, node_of_instance
from enterprise_lab.commands.estimate_options import Machine
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.estimate import Estimate
from enterprise_lab.estimate.device_price import DevicePrice, device_price
from enterprise_lab.shapes import Shape, shape_from_hf_config
from enterprise_lab.units import HOUR, format_usd


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

    def require_devices(self, devices: int) -> None:
        """Raise InvalidValueError for more than one of the processor that is here."""
        if self.chip.is_processor and devices > 1:
            raise InvalidValueError(
                f"There is one processor here, not {devices:,}.",
                "Ask for one device, or name an accelerator: -a A100-SXM4-80GB.",
            )

    def price(self, devices: int) -> DevicePrice | None:
        """Return what a device costs: its part of the instance, or of the cheapest with such."""
        if self.instance is None:
            return device_price(self.chip, min(devices, node_of(self.chip).devices))
        price = self.instance.latest_price
        if price is None:
            return None
        mark = ", unverified" if price.unverified else ""
        return DevicePrice(
            price.usd_per_hour / self.devices,
            f"1/{self.devices} of {self.instance.name}, {format_usd(price.usd_per_hour)} an hour"
            f" on demand ({price.region}, {price.date}{mark})",
        )

    def bill(self, seconds: Estimate, devices: int) -> Estimate | None:
        """Return dollars for so many devices during some seconds: instances are paid whole."""
        if self.instance and self.instance.latest_price:
            rented = self.instances(devices)
            return costing.on_demand(seconds, self.instance.name, instances=rented)
        price = self.price(devices)
        if price is None:
            return None
        return seconds.scaled(devices * price.usd_per_hour / HOUR, "USD", price.source)

    def rental(self, devices: int) -> str:
        """Say in a sentence what is rented for so many devices; nothing where no price is known."""
        price = self.price(devices)
        if price is None:
            return ""
        if self.instance is None:
            return f"Cost of a device: {price.source.removeprefix('1/1 of ')}."
        rented = self.instances(devices)
        idle = rented * self.devices - devices
        hourly = format_usd(rented * self.devices * price.usd_per_hour)
        in_all = " in all," if rented > 1 else ""
        text = f"Cost: {rented:,} x {self.instance.name}, {hourly} an hour{in_all} on demand."
        all_ = rented * self.devices
        return text + (f" {idle:,} of the {all_:,} devices are paid and idle." if idle else "")

    @classmethod
    def of(cls, machine: Machine, shape: Shape, training: bool) -> Place:
        """Look a machine up; LabError for what the catalogue doesn't have."""
        if (machine.accelerator or "").casefold() == "here":
            from enterprise_lab.measure.this_machine import this_machine

            if machine.instance:
                raise _two_places("this machine", catalog.instance(machine.instance))
            chip = this_machine()
            return cls(chip, _precision(machine, chip, "fp32", training))
        if machine.instance is None:
            if machine.accelerator is None:
                raise InvalidValueError(
                    "Nothing says what it runs on.",
                    "Give --accelerator A100-SXM4-80GB, --accelerator here or --instance"
                    " p4d.24xlarge; `elab catalog accelerators` lists them.",
                )
            chip = catalog.accelerator(machine.accelerator)
            return cls(
                chip, _precision(machine, chip, _usual_precision(chip, shape, training), training)
            )
        instance = catalog.instance(machine.instance)
        node = node_of_instance(instance)
        chip = catalog.accelerator(node.accelerator)
        if machine.accelerator is not None and catalog.accelerator(machine.accelerator) != chip:
            raise _two_places(machine.accelerator, instance)
        precision = _precision(machine, chip, _usual_precision(chip, shape, training), training)
        return cls(chip, precision, node, instance)


def _two_places(accelerator: str, instance: Instance) -> LabError:
    return InvalidValueError(
        f"{instance.name} has {instance.accelerator}, not {accelerator}.",
        "Give only one of --accelerator and --instance.",
    )


def _precision(machine: Machine, chip: Accelerator, usual: str, training: bool) -> str:
    """Return the given precision or the usual one; LabError lists those that do."""
    if machine.precision is None:
        return usual
    given = machine.precision.casefold()
    known = [name for name in chip.peak_tflops if not (training and name == "int8")]
    if given in known:
        return given
    raise InvalidValueError(
        "Nobody trains in int8."
        if training and given == "int8"
        else f"No {machine.precision!r} rate of the {chip.name} is known.",
        f"Choose one of: {', '.join(known)}.",
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
    if not isinstance(config, dict):
        raise LabError(
            f"{path} holds {config!r:.40}, not a mapping of names to values.",
            "Give a Hugging Face model's config.json.",
        )
    return shape_from_hf_config(config)
