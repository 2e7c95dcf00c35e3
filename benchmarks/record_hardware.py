"""Records what this machine's devices do in lab 02, for those who don't have them.

python benchmarks/record_hardware.py [cpu] [cuda] [mps] [tpu]

For every device at hand, or those named: its roofline (matrix products and copies), the lab's sweep
of training steps, and runs to the target accuracy with their energy and memory. Writes
hardware_<device>.jsonl into enterprise_lab/measure/recorded_runs, anew each time. Minutes a device;
the machine should do nothing else meanwhile: figures that are in doubt are printed and left out,
and where the roofline was disturbed nothing is written.

Each part has a process of its own, so that no framework holds memory or threads of another.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from enterprise_lab.data import images
from enterprise_lab.errors import LabError
from enterprise_lab.measure import rates, records
from enterprise_lab.measure.devices import Device, Kind, devices, machine
from enterprise_lab.measure.energy import Energy, EnergyMeter
from enterprise_lab.measure.libraries import libraries
from enterprise_lab.measure.memory import PeakMemory
from enterprise_lab.measure.records import Record
from enterprise_lab.measure.sensors import sensors
from enterprise_lab.training import figures
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.run import Run, train
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.sweep import sweep
from enterprise_lab.training.trainer import FRAMEWORKS, Framework, trainer

FOLDER = Path(__file__).parents[1] / "enterprise_lab" / "measure" / "recorded_runs"
SOURCE = "benchmarks/record_hardware.py"
ROOFLINE = "roofline"
ROOFLINE_SECONDS, STEP_SECONDS = 20.0, 1.0
PROCESSOR_BATCHES = (1, 8, 64, 512)
ACCELERATOR_BATCHES = (1, 8, 64, 512, 4096, 32768)
TARGET_ACCURACY, MAX_EPOCHS = 0.95, 60
SEEDS = (0, 1, 2)


def main() -> None:
    """Record the devices named, or all there are; exit 2 where one that is named is not here."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="cpu, cuda, mps, tpu; all by default")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        records.append(asked.into, _part(asked.kinds[0], asked.part))
        return
    here = {(one.kind, one.name): (one, number) for number, one in _numbered(devices())}
    kinds = {one.kind for one, _ in here.values()}
    for kind in asked.kinds:
        if kind not in kinds:
            parser.error(f"there is no {kind!r} here, only {', '.join(sorted(kinds))}")
    for device, number in here.values():
        if device.kind in (asked.kinds or kinds):
            _record(device, number)


def tell(line: str) -> None:
    """Write a line for the person who waits."""
    sys.stderr.write(f"{line}\n")


def _numbered(found: tuple[Device, ...]) -> Iterator[tuple[int, Device]]:
    """Yield the devices that are there, with their number among those of their kind."""
    counted: dict[str, int] = {}
    for device in found:
        if device.present:
            number = counted[device.kind] = counted.get(device.kind, -1) + 1
            yield number, device
        else:
            tell(f"no {device.kind}: {device.note}")


def _record(device: Device, index: int) -> None:
    """Measure a device in processes that see no other of its kind, and keep what is sure."""
    tell(f"{device.kind}: {device.name}")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    chosen = visible[index] if visible[0] else str(index)
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": chosen} if device.kind == "cuda" else {})
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        into = Path(folder) / "all.jsonl"
        for part in (ROOFLINE, *FRAMEWORKS):
            tell(f"  {part}")
            call = [sys.executable, __file__, device.kind, "--part", part, "--into", str(into)]
            subprocess.run(call, env=environment, check=True)
        found = records.read(into)
        if rates.disturbed([one for one in found if one.lab == rates.LAB]):
            tell("  other processes disturbed the roofline: nothing is written")
            return
        sure = [one for one in found if not one.doubt]
        whole = Path(folder) / "sure.jsonl"
        records.append(whole, sure)
        name = re.sub(r"[^a-z0-9]+", "-", found[0].device.casefold()).strip("-")
        kept = whole.replace(FOLDER / f"hardware_{name}.jsonl")
    tell(f"  {len(sure)} figures in {kept.name}, {len(found) - len(sure)} left out")


def _part(kind: Kind, part: str) -> list[Record]:
    """Measure the roofline, or a framework, with what the sensors showed before and after."""
    before = sensors(kind).parameters("before")
    found = _roofline(kind) if part == ROOFLINE else _framework(part, kind)
    circumstances = before | sensors(kind).parameters("after")
    drivers = {gpu.driver for gpu in machine().gpus if kind == "cuda"}
    versions = {"driver": ", ".join(sorted(drivers))} if drivers else {}
    return [
        one.model_copy(
            update={
                "run": f"{one.device}, {found[0].time:%Y-%m-%d %H:%M}",
                "parameters": {**one.parameters, **circumstances},
                "versions": {**one.versions, **versions},
            }
        )
        for one in found
    ]


def _roofline(kind: Kind) -> list[Record]:
    own = [one for one in libraries() if one.processor == kind]
    return [one for part in rates.run(rates.tasks(own), ROOFLINE_SECONDS) for one in part]


def _framework(framework: Framework, kind: Kind) -> list[Record]:
    """Measure a framework's runs, then its steps; nothing where the device can't run it.

    Of the first steps only that of the process is kept: later ones find the compiler loaded.
    """
    try:
        found = _runs(framework, kind)
    except LabError as error:
        tell(f"    {error.problem}")
        return []
    swept = sweep(
        SmallCNN(),
        Recipe(),
        PROCESSOR_BATCHES if kind == "cpu" else ACCELERATOR_BATCHES,
        ("fp32", "bf16") if kind == "cpu" else ("fp32", "tf32", "bf16"),
        (framework,),
        kind,
        STEP_SECONDS,
    )
    for one in swept.skipped:
        tell(f"    {one.precision}, batches of {one.batch:,}: {one.reason}")
    found += [one for one in swept.records if one.metric != figures.FIRST_STEP_SECONDS]
    for record in found:
        if record.doubt:
            asked = f"{record.parameters['precision']}, batches of {record.parameters['batch']}"
            tell(f"    {record.metric}, {asked}: {record.doubt}")
    return found


def _runs(framework: Framework, kind: Kind) -> list[Record]:
    """Train from every seed; energy is the mean of the runs, memory the most of any of them.

    The meters are open while training alone, not while the framework is loaded.
    """
    data, network = images("digits"), SmallCNN()
    found: list[Record] = []
    runs: list[Run] = []
    energies: list[Energy] = []
    peaks: list[int] = []
    for seed in SEEDS:
        made = trainer(framework, network, Recipe(seed=seed), device=kind)
        with EnergyMeter(kind) as meter, PeakMemory(kind) as memory:
            run = train(made, data, target_accuracy=TARGET_ACCURACY, max_epochs=MAX_EPOCHS)
        own = figures.of_run(made, run, source=SOURCE)
        found += [one for one in own if not runs or one.metric != figures.FIRST_STEP_SECONDS]
        runs.append(run)
        energies.append(meter.energy)
        peaks.append(memory.bytes)
    joules = figures.record(
        made,
        figures.ENERGY,
        figures.single(
            fmean(one.joules for one in energies),
            "J",
            next((run.doubt for run in runs if run.doubt), ""),
        ),
        source=f"{SOURCE}: {energies[0].source}",
        target_accuracy=TARGET_ACCURACY,
        runs=len(runs),
        epochs=fmean(len(run.curve) for run in runs),
        seconds=fmean(one.seconds for one in energies),
    )
    peak = figures.record(made, figures.PEAK_MEMORY, figures.single(max(peaks), "B"), source=SOURCE)
    return [*found, joules.model_copy(update={"origin": energies[0].origin}), peak]


if __name__ == "__main__":
    main()
