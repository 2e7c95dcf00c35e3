"""Seconds of one more token on this machine's processor, with a KV cache.

sudo chrt -f 50 python benchmarks/cpu_decoding.py

Writes cpu_decoding.jsonl into enterprise_lab/measure/recorded_runs. Models have random weights;
a figure is the median of three rounds' medians, between the medians of their quartiles, as in
cpu_steps.py.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import torch
import transformers

from enterprise_lab.measure import libraries, records
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.measure.timing import measure
from enterprise_lab.shapes import shape_from_hf_config

FILE = (
    Path(__file__).parents[1]
    / "enterprise_lab" / "measure" / "recorded_runs" / "cpu_decoding.jsonl"
)  # fmt: skip
ROUNDS, CALLS, SECONDS = 3, 20, 1.0
SIZES = ((1, 128, "fp32"), (1, 128, "bf16"), (1, 768, "fp32"), (8, 128, "fp32"))
"""Requests at once, tokens in the cache of each, precision."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def models() -> dict[str, Callable[[], torch.nn.Module]]:
    """List what is measured: GPT-2's shapes, and LLaMA's with keys shared by heads."""

    def gpt(layers: int, hidden: int, heads: int) -> torch.nn.Module:
        config = transformers.GPT2Config(n_layer=layers, n_embd=hidden, n_head=heads)
        return transformers.GPT2LMHeadModel(config)

    def llama(layers: int, hidden: int, heads: int, kv_heads: int) -> torch.nn.Module:
        config = transformers.LlamaConfig(
            num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads,
            num_key_value_heads=kv_heads, intermediate_size=11 * hidden // 4, vocab_size=32000,
        )  # fmt: skip
        return transformers.LlamaForCausalLM(config)

    return {
        "GPT 6x384": lambda: gpt(6, 384, 6),
        "DistilGPT-2": lambda: gpt(6, 768, 12),
        "GPT-2": lambda: gpt(12, 768, 12),
        "LLaMA 8x1024": lambda: llama(8, 1024, 16, 4),
        "LLaMA 16x1280": lambda: llama(16, 1280, 20, 4),
    }


@torch.inference_mode()
def one_more_token(model: torch.nn.Module, batch: int, keys: int) -> Callable[[], Any]:
    """Return the work of a further token of each request, and of forgetting it again."""
    prompt = torch.randint(model.config.vocab_size, (batch, keys))
    cache = model(input_ids=prompt, use_cache=True).past_key_values
    token = prompt[:, :1]

    @torch.inference_mode()
    def work() -> None:
        model(input_ids=token, past_key_values=cache, use_cache=True)
        cache.crop(-1)

    return work


def row(name: str, batch: int, keys: int, precision: str, device: str, run: str) -> Record:
    """Measure one case."""
    torch.manual_seed(0)
    model = models()[name]().eval().to(DTYPES[precision])
    shape = shape_from_hf_config(model.config.to_dict())
    if shape.parameters != sum(one.numel() for one in model.parameters()):
        raise SystemExit(f"The shape of {name} does not count its module's parameters.")
    work = one_more_token(model, batch, keys)
    taken = measure(work, budget_seconds=SECONDS, at_least=CALLS)
    sys.stdout.write(f"{name} {batch} {keys} {precision}: {taken.value:.4g} s\n")
    return Record(
        lab="cpu_decoding",
        metric="token_seconds",
        value=taken.value,
        unit="s",
        origin=Origin.MEASURED,
        low=taken.low,
        high=taken.high,
        n=taken.n,
        device=device,
        source="benchmarks/cpu_decoding.py",
        run=run,
        parameters={
            "model": name,
            "phase": "decoding",
            "precision": precision,
            "global_batch": batch,
            "sequence_length": keys,
            "threads": torch.get_num_threads(),
            **{field: value for field, value in asdict(shape).items() if value is not None},
        },
        versions={
            "python": sys.version.split()[0],
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "instructions": torch.backends.cpu.get_cpu_capability(),
        },
    )


def main() -> None:
    """Measure round after round, and write the median round of each case."""
    device = libraries.processor_name(machine())
    run = f"{device}, {datetime.now(UTC):%Y-%m-%d %H:%M}"
    cases = [(name, *size) for name, size in product(models(), SIZES)]
    rounds = [[row(*case, device, run) for case in cases] for _ in range(ROUNDS)]
    found = []
    for each in zip(*rounds, strict=True):
        ordered = sorted(each, key=lambda one: one.value)
        ends = {
            end: statistics.median(getattr(one, end) for one in each) for end in ("low", "high")
        }
        count = sum(one.n or 1 for one in each)
        found.append(ordered[ROUNDS // 2].model_copy(update={**ends, "n": count}))
    FILE.unlink(missing_ok=True)
    records.append(FILE, found)


main()
