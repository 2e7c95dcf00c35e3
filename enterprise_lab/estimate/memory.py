"""Bytes that training keeps on a device."""

from __future__ import annotations

from dataclasses import dataclass

from enterprise_lab.errors import InvalidValueError, LabError, require_positive, require_whole
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE, Recompute
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.units import format_bytes

LARGEST_BATCH = 100_000_000
COMPUTE_BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2}
"""Bytes of a weight or activation in each precision a model can be trained in."""


@dataclass(frozen=True)
class StateBytes:
    """Bytes a parameter needs while it is trained; sources count them differently.

    The default is mixed precision with Adam: 2 for the weight, 2 for its gradient, 12 for the
    fp32 master weight and Adam's two moments, 16 in all. Source: Rajbhandari et al. 2020 (ZeRO),
    section 3.1. Megatron-LM and DeepSpeed keep gradients in fp32, 18 in all.
    """

    weight: float = 2
    gradient: float = 2
    optimizer: float = 12

    @classmethod
    def of(cls, precision: str) -> StateBytes:
        """Return the usual states: fp32 throughout, or mixed precision for fp16 and bf16."""
        compute_bytes(precision)
        return cls(4, 4, 8) if precision in ("fp32", "tf32") else cls()

    @property
    def total(self) -> float:
        """Bytes a parameter in all."""
        return self.weight + self.gradient + self.optimizer


def compute_bytes(precision: str) -> int:
    """Bytes of one activation; InvalidValueError for a precision not trained in."""
    if precision not in COMPUTE_BYTES:
        raise InvalidValueError(
            f"Training in {precision!r} is not estimated.",
            f"Use one of {', '.join(COMPUTE_BYTES)}.",
        )
    return COMPUTE_BYTES[precision]


def activation_bytes(
    shape: TransformerShape,
    *,
    sequence_length: int,
    micro_batch: int,
    precision: str = "fp16",
    recompute: Recompute = "none",
    predicted_share: float = 1.0,
) -> dict[str, int]:
    """Bytes of activations kept for backward on one device, by part.

    Sums to s b h (34 + 5 a s / h) a layer for an ordinary layer in 16 bits, to s b h 34 with
    selective recomputation (the scores are made again) and to 2 s b h with full recomputation
    (only each layer's input is kept); dropout masks take one byte an element. The output head
    keeps fp32 logits of the predicted positions. Flash attention behaves as "selective".
    Source: Korthikanti et al. 2022, sections 4.1 to 4.3, equations 1, 2 and 6.
    """
    require_whole("sequence_length", sequence_length, LONGEST_SEQUENCE)
    require_whole("micro_batch", micro_batch, LARGEST_BATCH)
    element = compute_bytes(precision)
    tokens = sequence_length * micro_batch
    d, kv, ffn = shape.hidden, shape.kv_hidden, shape.ffn
    scores = (2 * element + 1) * shape.heads * sequence_length
    attention = element * (2 * d + d + 2 * kv) + d
    mlp = element * (d + (4 if shape.gated_mlp else 2) * ffn) + d
    norms = element * 2 * d
    match recompute:
        case "none":
            layer = {"attention": attention, "scores": scores, "mlp": mlp, "norms": norms}
        case "selective":
            layer = {"attention": attention, "mlp": mlp, "norms": norms}
        case "full":
            layer = {"layer inputs": element * d}
        case _:
            raise InvalidValueError(
                f"recompute must be none, selective or full, not {recompute!r}.",
                "Give one of the three.",
            )
    head = predicted_share * (2 * element * d + 4 * shape.vocabulary)
    parts = {name: shape.layers * size for name, size in layer.items()}
    return {name: round(tokens * size) for name, size in (parts | {"head": head}).items()}


def training_memory(
    shape: TransformerShape,
    *,
    sequence_length: int,
    micro_batch: int,
    precision: str = "fp16",
    recompute: Recompute = "none",
    predicted_share: float = 1.0,
    states: StateBytes | None = None,
) -> dict[str, int]:
    """Bytes of weights, gradients, optimizer states and activations on one device.

    Not counted: the framework's own memory, workspaces and fragmentation.
    """
    per_parameter = states or StateBytes.of(precision)
    activations = activation_bytes(
        shape,
        sequence_length=sequence_length,
        micro_batch=micro_batch,
        precision=precision,
        recompute=recompute,
        predicted_share=predicted_share,
    )
    return {
        "weights": round(shape.parameters * per_parameter.weight),
        "gradients": round(shape.parameters * per_parameter.gradient),
        "optimizer states": round(shape.parameters * per_parameter.optimizer),
        "activations": sum(activations.values()),
    }


def largest_micro_batch(
    shape: TransformerShape,
    *,
    memory_bytes: float,
    sequence_length: int,
    at_most: int,
    precision: str = "fp16",
    recompute: Recompute = "none",
    predicted_share: float = 1.0,
) -> int:
    """Return the largest divisor of `at_most` whose step fits in `memory_bytes`.

    `at_most` is a device's share of the global batch; what doesn't fit at once is accumulated.
    Raises LabError when not even one sequence fits.
    """
    require_positive(memory_bytes=memory_bytes)
    require_whole("at_most", at_most, LARGEST_BATCH)
    needed = 0
    for micro_batch in range(at_most, 0, -1):
        if at_most % micro_batch:
            continue
        needed = sum(
            training_memory(
                shape,
                sequence_length=sequence_length,
                micro_batch=micro_batch,
                precision=precision,
                recompute=recompute,
                predicted_share=predicted_share,
            ).values()
        )
        if needed <= memory_bytes:
            return micro_batch
    raise LabError(
        f"One sequence needs {format_bytes(needed)} and the device has"
        f" {format_bytes(memory_bytes)}.",
        "Use a device with more memory, a shorter sequence or recompute='full'.",
    )
