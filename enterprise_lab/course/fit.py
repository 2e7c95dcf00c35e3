"""Whether a lab fits this machine, and how long it will take, before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from enterprise_lab import data
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.value import html_table
from enterprise_lab.labs import Lab, Needs, lab
from enterprise_lab.measure.calibrate import kept
from enterprise_lab.measure.devices import Machine, machine
from enterprise_lab.measure.matmul import matmul_rate
from enterprise_lab.measure.this_machine import this_machine
from enterprise_lab.units import format_bytes, format_seconds, format_si


@dataclass(frozen=True)
class Fit:
    """What this machine has beside what a profile of a lab needs."""

    lab: Lab
    profile: str
    machine: Machine
    matmul_flops_per_second: float
    data: tuple[str, ...] = ()

    @property
    def needs(self) -> Needs:
        """What the profile needs."""
        return self.lab.profile(self.profile)

    @property
    def seconds(self) -> float:
        """Predicted seconds of the lab's code on this machine."""
        return self.needs.seconds(self.matmul_flops_per_second)

    @property
    def shortage(self) -> LabError | None:
        """What this machine lacks for the lab, if anything."""
        if self.lab.lack:
            return self.lab.lack
        for name, needed, free in (
            ("memory", self.needs.memory_bytes, self.machine.free_memory_bytes),
            ("disk space", self.needs.disk_bytes, self.machine.free_disk_bytes),
        ):
            if needed > free:
                return LabError(
                    f"{self.lab.title}, profile {self.profile}, needs {format_bytes(needed)} of"
                    f" {name}, and {format_bytes(free)} are free.",
                    "Close other notebooks and programs, or use a larger machine.",
                )
        return None

    def _repr_html_(self) -> str:
        here = describe(self.machine, self.matmul_flops_per_second)
        needed = {
            "processor": "any",
            "GPU": "not needed",
            "memory": format_bytes(self.needs.memory_bytes),
            "disk": format_bytes(self.needs.disk_bytes),
        }
        rows = [
            *((name, here[name], need) for name, need in needed.items()),
            ("data and weights", _states(self.data), ", ".join(self.data) or "none"),
            ("computing", f"about {format_seconds(self.seconds, 2)} (estimated)", "any"),
        ]
        title = f"Preflight of {self.lab.title}, profile {self.profile}: it fits this machine."
        return html_table(rows, header=("", "here", "needed"), caption=title, numeric=False)


def _states(names: tuple[str, ...]) -> str:
    return ", ".join(f"{name}: {data.state(name)}" for name in names) or "–"


def describe(here: Machine, matmul_flops_per_second: float) -> dict[str, str]:
    """Write what a machine has, a line each."""
    gpus = ", ".join(f"{g.name}, {format_bytes(g.free_bytes)} free" for g in here.gpus)
    rate = format_si(matmul_flops_per_second, "FLOP/s")
    return {
        "processor": f"{here.cpu}, {here.cores} cores, {rate} in float32 (measured)",
        "GPU": gpus or f"none: {here.gpu_note}",
        "memory": f"{format_bytes(here.free_memory_bytes)} free",
        "disk": f"{format_bytes(here.free_disk_bytes)} free",
    }


def look() -> tuple[Machine, float]:
    """Look at this machine: what it has, and its rate of matrix products in FLOP/s.

    The rate is the best that `elab calibrate` kept, or else of a third of a second.
    """
    here = machine()
    if kept(here):
        return here, this_machine().peak_flops("fp32")
    taken = matmul_rate(1024, 1024, 1024, budget_seconds=0.3)
    quickest = taken.measurement.best or taken.measurement.value
    return here, taken.flops_per_second * taken.measurement.value / quickest


def preflight(folder: str, profile: str = "smoke", *data_sets: str) -> Fit:
    """Show whether a lab fits this machine, and whether its data are here.

    `data_sets` are those it is to use instead of its own. LabError when memory, disk or a package
    is missing.
    """
    chosen = lab(folder)
    chosen.profile(profile)
    found = Fit(chosen, profile, *look(), data_sets or chosen.data)
    if found.shortage:
        raise found.shortage
    return found
