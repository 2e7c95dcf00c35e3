"""The processor of this machine as an accelerator, from rates measured on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from enterprise_lab.catalog import Accelerator
from enterprise_lab.measure import calibrate
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.libraries import NumPy
from enterprise_lab.measure.rates import best_copy, best_matmuls, disturbed, run, tasks
from enterprise_lab.measure.records import Record
from enterprise_lab.units import GB, TERA

QUICK_SECONDS = 1.5
BUSY_LOOK = "a quick look while the machine was busy, so unsure: look again when it is quiet"


def this_machine() -> Accelerator:
    """Return this machine's processor, with the best rates measured on it as its peaks.

    They are those that `elab calibrate` kept. Where it never ran, NumPy's are measured in about
    two seconds, once in a process: of fp32 only.
    """
    return accelerator_of(calibrate.kept() or _quick())


def accelerator_of(found: Sequence[Record]) -> Accelerator:
    """Return the processor that these rates were measured on, with as much memory as is here."""
    rates = [one for one in found if one.parameters["processor"] == "cpu"]
    peaks = {precision: best / TERA for precision, best in best_matmuls(rates).items()}
    row = {
        "name": rates[0].device,
        "vendor": "measured",
        "is_processor": True,
        "fp32_tflops": peaks["fp32"],
        "bf16_tflops": peaks.get("bf16"),
        "measured_matmul_tflops": peaks.get("bf16"),
        "memory_gb": machine().memory_bytes / GB,
        "memory_type": "system memory",
        "memory_bandwidth_gb_per_second": best_copy(rates) / GB,
        "source": f"{rates[0].source}, {rates[0].time:%Y-%m-%d}",
    }
    return Accelerator.model_validate(row)


@cache
def _quick() -> tuple[Record, ...]:
    todo = tasks([NumPy(machine())])
    found = [one for part in run(todo, QUICK_SECONDS) for one in part]
    source = BUSY_LOOK if disturbed(found) else "a quick look"
    return tuple(one.model_copy(update={"source": source}) for one in found)
