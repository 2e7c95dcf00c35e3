"""Whether a lab fits this machine, and how long it will take, before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enterprise_lab.course.labs import Lab, Needs, lab
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.value import html_table
from enterprise_lab.measure.devices import Machine, machine
from enterprise_lab.measure.matmul import matmul_rate
from enterprise_lab.units import format_bytes, format_seconds, format_si


@dataclass(frozen=True)
class Preflight:
    """What this machine has beside what the lab needs."""

    lab: Lab
    profile: str
    needs: Needs
    machine: Machine
    matmul_flops_per_second: float

    @property
    def seconds(self) -> float:
        """Predicted seconds of the lab's code on this machine."""
        return self.needs.fixed_seconds + self.needs.flops / self.matmul_flops_per_second

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """What was looked at: what is here, and what the lab needs."""
        here = self.machine
        gpus = ", ".join(f"{g.name} ({format_bytes(g.free_bytes)} free)" for g in here.gpus)
        rate = format_si(self.matmul_flops_per_second, "FLOP/s")
        return [
            ("processor", f"{here.cpu}, {here.cores} cores, {rate} measured", "any"),
            ("GPU", gpus or f"none: {here.gpu_note}", "not needed"),
            (
                "memory",
                f"{format_bytes(here.free_memory_bytes)} free",
                format_bytes(self.needs.memory_bytes),
            ),
            (
                "disk",
                f"{format_bytes(here.free_disk_bytes)} free",
                format_bytes(self.needs.disk_bytes),
            ),
            ("data and weights", "at hand", self.lab.data),
            ("time", f"about {format_seconds(self.seconds, 2)} (estimated)", "your own thinking"),
        ]

    def _repr_html_(self) -> str:
        title = f"Preflight of {self.lab.title}, profile {self.profile}: it fits this machine."
        return html_table(self.rows, header=("", "here", "needed"), caption=title, numeric=False)


def look(folder: str, profile: str) -> Preflight:
    """Look at this machine for a lab, without judging."""
    chosen = lab(folder)
    needs = chosen.profile(profile)
    rate = matmul_rate(512, 512, 512, budget_seconds=0.2).flops_per_second
    return Preflight(chosen, profile, needs, machine(), rate)


def preflight(folder: str, profile: str = "smoke") -> Preflight:
    """Show whether a lab fits this machine; LabError when memory or disk are too small."""
    found = look(folder, profile)
    for name, needed, free in (
        ("memory", found.needs.memory_bytes, found.machine.free_memory_bytes),
        ("disk space", found.needs.disk_bytes, found.machine.free_disk_bytes),
    ):
        if needed > free:
            raise LabError(
                f"This lab needs {format_bytes(needed)} of {name}, and {format_bytes(free)} are"
                f" free in {Path.cwd() if name == 'disk space' else 'this machine'}.",
                "Close other notebooks and programs, or use a larger machine.",
            )
    return found
