"""Bytes of weights, gradients and optimizer states, and how ZeRO shares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from enterprise_lab.catalog import Accelerator
from enterprise_lab.errors import (
    InvalidValueError,
    require_kind,
    require_not_negative,
    require_one_of,
)
from enterprise_lab.estimate.dimensions import Integers, PlanDimensions

Numbers = float | npt.NDArray[np.floating[Any]]
Optimizer = Literal["adam", "adam8bit", "adafactor", "sgd", "momentum"]
COMPUTE_BYTES = {"fp32": 4, "tf32": 4, "fp16": 2, "bf16": 2}
"""Bytes of a weight or activation in each precision a model can be trained in."""
MASTERS = {"fp32": 4, "bf16": 2}
"""Bytes of the copy of a weight that the optimizer updates."""
_BLOCK = 256
_MOMENTS: dict[str, tuple[float, float]] = {
    "adam": (2, 0),
    "adam8bit": (0, 2 * (1 + 4 / _BLOCK)),
    "adafactor": (0, 0),
    "sgd": (0, 0),
    "momentum": (1, 0),
}


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

    def __post_init__(self) -> None:
        require_not_negative(**vars(self))

    @classmethod
    def of(
        cls,
        precision: str,
        optimizer: Optimizer = "adam",
        *,
        masters: Literal["fp32", "bf16"] = "fp32",
        gradient_bits: Literal[16, 32] | None = None,
    ) -> StateBytes:
        """Return the states of a precision and an optimizer.

        fp32 and tf32 keep one copy of the weights; fp16 and bf16 are mixed precision with fp32
        masters, or with `masters="bf16"` 16 bits throughout, the moments too. `gradient_bits` is
        the weights' precision unless given. `adam8bit` keeps two moments of one byte with one
        fp32 scale a block of 256 (Dettmers et al. 2022); `adafactor` a row and a column for each
        matrix, under 0.02 bytes a parameter and left out (Shazeer and Stern 2018); `momentum` is
        SGD with it.
        """
        weight = compute_bytes(precision)
        for name, value, known in (
            ("optimizer", optimizer, _MOMENTS),
            ("masters", masters, MASTERS),
            ("gradient_bits", gradient_bits, (None, 16, 32)),
        ):
            require_one_of(name, value, known)
        master = 4 if weight == 4 else MASTERS[masters]
        moments, fixed = _MOMENTS[optimizer]
        return cls(
            weight=weight,
            gradient=weight if gradient_bits is None else gradient_bits / 8,
            optimizer=moments * master + fixed + (master if master > weight else 0),
        )

    @property
    def total(self) -> float:
        """Bytes a parameter in all."""
        return self.weight + self.gradient + self.optimizer


def chosen_states(precision: str, optimizer: Optimizer, given: StateBytes | None) -> StateBytes:
    """Return the bytes that are given, or those a precision and an optimizer imply."""
    require_kind("states", given, StateBytes | None, "StateBytes(weight=2)")
    implied = StateBytes.of(precision, optimizer)
    return implied if given is None else given


def training_precision(chip: Accelerator, precision: object) -> str:
    """Return a precision's name in small letters.

    Raises InvalidValueError for one that the chip lacks or that nobody trains in, with those it
    can be trained in, and for chips that train nothing.
    """
    possible = [name for name in chip.peak_tflops if name != "int8"]
    if chip.name.startswith("Inferentia"):
        raise InvalidValueError(
            f"{chip.name} runs models and can't train them.", "Choose a Trainium or a GPU."
        )
    if not isinstance(precision, str) or precision.casefold() not in possible:
        raise InvalidValueError(
            f"Training in {precision!r} on the {chip.name} is not estimated.",
            f"Choose one of: {', '.join(possible)}.",
        )
    return precision.casefold()


def compute_bytes(precision: str) -> int:
    """Bytes of one activation; InvalidValueError for a precision not trained in."""
    if not isinstance(precision, str) or precision not in COMPUTE_BYTES:
        raise InvalidValueError(
            f"Training in {precision!r} is not estimated.",
            f"Use one of {', '.join(COMPUTE_BYTES)}.",
        )
    return COMPUTE_BYTES[precision]


def state_bytes(
    parameters: Numbers, states: StateBytes, plan: PlanDimensions
) -> tuple[Numbers, Numbers, Numbers]:
    """Bytes of weights, gradients and optimizer states on a device that keeps `parameters`.

    `parameters` is the device's part after tensor and pipeline parallelism. ZeRO shares optimizer
    states from stage 1, gradients from stage 2, weights at stage 3 between the devices that
    hold the same part, which are the data- and context-parallel ones. Offloaded states take no
    device memory; with stage 2 and 3 gradients leave for the host as they are made.
    Source: Rajbhandari et al. 2020, section 5 and figure 1; Ren et al. 2021 (ZeRO-Offload).
    """
    replicas = plan.data * plan.context
    offload, zero = np.asarray(plan.offload), np.asarray(plan.zero)
    return (
        parameters * states.weight * (offload < 2) / _shared(zero >= 3, replicas),
        parameters * states.gradient * ((offload == 0) | (zero < 2)) / _shared(zero >= 2, replicas),
        parameters * states.optimizer * (offload == 0) / _shared(zero >= 1, replicas),
    )


def _shared(where: npt.NDArray[np.bool_], replicas: Integers) -> Any:
    return 1 + where * (replicas - 1)
