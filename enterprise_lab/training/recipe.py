"""How a network is trained, said once for every framework."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.errors import (
    InvalidValueError,
    keep_whole,
    require_one_of,
    require_positive,
    require_share,
)

Precision = Literal["fp32", "tf32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Recipe:
    """Stochastic gradient descent with momentum on the cross-entropy, in batches of images.

    Weights are always kept in fp32. `precision` is that of convolutions and matrix products: fp32;
    tf32, which rounds their inputs to 10 bits of mantissa, as GPUs since Ampere can; or bf16, to
    7, in which activations are kept too.

    `seed` draws the first weights and the order of the images, the same for every framework.

    Raises InvalidValueError for what can't be.
    """

    batch: int = 64
    learning_rate: float = 0.07
    momentum: float = 0.9
    precision: Precision = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        keep_whole(self, "batch", 10_000_000)
        require_positive(learning_rate=self.learning_rate)
        require_share(momentum=self.momentum)
        if self.momentum == 1:
            raise InvalidValueError(
                "A momentum of 1 never slows down.", "Give one below 1, such as 0.9."
            )
        require_one_of("precision", self.precision, PRECISIONS)
        keep_whole(self, "seed", 2**63 - 1, smallest=0)

    def batches(self, samples: int, epoch: int) -> Iterator[NDArray[np.int64]]:
        """Yield which of the samples are in each batch of an epoch, shuffled.

        What is left over, too few for a batch, is dropped, as a batch of another size would be
        compiled anew. Raises InvalidValueError where the samples don't fill a single batch.
        """
        if samples < self.batch:
            raise InvalidValueError(
                f"A batch of {self.batch:,} can't be filled with {samples:,} images.",
                f"Give a batch of at most {samples:,}.",
            )
        order = np.random.default_rng((self.seed, epoch)).permutation(samples)
        for start in range(0, samples - self.batch + 1, self.batch):
            yield order[start : start + self.batch]
