"""Seconds of training steps and forward passes of small convolutional networks on this processor.

    sudo chrt -f 50 python benchmarks/cpu_small_networks.py

Writes cpu_small_networks.jsonl into enterprise_lab/measure/recorded_runs, beside the rates and
steps of benchmarks/cpu_steps.py, which must have run on the same machine. A figure is that of the
median of three rounds. A step is forward, backward and SGD with momentum, without dropout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from enterprise_lab.measure import libraries, records
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.records import Record
from enterprise_lab.measure.timing import measure
from enterprise_lab.shapes.networks import plain

PATH = Path(__file__).parents[1] / "enterprise_lab/measure/recorded_runs/cpu_small_networks.jsonl"
ROUNDS, SECONDS, CLASSES = 3, 0.5, 10
PHASES = {"training step": "step_seconds", "forward": "forward_seconds"}
CASES = (  # widths, image size, batch
    ((8, 16), 28, 64),
    ((32, 64, 128), 32, 32),
    ((32, 64, 128), 32, 1),
    ((16, 32, 64), 16, 256),
    ((16, 32, 64), 16, 8),
    ((64, 128), 12, 128),
    ((64, 128), 12, 1),
    ((24, 48, 96, 192), 64, 16),
)


def build(widths: Sequence[int]) -> nn.Module:
    """Build the network that `plain` describes."""
    layers: list[nn.Module] = []
    for before, width in pairwise((3, *widths)):
        convolution = nn.Conv2d(before, width, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], CLASSES)
    )


def work(model: nn.Module, phase: str, precision: str, images: torch.Tensor) -> Callable[[], Any]:
    """Return a training step under autocast, or a forward pass in the precision."""
    if phase == "forward":
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        model, images = model.eval().to(dtype), images.to(dtype)
        return torch.inference_mode()(lambda: model(images))
    labels = torch.randint(CLASSES, (len(images),))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()

    return step


def row(case: tuple[Any, ...], phase: str, precision: str, device: str, run: str) -> Record:
    """Measure one case."""
    widths, size, batch = case
    torch.manual_seed(0)
    model, shape = build(widths), plain(widths)
    if sum(p.numel() for p in model.parameters()) != shape.parameters:
        raise SystemExit(f"{shape.name} and its module differ.")
    images = torch.randn(batch, 3, size, size)
    taken = measure(work(model, phase, precision, images), budget_seconds=SECONDS)
    return records.measured(
        "cpu_small_networks",
        PHASES[phase],
        taken,
        device=device,
        source="benchmarks/cpu_small_networks.py",
        run=run,
        parameters={
            "model": shape.name,
            "widths": "-".join(map(str, widths)),
            "phase": phase,
            "precision": precision,
            "global_batch": batch,
            "image_size": size,
            "threads": torch.get_num_threads(),
        },
    )


def main() -> None:
    """Measure every case in rounds, and write the median of each."""
    device = libraries.processor_name(machine())
    run = f"{device}, {datetime.now(UTC):%Y-%m-%d %H:%M}"
    todo = list(product(CASES, PHASES, ("fp32", "bf16")))
    rounds = [[row(*one, device, run) for one in todo] for _ in range(ROUNDS)]
    found = [sorted(each, key=lambda r: r.value)[ROUNDS // 2] for each in zip(*rounds, strict=True)]
    PATH.unlink(missing_ok=True)
    records.append(PATH, found)
    for one in found:
        its = one.parameters
        words = f"{its['model']} {its['phase']} {its['precision']} {its['global_batch']}"
        sys.stdout.write(f"{words} of {its['image_size']}: {one.value * 1e3:.3g} ms\n")


main()
