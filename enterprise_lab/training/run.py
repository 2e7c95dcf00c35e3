"""Training to a target accuracy, and what it took."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from enterprise_lab.data import Images
from enterprise_lab.errors import LabError, require_share, require_whole
from enterprise_lab.measure.other_processes import OtherProcesses
from enterprise_lab.measure.timing import OTHERS_MAY_USE
from enterprise_lab.training.small_cnn import SmallCNN
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

    Seconds are those of gathering batches, of putting them on the device and of the steps, the
    first one included, with the compiling in it; measuring the accuracy is not counted.
    """

    framework: str
    device: str
    target_accuracy: float
    curve: tuple[Epoch, ...]
    first_step_seconds: float
    steps: int
    batch: int
    doubt: str = ""
    """Why the figures can't be relied on; empty where they can."""

    @property
    def reached(self) -> bool:
        """Whether the last epoch reached the target, and did not diverge."""
        last = self.curve[-1]
        return math.isfinite(last.loss) and last.accuracy >= self.target_accuracy

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
    makes the same run again, to the last bits of its sums. Training that diverges ends there.

    Raises LabError for a target that is no share, for a batch larger than the images, and for
    images that aren't those the network is for.
    """
    require_share(target_accuracy=target_accuracy)
    max_epochs = require_whole("max_epochs", max_epochs, 1_000_000)
    _require_fit(trainer.network, images)
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
        if accuracy >= target_accuracy or not math.isfinite(curve[-1].loss):
            break
    return Run(
        framework=trainer.framework,
        device=trainer.device,
        target_accuracy=target_accuracy,
        curve=tuple(curve),
        first_step_seconds=first_step_seconds,
        steps=steps,
        batch=trainer.recipe.batch,
        doubt=_diverged(curve[-1]) or too_busy(trainer, others.share(time.perf_counter() - began)),
    )


def _require_fit(network: SmallCNN, images: Images) -> None:
    """Raise LabError unless a network can be trained and tested on the images."""
    size = network.channels, network.image_size, network.image_size
    for use, pictures, labels in (
        ("training", images.train_images, images.train_labels),
        ("test", images.test_images, images.test_labels),
    ):
        if not 0 < len(pictures) == len(labels):
            raise LabError(
                f"There are {len(pictures):,} {use} images and {len(labels):,} labels for them.",
                "Give at least one image, and a label for each.",
            )
        if pictures.shape[1:] != size:
            raise LabError(
                f"The {use} images are {_by(pictures.shape[1:])}, the network is for {_by(size)}.",
                "Make the network with the channels and the image_size of the images.",
            )
        if labels.min() < 0 or labels.max() >= network.classes:
            raise LabError(
                f"The {use} labels go from {labels.min()} to {labels.max()}, the network's classes"
                f" from 0 to {network.classes - 1}.",
                "Make the network with the classes of the images.",
            )


def _by(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def _diverged(last: Epoch) -> str:
    if math.isfinite(last.loss):
        return ""
    return (
        f"training diverged in epoch {last.number} (its loss is {last.loss}): lower learning_rate"
    )


def too_busy(trainer: Trainer, others: float) -> str:
    """Say that the processor was not left to a training on it, given the share that others used."""
    if trainer.kind != "cpu" or others <= OTHERS_MAY_USE:
        return ""
    return f"the machine is too busy (other processes used {others:.0%} of the processors)"
