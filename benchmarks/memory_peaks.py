"""Peaks of the CPU allocator in real training steps and answers of small models.

python benchmarks/memory_peaks.py FILE.jsonl   # appends one record a case; minutes on two cores

A peak is what weights and optimizer states hold before the step and the most that the allocator
gave beyond that during it, as PyTorch's profiler reports each allocation. It doesn't count what
libraries allocate on their own, and it is the same on every machine of one PyTorch.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.profiler import ProfilerActivity, profile

from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.records import Origin, Record, append

TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 6,
             "intermediate_size": 1536, "vocab_size": 8000, "max_position_embeddings": 1024,
             "type_vocab_size": 2},
    "bert wide": {"model_type": "bert", "num_hidden_layers": 3, "hidden_size": 768,
                  "num_attention_heads": 12, "intermediate_size": 3072, "vocab_size": 30522,
                  "max_position_embeddings": 512, "type_vocab_size": 2},
    "gpt2": {"n_layer": 6, "n_embd": 384, "n_head": 6, "vocab_size": 8000, "n_positions": 1024},
    "gpt2 deep": {"model_type": "gpt2", "n_layer": 16, "n_embd": 256, "n_head": 8,
                  "vocab_size": 2000, "n_positions": 1024},
    "llama": {"num_hidden_layers": 6, "hidden_size": 512, "num_attention_heads": 8,
              "num_key_value_heads": 2, "intermediate_size": 1408, "vocab_size": 8000,
              "max_position_embeddings": 2048, "tie_word_embeddings": False},
    "mixtral": {"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 8,
                "num_key_value_heads": 4, "intermediate_size": 512, "vocab_size": 4000,
                "num_local_experts": 8, "num_experts_per_tok": 2,
                "max_position_embeddings": 2048, "tie_word_embeddings": False},
    "t5": {"num_layers": 4, "num_decoder_layers": 4, "d_model": 256, "d_kv": 64, "num_heads": 4,
           "d_ff": 1024, "vocab_size": 4000, "decoder_start_token_id": 0},
    "roberta": {"num_hidden_layers": 5, "hidden_size": 320, "num_attention_heads": 5,
                "intermediate_size": 1280, "vocab_size": 6000, "max_position_embeddings": 514,
                "type_vocab_size": 1},
    "distilbert": {"n_layers": 3, "dim": 512, "n_heads": 8, "hidden_dim": 2048,
                   "vocab_size": 9000, "max_position_embeddings": 512},
    "gptj": {"n_layer": 5, "n_embd": 384, "n_head": 6, "vocab_size": 7000, "n_positions": 1024,
             "rotary_dim": 32},
    "gpt_neox": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 6,
                 "intermediate_size": 1536, "vocab_size": 7000,
                 "max_position_embeddings": 1024},
    "opt": {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 6,
            "ffn_dim": 1536, "vocab_size": 7000, "max_position_embeddings": 1024,
            "word_embed_proj_dim": 384},
    "bloom": {"n_layer": 5, "hidden_size": 384, "n_head": 6, "vocab_size": 9000},
    "mistral": {"num_hidden_layers": 5, "hidden_size": 384, "num_attention_heads": 6,
                "num_key_value_heads": 2, "intermediate_size": 1344, "vocab_size": 7000,
                "max_position_embeddings": 2048, "tie_word_embeddings": False},
    "qwen2": {"num_hidden_layers": 7, "hidden_size": 320, "num_attention_heads": 10,
              "num_key_value_heads": 2, "intermediate_size": 1728, "vocab_size": 12000,
              "max_position_embeddings": 2048, "tie_word_embeddings": True},
    "resnet": {"depths": [3, 4, 6, 3], "layer_type": "bottleneck", "num_labels": 1000},
    "resnet basic": {"model_type": "resnet", "depths": [2, 2, 2, 2], "layer_type": "basic",
                     "hidden_sizes": [64, 128, 256, 512], "num_labels": 1000},
}  # fmt: skip
HEADS = {"bert": "BertForMaskedLM", "roberta": "RobertaForMaskedLM",
         "distilbert": "DistilBertForMaskedLM", "t5": "T5ForConditionalGeneration",
         "resnet": "ResNetForImageClassification"}  # fmt: skip
"""Classes with a head; the others are decoders."""
ENCODERS = ("bert", "roberta", "distilbert", "resnet")


@dataclass(frozen=True)
class Case:
    """One step, or one answer of `output` tokens, of a model; `length` of an image is its side."""

    model: str
    batch: int
    length: int
    precision: str = "fp32"
    attention: str = "eager"
    recompute: str = "none"
    dropout: float = 0.0
    optimizer: str = "adam"
    trainable: str = "all"
    work: str = "training"
    output: int = 0

    @property
    def config(self) -> dict[str, Any]:
        """What the model is built from, with its type."""
        return {"model_type": self.model} | CONFIGS[self.model]


def cases() -> Iterator[Case]:
    """Every case; the same for each family, so that none is chosen for its result."""
    for name in ("bert", "bert wide", "gpt2", "gpt2 deep", "llama", "mixtral", "t5"):
        base = Case(name, 4, 256)
        yield base
        yield replace(base, batch=16, length=128)
        yield replace(base, batch=1, length=512)
        yield replace(base, batch=8, length=32)
        yield replace(base, precision="bf16")
        if not name.startswith("t5"):
            yield replace(base, attention="sdpa")
            yield replace(base, attention="sdpa", length=512, precision="bf16")
        yield replace(base, recompute="full", batch=8)
        yield replace(base, recompute="full", precision="bf16", length=512)
        yield replace(base, optimizer="sgd")
        yield replace(base, optimizer="momentum", batch=2)
        yield replace(base, trainable="head")
        if name in ("bert", "bert wide", "gpt2", "gpt2 deep", "t5"):
            yield replace(base, dropout=0.1)
            yield replace(base, dropout=0.1, batch=16, length=64)
        if name in ("bert", "bert wide", "llama"):
            yield replace(base, trainable="lora 8")
            yield replace(base, trainable="lora 8", precision="bf16", batch=8)
        if name != "t5":
            yield replace(base, work="inference", attention="sdpa")
            yield replace(base, work="inference", batch=1, precision="bf16", attention="sdpa")
        if name not in ("bert", "bert wide", "t5"):
            yield replace(base, work="inference", length=64, output=64, attention="sdpa")
            yield replace(base, work="inference", batch=32, output=8, attention="sdpa")
    for name in ("roberta", "distilbert", "gptj", "gpt_neox", "opt", "bloom", "mistral", "qwen2"):
        base = Case(name, 4, 256)
        yield base
        fused = "eager" if name in ("gptj", "bloom") else "sdpa"
        yield replace(base, batch=2, length=384, precision="bf16", attention=fused)
        yield replace(base, batch=8, length=192, recompute="full")
        yield replace(base, batch=2, length=128, dropout=0.1, optimizer="momentum")
        yield replace(base, trainable="head")
        if fused == "sdpa":
            yield replace(base, work="inference", attention=fused)
    for name in ("resnet", "resnet basic"):
        for batch, length in ((2, 224), (8, 224), (16, 96)):
            yield Case(name, batch, length)
            yield Case(name, batch, length, work="inference")
        yield Case(name, 8, 160, optimizer="momentum")
        yield Case(name, 8, 160, precision="bf16")
        yield Case(name, 8, 160, trainable="head")


class LowRank(torch.nn.Module):
    """A frozen projection with a trained low-rank one beside it (Hu et al. 2021)."""

    def __init__(self, base: torch.nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base
        kind = base.weight.dtype
        self.down = torch.nn.Linear(base.in_features, rank, bias=False, dtype=kind)
        self.up = torch.nn.Linear(rank, base.out_features, bias=False, dtype=kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Sum of the two."""
        return torch.add(self.base(x), self.up(self.down(x)))


def build(case: Case) -> Any:
    """Make the model of a case, randomly initialised, with what isn't trained frozen."""
    given = dict(case.config)
    kind = given.pop("model_type")
    silent = {"hidden_dropout_prob": case.dropout, "attention_probs_dropout_prob": case.dropout,
              "resid_pdrop": case.dropout, "embd_pdrop": case.dropout,
              "attn_pdrop": case.dropout, "attention_dropout": case.dropout,
              "dropout_rate": case.dropout, "dropout": case.dropout,
              "hidden_dropout": case.dropout, "activation_dropout": 0.0}  # fmt: skip
    if kind == "resnet":
        config = transformers.AutoConfig.for_model(kind, **given)
    else:
        config = transformers.AutoConfig.for_model(
            kind, attn_implementation=case.attention, **given, **silent
        )
    torch.manual_seed(0)
    decoders: Any = transformers.AutoModelForCausalLM
    make = getattr(transformers, HEADS[kind]) if kind in HEADS else decoders.from_config
    model = make(config).to(TYPES[case.precision])
    if case.trainable != "all":
        model.requires_grad_(requires_grad=False)
    if case.trainable == "head":
        head = model.classifier[-1] if kind == "resnet" else model.get_output_embeddings()
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        head.requires_grad_()
    if case.trainable.startswith("lora"):
        rank = int(case.trainable.split()[1])
        for module in list(model.modules()):
            for name in ("q_proj", "v_proj", "query", "value"):
                if isinstance(getattr(module, name, None), torch.nn.Linear):
                    setattr(module, name, LowRank(getattr(module, name), rank))
    if case.recompute == "full":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train(case.work == "training")


def inputs(case: Case, model: Any) -> dict[str, torch.Tensor]:
    """Random input, with labels for training."""
    if case.config["model_type"] == "resnet":
        images = torch.randn(case.batch, 3, case.length, case.length)
        given = {"pixel_values": images.to(TYPES[case.precision])}
        labels = torch.zeros(case.batch, dtype=torch.long)
        return given | ({"labels": labels} if case.work == "training" else {})
    tokens = torch.randint(10, model.config.vocab_size, (case.batch, case.length))
    return {"input_ids": tokens} | ({"labels": tokens} if case.work == "training" else {})


def training_step(case: Case, model: Any) -> tuple[Callable[[], None], Any]:
    """One step as people write it, and its optimizer."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer: torch.optim.Optimizer
    if case.optimizer == "adam":
        optimizer = torch.optim.AdamW(trained, lr=1e-4)
    else:
        momentum = 0.9 if case.optimizer == "momentum" else 0.0
        optimizer = torch.optim.SGD(trained, lr=1e-4, momentum=momentum)
    batch = inputs(case, model)

    def step() -> None:
        keep = {} if case.config["model_type"] in ENCODERS else {"use_cache": False}
        loss = model(**batch, **keep).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step, optimizer


def answer(case: Case, model: Any) -> Callable[[], None]:
    """One forward pass over the input, then a token at a time with a cache."""
    batch = inputs(case, model)

    @torch.inference_mode()
    def run() -> None:
        if case.config["model_type"] in ENCODERS:
            model(**batch)
            return
        result = model(**batch, use_cache=True, logits_to_keep=1)
        for _ in range(case.output):
            token, cache = result.logits[:, -1:].argmax(-1), result.past_key_values
            result = model(input_ids=token, past_key_values=cache, logits_to_keep=1)

    return run


def held_bytes(tensors: Iterator[torch.Tensor]) -> int:
    """Bytes of the tensors, each storage once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def states_of(optimizer: torch.optim.Optimizer) -> Iterator[torch.Tensor]:
    """All tensors an optimizer keeps."""
    for state in optimizer.state.values():
        yield from (v for v in state.values() if isinstance(v, torch.Tensor))


def allocated_peak(work: Callable[[], None]) -> int:
    """Most bytes the CPU allocator holds during `work`, beyond those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def peak_bytes(case: Case) -> int:
    """Peak of a second step, when the optimizer has its states, or of an answer."""
    model = build(case)
    held = held_bytes(iter([*model.parameters(), *model.buffers()]))
    if case.work == "training":
        work, optimizer = training_step(case, model)
        work()
        held += held_bytes(states_of(optimizer))
    else:
        work = answer(case, model)
    gc.collect()
    return held + allocated_peak(work)


def record(case: Case, run: str) -> Record:
    """Measure a case."""
    here = machine()
    parameters = {k: v for k, v in asdict(case).items() if k != "model"}
    return Record(
        lab="memory peaks",
        metric="peak memory",
        value=peak_bytes(case),
        unit="B",
        origin=Origin.MEASURED,
        n=1,
        device=f"{here.cpu}, {here.cores} cores",
        source="benchmarks/memory_peaks.py",
        run=run,
        parameters={"model": case.model, "config": json.dumps(case.config), **parameters},
        versions={"torch": torch.__version__, "transformers": transformers.__version__},
    )


if __name__ == "__main__":
    wanted = sys.argv[2:]
    for one in cases():
        if not wanted or one.model in wanted:
            measured = record(one, "memory peaks, all cases")
            append(Path(sys.argv[1]), [measured])
            sys.stdout.write(f"{measured.value / 2**20:9.1f} MiB  {one}\n")
