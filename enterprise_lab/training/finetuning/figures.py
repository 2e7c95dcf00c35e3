"""What a fine-tuning took: tokens, FLOPs, seconds, memory, energy, dollars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from enterprise_lab.errors import require_positive
from enterprise_lab.estimate import forward_flops, training_flops
from enterprise_lab.measure.energy import Energy
from enterprise_lab.measure.records import Origin, Record, Scalar, measured
from enterprise_lab.measure.timing import Measurement
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.training.figures import (
    ENERGY,
    FIRST_STEP_SECONDS,
    PEAK_MEMORY,
    STEP_SECONDS,
    single,
)
from enterprise_lab.training.finetuning.batching import Batches, Rows, width
from enterprise_lab.training.finetuning.classifier import by_length
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.units import HOUR

LAB = "06_bert_finetuning"
SOURCE = "enterprise_lab.training.finetuning"
TRAINING_SECONDS = "training_seconds"
TOKENS_PER_SECOND = "tokens_per_second"
FLOPS = "flops"
PEAK_TENSORS = "peak_tensor_bytes"
TRAINED_PARAMETERS = "trained_parameters"
STORED_BYTES = "stored_bytes"


@dataclass(frozen=True)
class Work:
    """What was computed: `tokens` of the texts, and `padded_tokens` with the padding among them.

    `flops` are all that were done, with those for padding and those done a second time
    (recomputation); `useful_flops` those that the texts' own tokens ask for.
    """

    texts: int
    tokens: int
    padded_tokens: int
    flops: int
    useful_flops: int

    @property
    def padding_share(self) -> float:
        """Share of the tokens computed that were padding."""
        return 1 - self.tokens / self.padded_tokens


@dataclass(frozen=True)
class Figures:
    """What a fine-tuning took on a device.

    `steps` are the median seconds of a step, with the quartiles, as texts are not equally long.
    They leave out the first step, which also allocates, and the one whose tensors were watched on
    a processor, which takes longer; None where there was no other. `training_seconds` are those
    of all steps, and of a frozen encoder's one pass, without evaluations, checkpoints and
    loading; `seconds` those of everything since the call. Of a training that was resumed, steps
    and work are those of the whole, memory, energy and `seconds` those since it was.
    `peak_memory_bytes` is what the model, its states and its activations held at most: on a
    processor, how far the process grew.
    """

    kind: str
    device: str
    work: Work
    steps: Measurement | None
    training_seconds: float
    seconds: float
    peak_memory_bytes: int | None
    peak_tensor_bytes: int | None
    """Most that weights, states and activations held: on a GPU at any time, as
    `peak_memory_bytes`; on a processor in the largest step of the first epoch, leaving out its
    first. On a processor it is None for a head alone, for a single step, and for a training that
    was resumed after that step."""
    energy: Energy
    trained_parameters: int
    parameters: int
    stored_bytes: int
    """Bytes of the weights that have to be stored for this task."""
    doubt: str = ""
    """Why the seconds can't be relied on; empty where they can."""

    @property
    def tokens_per_second(self) -> float:
        """Tokens of texts, without padding, trained on a second."""
        return self.work.tokens / self.training_seconds

    @property
    def trained_share(self) -> float:
        """Share of the parameters that were trained."""
        return self.trained_parameters / self.parameters

    def mfu(self, peak_flops: float) -> float:
        """Return the share of a device's peak, in FLOP/s, that did what the texts ask for.

        Model FLOPs utilisation: neither padding nor recomputation counts (Chowdhery et al. 2022,
        appendix B), and training alone.
        """
        require_positive(peak_flops=peak_flops)
        return self.work.useful_flops / self.training_seconds / peak_flops

    def hardware_utilisation(self, peak_flops: float) -> float:
        """Return the same share for all FLOPs that were done."""
        require_positive(peak_flops=peak_flops)
        return self.work.flops / self.training_seconds / peak_flops

    def usd(self, usd_per_hour: float) -> float:
        """Return what its `seconds` cost at a price: of a resumed training, those since it was."""
        require_positive(usd_per_hour=usd_per_hour)
        return self.seconds * usd_per_hour / HOUR

    def records(self, recipe: FineTuning, *, lab: str = LAB, **more: Scalar) -> list[Record]:
        """Record the figures; `more` adds to the parameters that say what was trained."""
        found = {
            TRAINING_SECONDS: single(self.training_seconds, "s", self.doubt),
            TOKENS_PER_SECOND: single(self.tokens_per_second, "tokens/s", self.doubt),
            FLOPS: single(self.work.flops, "FLOP"),
            ENERGY: single(self.energy.joules, "J", self.doubt),
            TRAINED_PARAMETERS: single(self.trained_parameters, ""),
            STORED_BYTES: single(self.stored_bytes, "B"),
        }
        if self.peak_memory_bytes is not None:
            found[PEAK_MEMORY] = single(self.peak_memory_bytes, "B")
        if self.peak_tensor_bytes is not None:
            found[PEAK_TENSORS] = single(self.peak_tensor_bytes, "B")
        if self.steps is not None:
            found[STEP_SECONDS] = self.steps
            found[FIRST_STEP_SECONDS] = single(self.steps.first or 0.0, "s", self.doubt)
        parameters: dict[str, Scalar] = {
            "kind": self.kind,
            "method": recipe.method,
            "precision": recipe.precision,
            "batch": recipe.batch,
            "accumulation": recipe.accumulation,
            "sequence_length": recipe.sequence_length,
            "padding": recipe.padding,
            "bucketing": recipe.bucketing,
            "recompute": recipe.recompute,
            "dropout": recipe.dropout,
            "epochs": recipe.epochs,
            "seed": recipe.seed,
            **more,
        }
        calculated: dict[str, dict[str, object]] = {
            FLOPS: {"origin": Origin.ESTIMATED},
            ENERGY: {"origin": self.energy.origin, "source": self.energy.source},
        }
        return [
            measured(
                lab, metric, taken, device=self.device, source=SOURCE, parameters=parameters
            ).model_copy(update=calculated.get(metric, {}))
            for metric, taken in found.items()
        ]


def work_of(
    shape: TransformerShape, batches: Batches, steps: int, classes: int, tokens: Rows
) -> Work:
    """Count the work of the first `steps` steps, from the real shapes of their micro-batches.

    `tokens` are those of each text. A frozen encoder saw every text once, in batches of about one
    length; the steps are then those of the head alone.
    """
    recipe = batches.recipe
    done = list(_first(batches, steps))
    texts = sum(map(len, done))
    # The head: forward, backward for its weights and, where the encoder is trained, its inputs.
    head = (2 if recipe.method == "head" else 3) * 2 * shape.hidden * classes * texts
    seen, at_least = done, recipe.padded_at_least
    if recipe.method == "head":
        seen, at_least = by_length(tokens), 1
    real, padded = Counter[int](), Counter[int]()
    for lengths in (tokens[rows] for rows in seen):
        real.update(lengths.tolist())
        padded[width(lengths, shape.max_positions, at_least)] += len(lengths)
    return Work(
        texts=texts,
        tokens=_tokens(real),
        padded_tokens=_tokens(padded),
        flops=head + _flops(shape, recipe, padded, again=recipe.recompute),
        useful_flops=head + _flops(shape, recipe, real, again=False),
    )


def step_seconds(
    seconds: Sequence[float], doubt: str = "", *, watched: int | None = None
) -> Measurement | None:
    """Sum up the seconds of steps but the first, and the one `watched`; None if there's no other.

    Both take longer: the first also allocates.
    """
    first = seconds[0]
    others = [one for step, one in enumerate(seconds) if step not in (0, watched)]
    if not others:
        return None
    low, middle, high = (float(x) for x in np.quantile(others, [0.25, 0.5, 0.75]))
    return Measurement(
        middle, "s", low, high, len(others), best=min(others), first=first, doubt=doubt
    )


def _first(batches: Batches, steps: int) -> Iterator[Rows]:
    """Yield the micro-batches of a training's first steps."""
    for epoch in range(-(-steps // batches.steps)):
        for step in batches.of_epoch(epoch)[: steps - epoch * batches.steps]:
            yield from step


def _flops(shape: TransformerShape, recipe: FineTuning, texts: Counter[int], *, again: bool) -> int:
    """FLOPs of the encoder for so many texts of each length; of a frozen one, forward alone."""
    total = 0
    for length, count in texts.items():
        if recipe.method == "head":
            terms = forward_flops(shape, sequence_length=length, predicted_share=0)
        else:
            terms = training_flops(
                shape,
                sequence_length=length,
                predicted_share=0,
                recompute="full" if again else "none",
                trainable=recipe.trainable,
            )
        total += count * sum(terms.values())
    return total


def _tokens(texts: Counter[int]) -> int:
    return sum(length * count for length, count in texts.items())
