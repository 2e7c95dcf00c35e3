"""A fine-tuning from its texts to its figures."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import (
    InvalidValueError,
    LabError,
    require_kind,
    require_one_of,
    require_whole,
)
from enterprise_lab.evaluation.curves import Point
from enterprise_lab.measure.devices import Kind, machine
from enterprise_lab.measure.energy import EnergyMeter
from enterprise_lab.measure.libraries import processor_name
from enterprise_lab.measure.memory import PeakMemory
from enterprise_lab.measure.other_processes import OtherProcesses
from enterprise_lab.measure.timing import OTHERS_MAY_USE
from enterprise_lab.training.finetuning.checkpoints import Checkpoints, identity_of
from enterprise_lab.training.finetuning.classifier import Logits, TextClassifier, tokenizer
from enterprise_lab.training.finetuning.encoder import (
    build,
    quiet_transformers,
    read_shape,
    require_fit,
)
from enterprise_lab.training.finetuning.examples import Examples
from enterprise_lab.training.finetuning.figures import Figures, step_seconds, work_of
from enterprise_lab.training.finetuning.progress import Progress, Steps, Tell
from enterprise_lab.training.finetuning.recipe import (
    CUDA_CAPABILITY,
    FineTuning,
    require_cuda,
)
from enterprise_lab.training.finetuning.tensor_memory import TensorPeak, states_of
from enterprise_lab.training.finetuning.trainer import FineTuner

_LOG = logging.getLogger(__name__)
# PyTorch looks for it once, at the first product on a GPU; without it none can be deterministic.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned classifier, how it came about, and what that took."""

    classifier: TextClassifier
    curve: tuple[Point, ...]
    """Where it was after each epoch."""
    losses: tuple[float, ...]
    """Mean loss of a text in each step, in nats, before the step; whatever the class weights."""
    figures: Figures
    messages: tuple[str, ...]
    """What happened to its checkpoints that a person should know; also logged as it happened."""

    def logits(self, texts: Sequence[str]) -> Logits:
        """Return the logits of texts: texts x classes."""
        return self.classifier.logits(texts)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the name of the likeliest class of each text."""
        return self.classifier.predict(texts)

    def export(self, folder: Path) -> int:
        """Store what was trained, for `load_classifier`; return the bytes written."""
        return self.classifier.export(folder)


def fine_tune(
    weights: Path,
    train: Texts,
    validation: Texts,
    recipe: FineTuning,
    *,
    pretrained: bool = True,
    folder: Path | None = None,
    save_every: int = 50,
    device: str = "auto",
    tell: Tell | None = None,
    on_step: Callable[[int, float], object] | None = None,
) -> FineTuned:
    """Fine-tune the BERT in the folder `weights` to classify texts.

    The validation texts are looked at after each epoch. With `pretrained` false the encoder begins
    with random weights, which shows what pre-training buys. With a `folder`, a checkpoint is
    written there every `save_every` steps, and the same call continues a training that was cut off
    from its last good one: on a processor like the first, with as many threads, to the same
    weights, to the bit, as if it had never been. `device` is "cpu", "cuda" or "auto". `tell` is
    told what is done, and the share of all, `on_step` the number of every step and the mean loss of
    a text in it, which a GPU is waited for.

    With the method "head" the frozen encoder sees every text once; the head is then trained on the
    vectors it made, as is done at work, since they would be the same in every epoch.

    Raises LabError for texts, weights, recipes and devices that don't go together.
    """
    start = time.perf_counter()
    require_kind("weights", weights, Path, 'data.fetch("minilm")')
    require_kind("recipe", recipe, FineTuning, 'usual("full")')
    if folder is not None:
        require_kind("folder", folder, Path, 'Path("checkpoints")')
    kind = _kind(device)
    _require_precision(recipe, kind)
    _require_texts(train, validation)
    require_whole("save_every", save_every, 1_000_000_000)
    shape = read_shape(weights)
    require_fit(recipe, shape)
    words = tokenizer(weights)
    learnt, judged = (
        Examples.of(texts, words, recipe, shape.max_positions) for texts in (train, validation)
    )
    identity = {"pretrained": str(pretrained), "device": kind}
    if folder:
        identity |= identity_of(recipe, weights, training=train, validation=validation)
    messages: list[str] = []
    others = OtherProcesses()
    with (
        quiet_transformers(),
        _deterministic(recipe.deterministic),
        _or_temporary(folder) as place,
        PeakMemory(kind) as memory,
        EnergyMeter(kind) as meter,
    ):
        network = build(weights, recipe, len(train.classes), kind=kind, pretrained=pretrained)
        classifier = TextClassifier(network, words, train.classes, recipe, weights)
        began = time.perf_counter()
        learnt = learnt.seen_by(classifier)
        encoding_seconds = time.perf_counter() - began
        judged = judged.seen_by(classifier)
        tuner = FineTuner(
            classifier,
            learnt,
            judged,
            checkpoints=Checkpoints(place, identity),
            save_every=save_every if folder else 0,
            say=lambda message: _say(message, messages),
        )
        watched = _watch_longest_step(tuner) if kind == "cpu" and recipe.method != "head" else None
        if on_step:
            tuner.add_callback(Steps(on_step, lambda: tuner.last_loss))
        if tell:
            tuner.add_callback(Progress(tell, lambda: tuner.ledger.points))
        try:
            if folder:
                tuner.resume()
            else:
                tuner.train()
        finally:
            if watched:
                watched.close()
        tuner.finish()
    seconds = time.perf_counter() - start
    return FineTuned(
        classifier=classifier,
        curve=tuple(tuner.ledger.points),
        losses=tuple(tuner.ledger.losses),
        figures=_figures(
            tuner, learnt, encoding_seconds, seconds, memory, meter, others.share(seconds), watched
        ),
        messages=tuple(messages),
    )


def _figures(
    tuner: FineTuner,
    learnt: Examples,
    encoding_seconds: float,
    seconds: float,
    memory: PeakMemory,
    meter: EnergyMeter,
    others: float,
    watched: TensorPeak | None,
) -> Figures:
    classifier, ledger = tuner.classifier, tuner.ledger
    network, kind = classifier.network, classifier.kind
    classes, steps = len(classifier.classes), len(ledger.losses)
    doubt = ""
    if kind == "cpu" and others > OTHERS_MAY_USE:
        doubt = f"the machine is too busy (other processes used {others:.0%} of the processors)"
    return Figures(
        kind=kind,
        device=processor_name(machine()) if kind == "cpu" else torch.cuda.get_device_name(),
        work=work_of(network.shape, tuner.batches, steps, classes, learnt.tokens),
        steps=step_seconds(ledger.seconds, doubt, watched=watched.step if watched else None),
        training_seconds=encoding_seconds + sum(ledger.seconds),
        seconds=seconds,
        peak_memory_bytes=_read(memory),
        peak_tensor_bytes=watched.bytes if watched else _read(memory) if kind == "cuda" else None,
        energy=meter.energy,
        trained_parameters=sum(w.numel() for w in network.trained().values()),
        parameters=sum(w.numel() for w in network.parameters()),
        stored_bytes=classifier.stored_bytes,
        doubt=doubt,
    )


def _watch_longest_step(tuner: FineTuner) -> TensorPeak | None:
    """Watch the tensors of the first epoch's largest step but its first, if it has another.

    Only then does the optimizer have its states.
    """
    steps = tuner.batches.of_epoch(0)
    sizes = [max(len(rows) * tuner.batches.lengths[rows].max() for rows in step) for step in steps]
    if len(sizes) < 2:
        return None
    network = tuner.classifier.network
    watched = TensorPeak(
        1 + int(np.argmax(sizes[1:])),
        lambda: [*network.parameters(), *network.buffers(), *states_of(tuner.optimizer)],
    )
    tuner.add_callback(watched)
    return watched


def _kind(device: str) -> Kind:
    require_one_of("device", device, ("auto", "cpu", "cuda"))
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return "cpu"
    require_cuda()
    return "cuda"


def _require_precision(recipe: FineTuning, kind: Kind) -> None:
    if kind == "cpu":
        able = recipe.precision != "fp16"
    else:
        able = torch.cuda.get_device_capability() >= CUDA_CAPABILITY[recipe.precision]
    if not able:
        where = "processor" if kind == "cpu" else torch.cuda.get_device_name()
        raise InvalidValueError(
            f"Training in {recipe.precision} is not to be had on this {where}.",
            f'Use precision=best_precision("{kind}"), or "fp32".',
        )


def _require_texts(train: Texts, validation: Texts) -> None:
    for use, texts in (("training", train), ("validation", validation)):
        require_kind(f"the {use} texts", texts, Texts, "labelled(texts, names)")
        if len(texts) == 0:
            raise LabError(f"There are no {use} texts.", "Give at least one, with its label.")
    if train.classes != validation.classes:
        raise LabError(
            "The training and validation texts have different classes.",
            "Split one set of texts, so that both have its classes in one order.",
        )
    if len(train.classes) < 2:
        raise LabError(
            "There is nothing to tell apart with fewer than two classes.",
            "Give texts of at least two classes.",
        )


@contextmanager
def _or_temporary(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def _deterministic(wanted: bool) -> Iterator[None]:
    """Let PyTorch only use algorithms that give the same each time, then as it was set before."""
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


def _say(message: str, messages: list[str]) -> None:
    """Keep a message for the end, and log it now: that may be hours earlier."""
    messages.append(message)
    _LOG.warning(message)


def _read(memory: PeakMemory) -> int | None:
    try:
        return memory.bytes
    except LabError:
        return None
