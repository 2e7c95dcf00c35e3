"""Training to a target accuracy, and what it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from enterprise_lab.data import Images
from enterprise_lab.errors import require_share, require_whole
from enterprise_lab.measure.other_processes import OtherProcesses
from enterprise_lab.measure.timing import OTHERS_MAY_USE
from enterprise_lab.training.trainer import Trainer


@dataclass(frozen=True)
class Epoch:
    """How training stood after all images were seen once more.

    `seconds` are those of training since its start; `accuracy` is that on the test images, `loss`
    the mean over the epoch's batches.
    """

    number: int
    seconds: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Run:
    """A training, epoch by epoch, until its target accuracy or the last epoch allowed.

    Seconds are those of putting batches on the device and of the steps, the first one included,
    with the compiling in it; measuring the accuracy is not counted.
    """

    framework: str
    device: str
    target_accuracy: float
    curve: tuple[Epoch, ...]
    first_step_seconds: float
    steps: int
    batch: int
    doubt: str = ""
    """Why the seconds can't be relied on; empty where they can."""

    @property
    def reached(self) -> bool:
        """Whether the last epoch reached the target."""
        return self.curve[-1].accuracy >= self.target_accuracy

    @property
    def seconds(self) -> float:
        """Seconds of all the training."""
        return self.curve[-1].seconds

    @property
    def seconds_to_target(self) -> float | None:
        """Seconds until the end of the epoch that reached the target; None where none did."""
        return self.seconds if self.reached else None

    @property
    def samples_per_second(self) -> float | None:
        """Images trained on per second in all steps but the first; None where it was the only."""
        if self.steps == 1:
            return None
        return (self.steps - 1) * self.batch / (self.seconds - self.first_step_seconds)


def train(
    trainer: Trainer,
    images: Images,
    *,
    target_accuracy: float,
    max_epochs: int,
    progress: Callable[[Epoch], object] | None = None,
) -> Run:
    """Train until the test accuracy reaches the target, or for `max_epochs`.

    The accuracy is looked at after each epoch, when `progress` is told of it. The recipe's seed
    makes the same run again, to the last bits of its sums.

    Raises LabError for a target that is no share, and for a batch larger than the images.
    """
    require_share(target_accuracy=target_accuracy)
    max_epochs = require_whole("max_epochs", max_epochs, 1_000_000)
    others = OtherProcesses()
    began = time.perf_counter()
    curve: list[Epoch] = []
    seconds = first_step_seconds = 0.0
    steps = 0
    for number in range(1, max_epochs + 1):
        losses: list[Any] = []
        start = time.perf_counter()
        for chosen in trainer.recipe.batches(len(images.train_images), number):
            batch = trainer.put(images.train_images[chosen], images.train_labels[chosen])
            losses.append(trainer.step(batch))
            if steps + len(losses) == 1:
                trainer.finish()
                first_step_seconds = time.perf_counter() - start
        trainer.finish()
        seconds += time.perf_counter() - start
        steps += len(losses)
        accuracy = trainer.accuracy(images.test_images, images.test_labels)
        curve.append(Epoch(number, seconds, accuracy, sum(map(float, losses)) / len(losses)))
        if progress is not None:
            progress(curve[-1])
        if accuracy >= target_accuracy:
            break
    return Run(
        framework=trainer.framework,
        device=trainer.device,
        target_accuracy=target_accuracy,
        curve=tuple(curve),
        first_step_seconds=first_step_seconds,
        steps=steps,
        batch=trainer.recipe.batch,
        doubt=too_busy(trainer, others.share(time.perf_counter() - began)),
    )


def too_busy(trainer: Trainer, others: float) -> str:
    """Say that the processor was not left to a training on it, given the share that others used."""
    if trainer.kind != "cpu" or others <= OTHERS_MAY_USE:
        return ""
    return f"the machine is too busy (other processes used {others:.0%} of the processors)"
