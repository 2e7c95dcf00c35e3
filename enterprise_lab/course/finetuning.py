"""What lab 06 shows of its texts, its trainings and their bills."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from IPython.display import Markdown
from numpy.typing import NDArray

from enterprise_lab import costing, estimate
from enterprise_lab.catalog import Accelerator
from enterprise_lab.course.finetuning_pictures import Measure, Method, Outlay
from enterprise_lab.course.lab02 import MINIMUM_SECONDS
from enterprise_lab.course.text import say
from enterprise_lab.data.clauses import Clause
from enterprise_lab.data.duplicates import Pair, exact_duplicates, near_duplicates
from enterprise_lab.data.relatives import join_relatives
from enterprise_lab.data.splitting import Split, sample_rows, split
from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import Estimate, Implementation, Plan, TrainingEstimate
from enterprise_lab.estimate.states import training_precision
from enterprise_lab.evaluation.baselines import TfIdf
from enterprise_lab.evaluation.bootstrap import Interval, interval, paired_difference
from enterprise_lab.evaluation.metrics import macro_f1
from enterprise_lab.measure.timing import Measurement
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.training.figures import single
from enterprise_lab.training.finetuning.batching import Batches, padded_length
from enterprise_lab.training.finetuning.classifier import tokenised, tokenizer
from enterprise_lab.training.finetuning.progress import Tell
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.training.finetuning.run import FineTuned, fine_tune

_SHOWN_WORDS = 40
_PRECISIONS = ("bf16", "fp16", "fp32")


@dataclass(frozen=True)
class Size:
    """How much of everything a profile of the lab does."""

    labelled: int
    """Sentences that were labelled to learn from, at most."""
    fewer: tuple[int, ...]
    """Smaller numbers of them, for the curve."""
    tried_on: int
    """Sentences that the experiments learn from."""
    validation: int
    test: int
    """Sentences to choose by and to judge on, at most."""
    epochs: int
    trial_epochs: int
    seeds: int
    rates: tuple[float, ...]
    """Learning rates that are tried, each with every batch size."""
    batches: tuple[int, ...]
    timed_batch: int
    timed_steps: int


SIZES = {
    "smoke": Size(48, (24,), 24, 24, 40, 1, 1, 2, (1e-4, 3e-4), (8,), 2, 2),
    "laptop": Size(
        400, (50, 100, 200), 120, 300, 1000, 6, 4, 3, (1e-4, 3e-4, 1e-3), (8, 32), 16, 4
    ),
    "full": Size(
        800, (50, 100, 200, 400), 400, 1000, 4000, 6, 6, 5, (1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
        (8, 16, 32, 64), 32, 20,
    ),
}  # fmt: skip


def samples(clauses: Sequence[Clause], topics: Sequence[str], seed: int) -> Markdown:
    """Show one clause of each topic as a table: the heading that names it, and the body."""
    rng = np.random.default_rng(seed)
    lines = ["| topic | heading | body |", "|---|---|---|"]
    for topic in topics:
        own = [one for one in clauses if one.topic == topic]
        one = own[rng.integers(len(own))]
        lines.append(f"| {topic} | {_cell(one.heading)} | {_cell(_short(one.text))} |")
    return say("\n".join(lines))


def copies(texts: Texts, pair: Pair) -> Markdown:
    """Show a text and its near copy side by side."""
    kept, copy = (_cell(_short(texts.texts[row])) for row in (pair.kept, pair.copy))
    families = texts.groups[pair.kept], texts.groups[pair.copy]
    return say(
        f"| family {families[0]} | family {families[1]}, {pair.similarity:.0%} the same |\n"
        f"|---|---|\n| {kept} | {copy} |"
    )


def mistakes(texts: Texts, probabilities: NDArray[np.floating], most: int) -> Markdown:
    """Show the texts on which a model was surest and wrong."""
    guesses, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(guesses != texts.labels)
    lines = ["| it said | sure | the heading said | the clause |", "|---|---:|---|---|"]
    for row in wrong[np.argsort(-sure[wrong], kind="stable")][:most]:
        lines.append(
            f"| {texts.classes[guesses[row]]} | {sure[row]:.0%}"
            f" | {texts.classes[texts.labels[row]]} | {_cell(_short(texts.texts[row]))} |"
        )
    return say("\n".join(lines))


def padded_to(lengths: NDArray[np.int64], recipe: FineTuning) -> NDArray[np.int64]:
    """Return the tokens each text is padded to in the first epoch, in the order of `lengths`.

    Each text is taken to come once, also where sampling is balanced.
    """
    found = np.zeros_like(lengths)
    each_once = replace(recipe, balanced_sampling=False)
    for step in Batches(lengths, np.zeros(len(lengths), np.int64), each_once).of_epoch(0):
        for rows in step:
            longest = np.append(lengths[rows], recipe.padded_at_least)
            found[rows] = padded_length(longest).max()
    return found


def token_lengths(weights: Path, texts: Texts, sequence_length: int) -> NDArray[np.int64]:
    """Return the tokens of each text, cut off after `sequence_length`."""
    ids = tokenised(tokenizer(weights), texts.texts, sequence_length)
    return np.array([len(one) for one in ids], dtype=np.int64)


def predicted(
    shape: TransformerShape, chip: Accelerator, recipe: FineTuning, padded: NDArray[np.int64]
) -> TrainingEstimate:
    """Estimate a fine-tuning on texts padded to these lengths, all epochs, on one chip.

    Every step is taken to be as long as the mean; `fullest_bytes` has the longest. A frozen
    encoder sees each text once; what its head takes afterwards is left out.
    """
    precision = _precision(chip, recipe.precision)
    epochs = 1 if recipe.method == "head" else recipe.epochs
    return estimate.training(
        shape,
        sequence_length=round(float(padded.mean())),
        global_batch=recipe.batch * recipe.accumulation,
        accelerator=chip,
        plan=Plan(
            micro_batch=recipe.batch,
            flash_attention=not chip.is_processor,
            recompute="full" if recipe.recompute else "none",
        ),
        precision=precision,
        tokens=float(padded.sum()) * epochs,
        trainable=recipe.trainable,
        dropout=recipe.dropout > 0,
        implementation=Implementation.of_trainer(shape, precision, processor=chip.is_processor),
    )


def fullest_bytes(
    shape: TransformerShape, chip: Accelerator, recipe: FineTuning, padded: NDArray[np.int64]
) -> Estimate:
    """Estimate the memory of a step whose texts are all padded to the longest of these lengths."""
    longest = np.full_like(padded, padded.max())
    return predicted(shape, chip, recipe, longest).memory_bytes_per_device


def outlay(
    shape: TransformerShape,
    chip: Accelerator,
    recipe: FineTuning,
    padded: NDArray[np.int64],
    instance: str | None,
) -> Outlay:
    """Estimate what a fine-tuning takes and costs; at least a minute is billed."""
    seconds = predicted(shape, chip, recipe, padded).training_seconds
    name = f"{chip.name} ({instance})" if instance else chip.name
    if instance is None:
        return Outlay(name, seconds, None, None)
    billed = _at_least_a_minute(seconds)
    return Outlay(name, seconds, costing.on_demand(billed, instance), _spot(billed, instance))


def _spot(seconds: Estimate, instance: str) -> Estimate | None:
    try:
        return costing.spot(seconds, instance)
    except LabError:
        return None


def _at_least_a_minute(seconds: Estimate) -> Estimate:
    value, low, high = (
        max(MINIMUM_SECONDS, seconds.value if end is None else end)
        for end in (seconds.value, seconds.low, seconds.high)
    )
    return Estimate(value, "s", f"{seconds.source}; at least a minute is billed", low, high)


def _precision(chip: Accelerator, wanted: str) -> str:
    for precision in (wanted, *_PRECISIONS):
        try:
            return training_precision(chip, precision)
        except LabError:
            continue
    raise LabError(f"{chip.name} trains in none of {', '.join(_PRECISIONS)}.", "Choose another.")


def methods(
    scores: Mapping[str, Interval], trained: Mapping[str, FineTuned], words_seconds: float
) -> dict[str, Method]:
    """Put what each method reached beside what it took, counted words first."""
    found = {"TF-IDF": Method(scores["TF-IDF"], single(words_seconds, "s"), None, None)}
    for name, its in trained.items():
        took = its.figures
        memory = took.peak_memory_bytes
        found[name] = Method(
            scores[name],
            single(took.training_seconds, "s", took.doubt),
            None if memory is None else single(memory, "B"),
            took.stored_bytes,
        )
    return found


def measures(
    weights: Path, texts: Texts, recipe: FineTuning, steps: int, kind: str, tell: Tell
) -> dict[str, Measure]:
    """Measure a few steps with each measure alone, and with all of the recipe's.

    Steps are of whole batches, padded. All of them count, as buckets make them unlike: also the
    first, which allocates, and the one whose tensors are watched, with each measure alike. A plain
    run before them all loads what libraries load at first use.
    """
    plain = replace(
        recipe, precision="fp32", dropout=0.1, bucketing=False, epochs=1, sequence_length=128
    )
    chosen = texts.take(np.arange(min(len(texts), steps * recipe.batch)))
    parts = math.gcd(4, plain.batch)
    tried = {
        "plain": plain,
        recipe.precision: replace(plain, precision=recipe.precision),
        "no dropout": replace(plain, dropout=0.0),
        "buckets": replace(plain, bucketing=True),
        "the recipe": replace(recipe, epochs=1, sequence_length=128),
        f"accumulation x {parts}": replace(plain, batch=plain.batch // parts, accumulation=parts),
        "checkpointing": replace(plain, recompute=True),
    }
    fine_tune(weights, chosen, chosen.take([0]), plain, device=kind)
    found = {}
    for number, (name, its) in enumerate(tried.items()):
        tell(name, number / len(tried))
        took = fine_tune(weights, chosen, chosen.take([0]), its, device=kind).figures
        rate = single(took.tokens_per_second, "tokens/s", took.doubt)
        found[name] = Measure(rate, took.peak_tensor_bytes)
    return found


class Asked(NamedTuple):
    """A question asked of texts: how well counted words and a frozen encoder answer it."""

    question: str
    classes: int
    read_tokens: int
    words: Interval
    encoder: Interval
    gain: Interval


def ask(
    question: str, texts: Texts, weights: Path, recipe: FineTuning, size: Size, kind: str
) -> Asked:
    """Answer a question with counted words of whole texts, and with a frozen encoder.

    As for the lab's own question near copies are left out, families stay together, and as many
    texts are labelled. The encoder reads as many tokens as the recipe says.
    """
    own, parts = prepared(texts, recipe.seed)
    labelled = some(own.take(parts.train), size.labelled, recipe.seed)
    test = some(own.take(parts.test), size.test, recipe.seed)
    validation = some(own.take(parts.validation), size.validation, recipe.seed)
    counted = TfIdf(recipe.seed).fit(
        labelled.texts, labelled.labels, groups=labelled.groups, classes=len(own.classes)
    )
    frozen = fine_tune(weights, labelled, validation, recipe, device=kind)
    words = counted.probabilities(test.texts).argmax(axis=1)
    encoder = frozen.logits(test.texts).argmax(axis=1)
    return Asked(
        question,
        len(own.classes),
        recipe.sequence_length,
        interval(macro_f1, test.labels, words, groups=test.groups),
        interval(macro_f1, test.labels, encoder, groups=test.groups),
        paired_difference(macro_f1, test.labels, encoder, words, groups=test.groups),
    )


def prepared(texts: Texts, seed: int) -> tuple[Texts, Split]:
    """Leave out copies, join families that copy from each other, and split by family.

    Six tenths are for the test, a tenth to choose by.
    """
    distinct = texts.take(exact_duplicates(texts.texts).kept)
    found = near_duplicates(distinct.texts)
    kept = join_relatives(distinct, found).take(found.kept)
    return kept, split(kept, seed=seed, test_share=0.6, validation_share=0.1)


def some(texts: Texts, most: int, seed: int) -> Texts:
    """Return at most so many texts, of each class in proportion."""
    return texts.take(sample_rows(texts, min(most, len(texts)), seed))


def answers(asked: Sequence[Asked]) -> Markdown:
    """Show what was asked, and by how much the frozen encoder is better than counted words."""
    lines = [
        "| question | classes | tokens read | TF-IDF, all words | frozen BERT | difference |",
        "|---|---:|---:|---|---|---|",
    ]
    for one in asked:
        figures = " | ".join(_with_ends(its) for its in (one.words, one.encoder, one.gain))
        lines.append(f"| {one.question} | {one.classes} | {one.read_tokens} | {figures} |")
    return say("\n".join(lines))


def measured(its: Interval) -> Measurement:
    """Return a score with its interval as a measurement, of as many samples as were drawn from."""
    return Measurement(its.value, "1", its.low, its.high, its.units)


def _with_ends(its: Interval) -> str:
    return f"{its.value:.3f} ({its.low:.3f} to {its.high:.3f})"


def _short(text: str) -> str:
    words = text.split()
    return " ".join(words[:_SHOWN_WORDS]) + (" …" if len(words) > _SHOWN_WORDS else "")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")
