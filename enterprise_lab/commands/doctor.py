"""The command `elab doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from enterprise_lab.measure.devices import Device, Machine


def doctor() -> None:
    """Say what this machine has and which labs fit it."""
    from rich.console import Console

    from enterprise_lab.course import fit
    from enterprise_lab.measure.devices import devices

    console = Console(highlight=False)
    with console.status("looking at this machine"):
        here, rate = fit.look()
        found = devices()
    console.print(_devices(found))
    console.print(_rest(here, rate), "")
    console.print(_labs(here, rate))


def _devices(found: tuple[Device, ...]) -> Table:
    from rich.table import Table
    from rich.text import Text

    from enterprise_lab.measure.devices import KIND_NAMES
    from enterprise_lab.units import format_bytes

    table = Table(title="Devices", title_justify="left")
    for name in ("device", "what it is", "free memory", "precisions", "more"):
        table.add_column(name, justify="right" if name == "free memory" else "left")
    for one in found:
        memory = "" if one.free_bytes is None else format_bytes(one.free_bytes)
        if one.memory_bytes is not None:
            memory += f" of {format_bytes(one.memory_bytes)}"
        row = (one.name or "none", memory, ", ".join(one.precisions), one.note)
        style = "" if one.present else "dim"
        table.add_row(KIND_NAMES[one.kind], *map(Text, row), style=style)
    return table


def _rest(here: Machine, matmul_flops_per_second: float) -> Table:
    from rich.table import Table

    from enterprise_lab.units import format_bytes, format_si

    table = Table.grid(padding=(0, 1))
    table.add_row("Matrix products:", f"{format_si(matmul_flops_per_second, 'FLOP/s')} (measured)")
    table.add_row("Disk:", f"{format_bytes(here.free_disk_bytes)} free")
    return table


def _labs(here: Machine, matmul_flops_per_second: float) -> Table:
    from rich.table import Table

    from enterprise_lab.course import LABS
    from enterprise_lab.course.fit import Fit
    from enterprise_lab.units import format_seconds

    table = Table(title="Labs", title_justify="left")
    for name in ("lab", "profile", "fits", "computing time (estimated)"):
        table.add_column(name, justify="right" if name.startswith("computing") else "left")
    for lab in LABS:
        for profile in lab.needs:
            found = Fit(lab, profile, here, matmul_flops_per_second)
            verdict = found.shortage.problem if found.shortage else "yes"
            table.add_row(lab.folder, profile, verdict, format_seconds(found.seconds, 2))
    return table
