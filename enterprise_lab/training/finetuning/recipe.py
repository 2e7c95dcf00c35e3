"""How a BERT is fine-tuned, said in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enterprise_lab.errors import (
    InvalidValueError,
    keep_whole,
    require_flag,
    require_one_of,
    require_positive,
    require_share,
)
from enterprise_lab.estimate.trainable import PROJECTIONS, LowRank, Projection, Trainable
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.processor import precisions
from enterprise_lab.training.trainer import no_such_device

Method = Literal["full", "head", "lora"]
Precision = Literal["fp32", "bf16", "fp16"]
Padding = Literal["longest", "maximum"]
METHODS: tuple[Method, ...] = ("full", "head", "lora")
PADDINGS: tuple[Padding, ...] = ("longest", "maximum")
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
CUDA_CAPABILITY = {"fp32": (0, 0), "fp16": (7, 0), "bf16": (8, 0)}
"""The first compute capability with tensor cores for a precision."""


@dataclass(frozen=True)
class FineTuning:
    """AdamW on the cross-entropy of a linear head over the mean of the encoder's outputs.

    `method` is what is trained: everything ("full"), the head alone over a frozen encoder
    ("head"), or low-rank adapters and the head ("lora", Hu et al. 2021). The encoder and its
    adapters have `learning_rate`, the head, which begins untrained, `head_learning_rate`; both
    rise over `warmup_share` of the steps and fall linearly to zero. `precision` is that of matrix
    products and activations; weights stay in fp32.

    A step is made of `batch` x `accumulation` texts, each cut off after `sequence_length` tokens.
    They are padded to the longest of their micro-batch, or all to `sequence_length` ("maximum");
    with `bucketing` the texts of a step are of about one length, so that little is padded.
    `recompute` keeps only each layer's input and computes the rest again (gradient checkpointing).

    `class_weights` weighs a text by the inverse frequency of its class, `balanced_sampling` draws
    all classes equally often instead. With a `patience` above zero training stops after so many
    epochs without a better macro-F1 on the validation texts, and the best weights are kept;
    otherwise the last.

    Raises InvalidValueError for what can't be.
    """

    method: Method = "full"
    learning_rate: float = 1e-4
    head_learning_rate: float = 5e-3
    epochs: int = 6
    batch: int = 16
    accumulation: int = 1
    sequence_length: int = 128
    precision: Precision = "fp32"
    dropout: float = 0.0
    """Of the encoder's activations and attention, and before the adapters: 0.1 in pre-training.
    Its random masks cost a step 15 to 25 % on a processor."""
    padding: Padding = "longest"
    bucketing: bool = True
    recompute: bool = False
    class_weights: bool = False
    balanced_sampling: bool = False
    rank: int = 8
    targets: tuple[Projection, ...] = PROJECTIONS
    warmup_share: float = 0.1
    weight_decay: float = 0.01
    patience: int = 0
    seed: int = 0
    deterministic: bool = False
    """Whether a GPU must use algorithms that add in the same order each time, though slower."""

    def __post_init__(self) -> None:
        require_one_of("method", self.method, METHODS)
        require_one_of("precision", self.precision, PRECISIONS)
        require_one_of("padding", self.padding, PADDINGS)
        require_positive(
            learning_rate=self.learning_rate, head_learning_rate=self.head_learning_rate
        )
        require_share(
            dropout=self.dropout, warmup_share=self.warmup_share, weight_decay=self.weight_decay
        )
        for name in ("epochs", "batch", "accumulation", "sequence_length"):
            keep_whole(self, name, 1_000_000)
        keep_whole(self, "patience", 1_000_000, smallest=0)
        keep_whole(self, "seed", 2**32 - 1, smallest=0)
        flags = "bucketing", "recompute", "class_weights", "balanced_sampling", "deterministic"
        require_flag(**{name: getattr(self, name) for name in flags})
        object.__setattr__(self, "targets", LowRank(self.rank, self.targets).targets)
        keep_whole(self, "rank", 1_000_000)
        if self.dropout == 1:
            raise InvalidValueError("A dropout of 1 leaves nothing.", "Give one such as 0.1.")
        if self.class_weights and self.balanced_sampling:
            raise InvalidValueError(
                "class_weights and balanced_sampling would make up for rare classes twice.",
                "Use one of the two.",
            )

    @property
    def padded_at_least(self) -> int:
        """Tokens that every text is padded to, whatever the others' lengths."""
        return self.sequence_length if self.padding == "maximum" else 1

    @property
    def trainable(self) -> Trainable:
        """What is trained, as the estimator takes it."""
        if self.method == "lora":
            return LowRank(self.rank, self.targets, base_bits=32)
        return "all" if self.method == "full" else "head"


def usual(
    method: Method = "full", *, precision: Precision = "fp32", sequence_length: int = 128
) -> FineTuning:
    """Return a recipe that does well with few texts, for each method.

    Adapters begin at zero and want ten times the rate of the weights they stand for, and stand
    beside all products, the MLP's before others (Schulman and others 2025, LoRA Without Regret); a
    head alone is so cheap that it can have many epochs.
    """
    require_one_of("method", method, METHODS)
    learning_rate = 1e-3 if method == "lora" else FineTuning.learning_rate
    epochs = 30 if method == "head" else FineTuning.epochs
    return FineTuning(
        method,
        learning_rate=learning_rate,
        epochs=epochs,
        precision=precision,
        sequence_length=sequence_length,
    )


def best_precision(kind: str = "cpu") -> Precision:
    """Return the quickest precision that trains well on this machine's processor or GPU.

    That is bf16 where there are instructions for it, else fp16 on a GPU with tensor cores, whose
    gradients are then scaled (Micikevicius et al. 2018), else fp32. Raises LabError for "cuda"
    where PyTorch finds no such GPU.
    """
    require_one_of("kind", kind, ("cpu", "cuda"))
    if kind == "cpu":
        return "bf16" if "bf16" in precisions(machine().instructions) else "fp32"
    require_cuda()
    import torch

    has = torch.cuda.get_device_capability()
    faster: tuple[Precision, ...] = ("bf16", "fp16")
    for precision in faster:
        if has >= CUDA_CAPABILITY[precision]:
            return precision
    return "fp32"


def require_cuda() -> None:
    """Raise LabError where PyTorch finds no CUDA GPU."""
    import torch

    if not torch.cuda.is_available():
        raise no_such_device("PyTorch", "CUDA", "torch.cuda.is_available() is False.")
