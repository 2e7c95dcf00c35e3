"""What a training of images takes here and on other hardware: seconds, dollars, joules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from enterprise_lab import catalog, estimate
from enterprise_lab.catalog import Accelerator, Instance
from enterprise_lab.catalog.speeds import TrainingSpeed
from enterprise_lab.course.hardware_pictures import Bar
from enterprise_lab.course.lab02 import MINIMUM_SECONDS
from enterprise_lab.errors import LabError, require_whole
from enterprise_lab.estimate import Estimate
from enterprise_lab.estimate.states import training_precision
from enterprise_lab.measure.energy import Energy
from enterprise_lab.measure.records import Origin
from enterprise_lab.shapes import ConvolutionalShape
from enterprise_lab.training.run import Run
from enterprise_lab.units import HOUR

_FASTEST_FIRST = ("bf16", "fp16", "tf32", "fp32")


class Span(NamedTuple):
    """A figure and how far it may be off."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bill:
    """What a training takes on a device, rented by the smallest instance that has it.

    `usd` is None where no instance of the catalogue has the device, `joules` where its power isn't
    known.
    """

    device: str
    origin: Origin
    instance: Instance | None
    seconds: Span
    usd: Span | None
    joules: Bar | None


def of_run(run: Run, energy: Energy, instance: Instance | None) -> Bill:
    """Return the bill of a training that was measured here."""
    seconds = Span(run.seconds, run.seconds, run.seconds)
    used = energy.joules
    return Bill(
        run.device,
        Origin.MEASURED,
        instance,
        seconds,
        _usd(seconds, instance),
        Bar(run.device, used, used, used, energy.origin),
    )


def elsewhere(
    shape: ConvolutionalShape, chip: str, *, image_size: int, batch: int, steps: int
) -> Bill:
    """Estimate the bill of `steps` steps on one chip, in the fastest format it trains in.

    The chip is taken to draw its whole board power, which small steps don't make it do. Raises
    LabError for an unknown chip and for sizes that can't be.
    """
    steps = require_whole("steps", steps, 10**12)
    accelerator = catalog.accelerator(chip)
    step, _ = step_elsewhere(shape, chip, image_size=image_size, batch=batch)
    instance = smallest_instance(accelerator)
    seconds = Span(*(steps * (end or step.value) for end in (step.value, step.low, step.high)))
    watts = accelerator.power_watts
    joules = None
    if watts:
        value, low, high = (watts * end for end in seconds)
        joules = Bar(chip, value, low, high, Origin.ESTIMATED)
    return Bill(chip, Origin.ESTIMATED, instance, seconds, _usd(seconds, instance), joules)


def estimated_bill(
    shape: ConvolutionalShape,
    chip: Accelerator,
    image_size: int,
    *,
    batch: int,
    images: float,
    instance: Instance | None,
) -> Bill:
    """Estimate the bill of training on so many images on a device, in fp32."""
    step = estimate.training(
        shape, global_batch=batch, accelerator=chip, precision="fp32", image_size=image_size
    ).step_seconds
    ends = (step.value, step.low or step.value, step.high or step.value)
    seconds = Span(*(images / batch * end for end in ends))
    return Bill(chip.name, Origin.ESTIMATED, instance, seconds, _usd(seconds, instance), None)


def published_bill(speed: TrainingSpeed, images: float, instance: str) -> Bill:
    """Return the bill of training on so many images at a published speed."""
    seconds = Span(*[images / speed.samples_per_second] * 3)
    name = speed.accelerator if speed.devices == 1 else f"{speed.devices} x {speed.accelerator}"
    rented = catalog.instance(instance)
    return Bill(name, Origin.PUBLISHED, rented, seconds, _usd(seconds, rented), None)


def step_elsewhere(
    shape: ConvolutionalShape, chip: str, *, image_size: int, batch: int
) -> tuple[Estimate, str]:
    """Estimate the seconds of a step on one chip, and say in which format it trains fastest."""
    accelerator = catalog.accelerator(chip)
    precision = _fastest(accelerator)
    training = estimate.training(
        shape,
        global_batch=batch,
        accelerator=accelerator,
        precision=precision,
        image_size=image_size,
    )
    return training.step_seconds, precision


def dollars(bills: Sequence[Bill]) -> list[Bar]:
    """List the dollars of bills, for a picture."""
    return [
        Bar(f"{bill.device} ({bill.instance.name})", *bill.usd, bill.origin)
        for bill in bills
        if bill.usd and bill.instance
    ]


def hours(bills: Sequence[Bill]) -> list[Bar]:
    """List the hours of trainings, for a picture."""
    return [
        Bar(b.device, b.seconds.value / HOUR, b.seconds.low / HOUR, b.seconds.high / HOUR, b.origin)
        for b in bills
    ]


def joules(bills: Sequence[Bill]) -> list[Bar]:
    """List the joules of bills, for a picture."""
    return [bill.joules for bill in bills if bill.joules]


def matching_instance(cores: int) -> Instance | None:
    """Return the cheapest instance for steady work without accelerators that has as many cores.

    None where no instance of the catalogue has them.
    """
    fitting = [
        one
        for one in catalog.instances()
        if one.accelerator is None
        and not one.family.startswith("t")  # burstable
        and (one.vcpus or 0) >= cores
        and _usd_per_hour(one) < float("inf")
    ]
    return min(fitting, key=_usd_per_hour, default=None)


def smallest_instance(accelerator: Accelerator) -> Instance | None:
    """Return the cheapest instance with at least one whole chip, None where there is none."""
    having = [
        one
        for one in catalog.instances()
        if one.accelerator == accelerator.name
        and (one.accelerator_count or 0) >= 1
        and _usd_per_hour(one) < float("inf")
    ]
    return min(having, key=_usd_per_hour, default=None)


def _usd(seconds: Span, instance: Instance | None) -> Span | None:
    if instance is None:
        return None
    rate = _usd_per_hour(instance) / HOUR
    return Span(*(rate * max(MINIMUM_SECONDS, end) for end in seconds))


def _usd_per_hour(instance: Instance) -> float:
    try:
        return catalog.price(instance.name).usd_per_hour
    except LabError:
        return float("inf")


def _fastest(accelerator: Accelerator) -> str:
    for precision in _FASTEST_FIRST:
        try:
            return training_precision(accelerator, precision)
        except LabError:
            continue
    raise LabError(
        f"The {accelerator.name} trains in none of {', '.join(_FASTEST_FIRST)}.",
        "Choose another chip.",
    )
