"""Seconds of real training steps and forward passes on this machine's processor.

sudo chrt -f 50 python benchmarks/cpu_steps.py

Writes cpu_rates.jsonl and cpu_steps.jsonl into enterprise_lab/measure/recorded_runs. Everything is
measured in three rounds, because a shared host slows for minutes at a time; a figure is the median
of the rounds' medians of calls after a warm-up, between the medians of their quartiles.
Real-time priority keeps other processes from disturbing it; an idle machine needs none.

Models have random weights and their architecture's usual dropout in training, unless a row says
0. Parameters of a record: the fields of its TransformerShape, or the name of its network and the
image size; batch, sequence length, phase, precision, and what runs beside the layers.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch
import transformers

from enterprise_lab.measure import libraries, rates, records
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.measure.timing import measure
from enterprise_lab.shapes import shape_from_hf_config
from enterprise_lab.shapes.networks import network

FOLDER = Path(__file__).parents[1] / "enterprise_lab" / "measure" / "recorded_runs"
SOURCE = "benchmarks/cpu_steps.py"
TRAINING, FORWARD = "training step", "forward"
ROUNDS, CALLS = 3, 3
STEP_SECONDS, RATE_SECONDS = 1.0, 8.0
CLASSES, IMAGE_CLASSES = 2, 1000

Parameters = dict[str, str | bool | int | float]


@dataclass(frozen=True)
class Case:
    """One row: a model, what it is given, and what is done."""

    model: str
    batch: int
    size: int
    phase: str
    precision: str
    dropout: float = 0.1


ENCODERS = {  # layers, hidden, heads: Turc et al. 2019, Wang et al. 2020, Devlin et al. 2019
    "BERT mini": (4, 256, 4),
    "MiniLM": (6, 384, 12),
    "BERT medium": (8, 512, 8),
    "BERT base": (12, 768, 12),
}
DECODERS = {"GPT 6x384": (6, 384, 6), "DistilGPT-2": (6, 768, 12)}
RESNETS = {
    "resnet18": {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2],
                 "layer_type": "basic"},
    "resnet50": {"hidden_sizes": [256, 512, 1024, 2048], "depths": [3, 4, 6, 3],
                 "layer_type": "bottleneck"},
}  # fmt: skip


def cases() -> Iterator[Case]:
    """List the rows: all in fp32, the first size of each model in bf16 too."""
    sizes = {
        "BERT mini": ((16, 128), (32, 32), (4, 512)),
        "MiniLM": ((8, 128), (1, 128), (2, 512)),
        "BERT medium": ((8, 128), (16, 32)),
        "BERT base": ((2, 128), (1, 32)),
        "GPT 6x384": ((4, 128), (1, 512)),
        "DistilGPT-2": ((2, 128), (1, 512)),
        "resnet18": ((32, 64), (4, 224)),
        "resnet50": ((2, 224), (16, 64)),
    }
    for model, given in sizes.items():
        for (batch, size), phase in product(given, (TRAINING, FORWARD)):
            dropout = 0.1 if phase == TRAINING and model not in RESNETS else 0.0
            yield Case(model, batch, size, phase, "fp32", dropout)
            if (batch, size) == given[0]:
                yield Case(model, batch, size, phase, "bf16", dropout)
                if dropout:
                    yield Case(model, batch, size, phase, "fp32", 0.0)


def build(case: Case) -> tuple[torch.nn.Module, dict[str, torch.Tensor], Parameters]:
    """Return the model, its inputs with labels, and the parameters that say what it is."""
    torch.manual_seed(0)
    if case.model in ENCODERS:
        return _encoder(case)
    if case.model in DECODERS:
        return _decoder(case)
    return _resnet(case)


def _encoder(case: Case) -> tuple[torch.nn.Module, dict[str, torch.Tensor], Parameters]:
    layers, hidden, heads = ENCODERS[case.model]
    config = transformers.BertConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        hidden_dropout_prob=case.dropout,
        attention_probs_dropout_prob=case.dropout,
        num_labels=CLASSES,
    )
    model = transformers.BertForSequenceClassification(config)
    inputs = {
        "input_ids": torch.randint(config.vocab_size, (case.batch, case.size)),
        "labels": torch.randint(CLASSES, (case.batch,)),
    }
    return model, inputs, _transformer_parameters(model.bert, case, predicted_share=0.0)


def _decoder(case: Case) -> tuple[torch.nn.Module, dict[str, torch.Tensor], Parameters]:
    layers, hidden, heads = DECODERS[case.model]
    config = transformers.GPT2Config(
        n_layer=layers,
        n_embd=hidden,
        n_head=heads,
        embd_pdrop=case.dropout,
        resid_pdrop=case.dropout,
        attn_pdrop=case.dropout,
        use_cache=False,
    )
    model = transformers.GPT2LMHeadModel(config)
    tokens = torch.randint(config.vocab_size, (case.batch, case.size))
    inputs = {"input_ids": tokens, "labels": tokens}
    return model, inputs, _transformer_parameters(model, case, predicted_share=1.0)


def _transformer_parameters(
    counted: torch.nn.Module, case: Case, predicted_share: float
) -> Parameters:
    shape = shape_from_hf_config(counted.config.to_dict())
    _require_same(shape.parameters, counted)
    fused = case.phase == FORWARD or case.dropout == 0  # PyTorch fuses none with dropout on a CPU
    return {
        **{name: value for name, value in asdict(shape).items() if value is not None},
        "sequence_length": case.size,
        "predicted_share": predicted_share,
        "flash_attention": fused,
    }


def _resnet(case: Case) -> tuple[torch.nn.Module, dict[str, torch.Tensor], Parameters]:
    config = transformers.ResNetConfig(
        embedding_size=64, num_labels=IMAGE_CLASSES, **RESNETS[case.model]
    )
    model = transformers.ResNetForImageClassification(config)
    _require_same(network(case.model).parameters, model)
    inputs = {
        "pixel_values": torch.randn(case.batch, 3, case.size, case.size),
        "labels": torch.randint(IMAGE_CLASSES, (case.batch,)),
    }
    return model, inputs, {"image_size": case.size}


def _require_same(expected: int, module: torch.nn.Module) -> None:
    counted = sum(one.numel() for one in module.parameters())
    if counted != expected:
        raise SystemExit(f"The shape has {expected} parameters and the module {counted}.")


def step(
    model: torch.nn.Module, inputs: dict[str, torch.Tensor], precision: str
) -> Callable[[], Any]:
    """Return a training step: forward, backward, AdamW; bf16 is autocast over fp32 weights."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def work() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()

    return work


def forward(
    model: torch.nn.Module, inputs: dict[str, torch.Tensor], precision: str
) -> Callable[[], Any]:
    """Return a forward pass without labels; in bf16 the weights are bf16 too."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model.eval().to(dtype)
    given = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in inputs.items()
        if name != "labels"
    }

    @torch.inference_mode()
    def work() -> None:
        model(**given)

    return work


def row(case: Case, device: str, run: str) -> Record:
    """Measure one case."""
    model, inputs, parameters = build(case)
    make = step if case.phase == TRAINING else forward
    taken = measure(
        make(model, inputs, case.precision), budget_seconds=STEP_SECONDS, at_least=CALLS
    )
    return Record(
        lab="cpu_steps",
        metric="step_seconds" if case.phase == TRAINING else "forward_seconds",
        value=taken.value,
        unit="s",
        origin=Origin.MEASURED,
        low=taken.low,
        high=taken.high,
        n=taken.n,
        device=device,
        source=SOURCE,
        run=run,
        parameters={
            "model": case.model,
            "phase": case.phase,
            "precision": case.precision,
            "global_batch": case.batch,
            "optimizer": "AdamW" if case.phase == TRAINING else "none",
            "dropout": case.dropout,
            "threads": torch.get_num_threads(),
            **parameters,
        },
        versions={
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "instructions": torch.backends.cpu.get_cpu_capability(),
        },
    )


def median_round(rounds: Sequence[Record]) -> Record:
    """Return the record of the median round, between the medians of all rounds' quartiles."""
    rounds = sorted(rounds, key=lambda one: one.value)
    lows, highs = ([getattr(one, name) for one in rounds] for name in ("low", "high"))
    return rounds[len(rounds) // 2].model_copy(
        update={
            "low": statistics.median(lows),
            "high": statistics.median(highs),
            "n": sum(one.n or 1 for one in rounds),
        }
    )


def write(name: str, rounds: Sequence[Sequence[Record]]) -> None:
    """Write a file of recorded runs anew: what every round has measured."""
    groups: dict[object, list[Record]] = {}
    for one in (one for each in rounds for one in each):
        groups.setdefault((one.metric, *sorted(one.parameters.items())), []).append(one)
    path = FOLDER / f"{name}.jsonl"
    path.unlink(missing_ok=True)
    records.append(path, [median_round(g) for g in groups.values() if len(g) == len(rounds)])


def shown(one: Record) -> Record:
    """Write a line about a record, and return it."""
    wanted = ("library", "model", "phase", "precision", "global_batch", "sequence_length",
              "image_size", "dropout", "rows", "size_bytes")  # fmt: skip
    words = " ".join(str(one.parameters[key]) for key in wanted if key in one.parameters)
    sys.stdout.write(f"{one.metric} {words}: {one.value:.4g} {one.low:.4g}-{one.high:.4g}\n")
    sys.stdout.flush()
    return one


def main() -> None:
    """Measure the rates and the steps of this machine, round after round."""
    FOLDER.mkdir(exist_ok=True)
    device = libraries.processor_name(machine())
    run = f"{device}, {datetime.now(UTC):%Y-%m-%d %H:%M}"
    todo = rates.tasks(libraries.libraries())
    measured_rates, measured_steps = [], []
    for _ in range(ROUNDS):
        found = [one for part in rates.run(todo, RATE_SECONDS) for one in part]
        measured_rates.append([shown(one.model_copy(update={"run": run})) for one in found])
        measured_steps.append([shown(row(case, device, run)) for case in cases()])
    write("cpu_rates", measured_rates)
    write("cpu_steps", measured_steps)


main()
