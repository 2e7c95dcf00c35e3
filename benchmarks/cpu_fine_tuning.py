"""Steps of fine-tuning BERTs on this machine's processor, beside what the estimator says of them.

python benchmarks/cpu_fine_tuning.py [--busy] [FILE.jsonl]   # some 10 minutes on two cores

Every case is measured in a process of its own: seconds of a step, the most that the allocator
gave to tensors, and how far the process grew. The estimator's time is fitted to steps of the other
shapes, never to those of MiniLM, and its memory to nothing. To fit it anew, give as the file an
empty cpu_fine_tuning.jsonl of enterprise_lab/measure/recorded_runs, then run fit_estimator.py.
Weights are random: neither seconds nor bytes depend on them.

With --busy, for a machine that others use at the same time, seconds are those that the main thread
spent on a processor, the other threads waiting without spinning, times BUSY.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import transformers
from memory_peaks import allocated_peak, held_bytes, states_of

from enterprise_lab import estimate
from enterprise_lab.catalog import Accelerator
from enterprise_lab.estimate import Implementation, LowRank, Plan, TrainingEstimate
from enterprise_lab.estimate.trainable import PROJECTIONS, Projection
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.memory import PeakMemory
from enterprise_lab.measure.records import Origin, Record, append
from enterprise_lab.measure.this_machine import this_machine
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.training.finetuning.encoder import build, read_shape
from enterprise_lab.training.finetuning.recipe import FineTuning, Method, Precision

HELD_OUT = "MiniLM"
SHAPES = {  # layers, hidden, heads
    HELD_OUT: (6, 384, 12),
    "BERT mini": (4, 256, 4),
    "BERT 4x512": (4, 512, 8),
    "BERT base": (12, 768, 12),
}
CLASSES = 23
WARM_UPS, STEPS = 2, 7
BUSY = 1.09
"""The clock's seconds over the main thread's: of 5 steps of cpu_steps.jsonl, 1.07 to 1.15."""


@dataclass(frozen=True)
class Case:
    """A way to fine-tune a model on batches of texts padded to one length."""

    model: str
    method: Method
    precision: Precision
    batch: int
    length: int
    dropout: float = 0.0
    recompute: bool = False
    targets: tuple[Projection, ...] = LowRank().targets

    @property
    def recipe(self) -> FineTuning:
        """The case as a recipe."""
        return FineTuning(
            self.method,
            precision=self.precision,
            batch=self.batch,
            sequence_length=self.length,
            dropout=self.dropout,
            recompute=self.recompute,
            targets=self.targets,
        )

    @property
    def fused_attention(self) -> bool:
        """Whether attention is fused: on a processor not in bf16 here, nor with dropout."""
        return self.precision == "fp32" and self.dropout == 0


@dataclass(frozen=True)
class Measured:
    """What a case took."""

    seconds: float
    tensor_bytes: int
    """Most that weights, states and tensors held at once."""
    grown_bytes: int
    """How far the process grew: tensors, holes that its heap keeps, code, buffers of libraries."""


def cases() -> Iterator[Case]:
    """Every case; of MiniLM the more."""
    for model, batch in ((HELD_OUT, 16), ("BERT mini", 32), ("BERT 4x512", 16), ("BERT base", 4)):
        methods: tuple[Method, ...] = "full", "lora", "head"
        for method in methods:
            yield Case(model, method, "fp32", batch, 128)
            yield Case(model, method, "bf16", batch, 128)
        base = Case(model, "full", "bf16", batch, 128)
        yield replace(base, dropout=0.1)
        yield replace(base, recompute=True)
        yield replace(base, batch=8, length=32)
        if model != "BERT base":
            yield replace(base, precision="fp32", batch=8, length=256)
            yield replace(base, precision="fp32", batch=8, length=256, method="lora")
        if model == HELD_OUT:
            yield replace(base, precision="fp32", dropout=0.1)
            yield replace(base, precision="fp32", recompute=True)
            yield replace(base, precision="fp32", batch=8, length=64)
            yield replace(base, batch=32, length=32)
            yield replace(base, batch=8, length=256)
            yield replace(base, batch=32, length=64, method="lora")
            for adapted in (base, replace(base, precision="fp32"), replace(base, length=64)):
                yield replace(adapted, method="lora", targets=PROJECTIONS)


def write_config(folder: Path, layers: int, hidden: int, heads: int, vocabulary: int) -> Path:
    """Write the config.json of a BERT into a folder, and return the folder."""
    config = {
        "model_type": "bert", "num_hidden_layers": layers, "hidden_size": hidden,
        "num_attention_heads": heads, "intermediate_size": 4 * hidden, "vocab_size": vocabulary,
        "max_position_embeddings": 512, "type_vocab_size": 2,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def predicted(shape: TransformerShape, case: Case, chip: Accelerator) -> TrainingEstimate:
    """Return what the estimator says of a step."""
    return estimate.training(
        shape,
        sequence_length=case.length,
        global_batch=case.batch,
        accelerator=chip,
        precision=case.precision,
        plan=Plan(
            micro_batch=case.batch,
            recompute="full" if case.recompute else "none",
            flash_attention=case.fused_attention,
        ),
        trainable=case.recipe.trainable,
        dropout=case.dropout > 0,
        implementation=Implementation.of_trainer(shape, case.precision, processor=True),
    )


def training_step(
    folder: Path, case: Case, shape: TransformerShape
) -> tuple[torch.nn.Module, torch.optim.Optimizer, Callable[[], None]]:
    """Return the network, its optimizer and a step, as Trainer does it."""
    network = build(folder, case.recipe, CLASSES, pretrained=False).train()
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    tokens = torch.randint(shape.vocabulary, (case.batch, case.length))
    mask = torch.ones_like(tokens)
    mask[-1, case.length * 9 // 10 :] = 0
    labels = torch.randint(CLASSES, (case.batch,))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=case.precision == "bf16"):
            loss = torch.nn.functional.cross_entropy(network(tokens, mask), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return network, optimizer, step


def tensor_bytes(folder: Path, case: Case, shape: TransformerShape) -> int:
    """Return the most that tensors hold in a second step, when the optimizer has its states."""
    network, optimizer, step = training_step(folder, case, shape)
    step()
    held = held_bytes(iter([*network.parameters(), *network.buffers()]))
    gc.collect()
    return held + held_bytes(states_of(optimizer)) + allocated_peak(step)


def measure(folder: Path, case: Case, shape: TransformerShape, *, busy: bool) -> Measured:
    """Measure a case in this process."""
    clock = time.thread_time if busy else time.perf_counter
    training_step(folder, case, shape)  # what libraries load at first use isn't the step's
    taken = []
    with PeakMemory("cpu") as grown:
        *_, step = training_step(folder, case, shape)
        for _ in range(WARM_UPS + STEPS):
            start = clock()
            step()
            taken.append(clock() - start)
    seconds = statistics.median(taken[WARM_UPS:]) * (BUSY if busy else 1.0)
    return Measured(seconds, tensor_bytes(folder, case, shape), grown.bytes)


def in_a_process(case: Case, *, busy: bool) -> Measured:
    """Measure a case in a fresh process."""
    waiting = {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"} if busy else {}
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    done = subprocess.run(
        command + ["--busy"] * busy,
        env=os.environ | waiting,
        stdout=subprocess.PIPE,
        check=True,
    )
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def record(case: Case, shape: TransformerShape, found: Measured, *, busy: bool, run: str) -> Record:
    """Record a step's seconds, as the estimator's fit reads them."""
    here = machine()
    parameters: dict[str, Any] = {
        name: value for name, value in asdict(shape).items() if value is not None
    }
    return Record(
        lab="cpu_fine_tuning",
        metric="step_seconds",
        value=found.seconds,
        unit="s",
        origin=Origin.MEASURED,
        n=STEPS,
        doubt=f"The main thread's processor seconds times {BUSY:g}." if busy else "",
        device=f"{here.cpu}, {here.cores} cores",
        source="benchmarks/cpu_fine_tuning.py",
        run=run,
        parameters={
            "model": case.model,
            "phase": "training step",
            "precision": case.precision,
            "global_batch": case.batch,
            "optimizer": "fused AdamW",
            "dropout": case.dropout,
            "threads": torch.get_num_threads(),
            **parameters,
            "sequence_length": case.length,
            "predicted_share": 0.0,
            "flash_attention": case.fused_attention,
            "recompute": "full" if case.recompute else "none",
            "trainable": {"full": "all", "head": "head", "lora": f"lora {case.recipe.rank}"}[
                case.method
            ],
        },
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
    )


def line(case: Case, found: Measured, said: TrainingEstimate) -> tuple[float, float]:
    """Write a case beside its prediction; return the relative errors of seconds and bytes."""
    seconds, size = said.step_seconds.value, said.memory_bytes_per_device.value
    errors = seconds / found.seconds - 1, size / found.tensor_bytes - 1
    everywhere = " everywhere" * (case.method == "lora" and case.targets == PROJECTIONS)
    more = f"{' dropout' * (case.dropout > 0)}{' recompute' * case.recompute}{everywhere}"
    sys.stdout.write(
        f"{case.model:10} {case.method:4} {case.precision} {case.batch:3} x {case.length:3}"
        f"{more:11}  {found.seconds:6.3f} s, said {seconds:6.3f} {errors[0]:+5.0%}"
        f"   tensors {found.tensor_bytes / 1e6:5.0f} MB, said {size / 1e6:5.0f} {errors[1]:+5.1%}"
        f"   process {found.grown_bytes / 1e6:5.0f} MB\n"
    )
    sys.stdout.flush()
    return errors


def summary(name: str, errors: Sequence[tuple[float, float]]) -> None:
    """Write the median and the largest of absolute errors."""
    for what, each in zip(("seconds", "bytes of tensors"), zip(*errors, strict=True), strict=True):
        sizes = [abs(one) for one in each]
        sys.stdout.write(
            f"{name}, {what}: median {statistics.median(sizes):.1%}, worst {max(sizes):.1%},"
            f" {len(sizes)} cases\n"
        )


def main() -> None:
    """Measure one case for the process that asked, or all."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("file", nargs="?", type=Path)
    arguments.add_argument("--busy", action="store_true")
    arguments.add_argument("--case", type=json.loads)
    asked = arguments.parse_args()
    errors: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    chip = this_machine()
    run = f"{chip.name}, {datetime.now(UTC):%Y-%m-%d %H:%M}"
    for case in [Case(**asked.case)] if asked.case else cases():
        with tempfile.TemporaryDirectory() as name:
            folder = write_config(Path(name), *SHAPES[case.model], vocabulary=30522)
            shape = read_shape(folder)
            if asked.case:
                found = measure(folder, case, shape, busy=asked.busy)
                sys.stdout.write(json.dumps(asdict(found)) + "\n")
                return
        found = in_a_process(case, busy=asked.busy)
        errors[case.model == HELD_OUT].append(line(case, found, predicted(shape, case, chip)))
        if asked.file and case.model != HELD_OUT:
            append(asked.file, [record(case, shape, found, busy=asked.busy, run=run)])
    summary(f"{HELD_OUT}, which no fit has seen in these cases", errors[True])
    summary("shapes that the fit has seen", errors[False])


if __name__ == "__main__":
    main()
