"""The hardware that a lab finds: which to use, what it is called, how fast it was measured."""

from __future__ import annotations

from collections.abc import Sequence

from IPython.display import Markdown

from enterprise_lab.catalog import Accelerator, Instance
from enterprise_lab.catalog.driver_names import by_driver_name
from enterprise_lab.course.bills import matching_instance, smallest_instance
from enterprise_lab.course.text import say
from enterprise_lab.errors import LabError, require_one_of
from enterprise_lab.measure.devices import KIND_NAMES, Device, Kind, machine
from enterprise_lab.measure.rates import best_copy, best_matmuls
from enterprise_lab.measure.records import Record
from enterprise_lab.measure.this_machine import accelerator_of
from enterprise_lab.units import GB, TERA, format_bytes

_FASTEST_FIRST: tuple[Kind, ...] = ("tpu", "cuda", "cpu")


def table_of(found: Sequence[Device]) -> Markdown:
    """Show what was found and what is missing, a row each."""
    lines = ["| kind | device | memory free | formats | |", "|---|---|---:|---|---|"]
    for one in found:
        free = "" if one.free_bytes is None else format_bytes(one.free_bytes)
        formats = ", ".join(one.precisions)
        lines += [
            f"| {KIND_NAMES[one.kind]} | {one.name or 'none'} | {free} | {formats} | {one.note} |"
        ]
    return say("\n".join(lines))


def choose(wanted: str, found: Sequence[Device]) -> Kind:
    """Return the kind of device to use: the one that is wanted, or with "auto" the fastest.

    Raises LabError for a kind that isn't here, with the reason.
    """
    require_one_of("device", wanted, ("auto", *_FASTEST_FIRST))
    here = {one.kind for one in found if one.usable}
    if wanted == "auto":
        return next(kind for kind in _FASTEST_FIRST if kind in here)
    if wanted not in here:
        why = next((one.note for one in found if one.kind == wanted), "it was not looked for")
        raise LabError(
            f"There is no {KIND_NAMES[wanted]} here: {why}.",
            'Set device = "auto", or run the lab on a machine that has one.',
        )
    return wanted


def chip_of(kind: Kind, found: Sequence[Device], measured: Sequence[Record]) -> Accelerator:
    """Return the device to estimate for: by the catalogue, or else by its measured rates."""
    if kind == "cpu":
        return accelerator_of(measured)
    device = next(one for one in found if one.kind == kind and one.usable)
    return by_driver_name(device.name) or _as_measured(device, measured)


def _as_measured(device: Device, measured: Sequence[Record]) -> Accelerator:
    best = best_rates(measured, device.kind)
    row = {
        "name": device.name,
        "vendor": "measured",
        **{f"{name}_tflops": best[name] / TERA for name in best.keys() - {"memory"}},
        "memory_gb": (device.memory_bytes or machine().memory_bytes) / GB,
        "memory_type": "its own",
        "memory_bandwidth_gb_per_second": best["memory"] / GB,
        "source": "rates measured here",
    }
    return Accelerator.model_validate(row)


def instance_of(kind: Kind, chip: Accelerator) -> Instance | None:
    """Return the EC2 instance to rent for what this device does, None where EC2 has none."""
    return matching_instance(machine().cores) if kind == "cpu" else smallest_instance(chip)


def best_rates(measured: Sequence[Record], kind: Kind) -> dict[str, float]:
    """Return the best FLOP/s in each format, and bytes/s to and from "memory".

    Those of the largest copies, which no cache holds. Raises LabError where the device was not
    measured.
    """
    own = [one for one in measured if one.parameters["processor"] == kind]
    if not own:
        raise LabError(
            f"The rates of the {KIND_NAMES[kind]} were not measured.",
            'Set device = "cpu", or install PyTorch for this device.',
        )
    return {**best_matmuls(own), "memory": best_copy(own)}
