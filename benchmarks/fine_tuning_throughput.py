"""The same fine-tuning twice: by Hugging Face's Trainer with its defaults, and by the lab's recipe.

    python benchmarks/fine_tuning_throughput.py --texts 600 --epochs 6 --pairs 3

Clauses of licences, split by family, classified by topic. "Defaults" are those of Trainer and
AutoModelForSequenceClassification: fp32, dropout 0.1, texts in random order padded to the longest
of their batch, a learning rate of 5e-5 without warm-up; only the batch and the epochs are ours. The
two are trained in turns, since a shared host slows and recovers. Tokens are those of the texts,
without padding; seconds those of training steps, without evaluations. Macro-F1 is that of the last
weights on the test texts. On a GPU give a model worth one: --weights bert-base-uncased --batch 64.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from enterprise_lab import catalog, data
from enterprise_lab.catalog.driver_names import by_driver_name
from enterprise_lab.data.duplicates import near_duplicates
from enterprise_lab.data.legal import legal_texts
from enterprise_lab.data.splitting import sample_rows, split
from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import LabError
from enterprise_lab.evaluation.metrics import macro_f1
from enterprise_lab.measure.this_machine import this_machine
from enterprise_lab.training.finetuning.encoder import quiet_transformers
from enterprise_lab.training.finetuning.recipe import FineTuning, best_precision, usual
from enterprise_lab.training.finetuning.run import fine_tune


@dataclass(frozen=True)
class Way:
    """What a way of training reached."""

    tokens_per_second: float
    macro_f1: float
    mfu: float | None = None


class Clock(transformers.TrainerCallback):
    """Takes the seconds from the beginning of training to its end."""

    seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.seconds -= time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop, once the GPU is done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.seconds += time.perf_counter()


def by_defaults(weights: Path, train: Texts, test: Texts, recipe: FineTuning, kind: str) -> Way:
    """Train as transformers does where nothing is said."""
    transformers.set_seed(recipe.seed)
    words = transformers.AutoTokenizer.from_pretrained(weights)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        weights, num_labels=len(train.classes)
    )
    rows = [examples(words, texts, recipe.sequence_length) for texts in (train, test)]
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder,
            per_device_train_batch_size=recipe.batch,
            num_train_epochs=recipe.epochs,
            seed=recipe.seed,
            use_cpu=kind == "cpu",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        arguments._n_gpu = min(arguments.n_gpu, 1)  # the recipe uses one too
        trainer = transformers.Trainer(
            model,
            arguments,
            train_dataset=rows[0],
            processing_class=words,
            callbacks=[clock],
        )
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
        guesses = trainer.predict(rows[1]).predictions.argmax(axis=1)
    tokens = recipe.epochs * sum(len(row["input_ids"]) for row in rows[0])
    return Way(tokens / clock.seconds, macro_f1(test.labels, guesses))


def examples(words: Any, texts: Texts, sequence_length: int) -> list[dict[str, Any]]:
    """Tokenise texts as the rows of a data set."""
    ids = words(list(texts.texts), truncation=True, max_length=sequence_length)["input_ids"]
    return [
        {"input_ids": one, "attention_mask": [1] * len(one), "label": int(label)}
        for one, label in zip(ids, texts.labels, strict=True)
    ]


def by_recipe(weights: Path, train: Texts, test: Texts, recipe: FineTuning, kind: str) -> Way:
    """Train as the lab does; the test texts stand for the validation texts, and choose nothing."""
    tuned = fine_tune(weights, train, test, recipe, device=kind)
    found, peak = tuned.figures, peak_flops(kind, recipe.precision)
    score = macro_f1(test.labels, tuned.logits(test.texts).argmax(axis=1))
    return Way(found.tokens_per_second, score, found.mfu(peak) if peak else None)


def peak_flops(kind: str, precision: str) -> float | None:
    """Return the device's peak in FLOP/s, None where it isn't known."""
    chip: catalog.Accelerator | None
    chip = this_machine() if kind == "cpu" else by_driver_name(torch.cuda.get_device_name())
    try:
        return chip.peak_flops(precision) if chip else None
    except LabError:
        return None


def given(count: int) -> tuple[Texts, Texts]:
    """Return so many texts to train on, and those to judge by, of other families."""
    texts = legal_texts()
    texts = texts.take(near_duplicates(texts.texts).kept)
    parts = split(texts, test_share=0.25, validation_share=0.0)
    train = texts.take(parts.train)
    return train.take(sample_rows(train, min(count, len(train)))), texts.take(parts.test)


def line(name: str, ways: Sequence[Way]) -> str:
    """Say what a way reached, as medians of its runs."""
    rate = statistics.median(way.tokens_per_second for way in ways)
    score = statistics.median(way.macro_f1 for way in ways)
    mfus = [way.mfu for way in ways if way.mfu is not None]
    mfu = f", MFU {statistics.median(mfus):.1%}" if mfus else ""
    return f"{name}: {rate:,.0f} tokens/s, macro-F1 {score:.3f}{mfu}\n"


def main() -> None:
    """Train both ways in turns, and print what they reached."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--weights", default="minilm", help="name of a manifest")
    parser.add_argument("--texts", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=FineTuning.batch)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--sequence-length", type=int, default=128)
    asked = parser.parse_args()
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    weights = data.fetch(asked.weights)
    train, test = given(asked.texts)
    recipe = replace(
        usual("full", precision=best_precision(kind), sequence_length=asked.sequence_length),
        epochs=asked.epochs,
        batch=asked.batch,
    )
    sys.stdout.write(f"{train}; {recipe}\n")
    defaults: list[Way] = []
    ours: list[Way] = []
    with quiet_transformers():
        for seed in range(asked.pairs):
            one = replace(recipe, seed=seed)
            defaults.append(by_defaults(weights, train, test, one, kind))
            ours.append(by_recipe(weights, train, test, one, kind))
            sys.stdout.write(line("defaults", defaults[-1:]) + line("recipe", ours[-1:]))
            sys.stdout.flush()
    ratios = [
        a.tokens_per_second / b.tokens_per_second for a, b in zip(ours, defaults, strict=True)
    ]
    sys.stdout.write(line("defaults, median", defaults) + line("recipe, median", ours))
    sys.stdout.write(
        f"the recipe trains {np.median(ratios):.2f} times as fast"
        f" ({min(ratios):.2f} to {max(ratios):.2f} of {len(ratios)} pairs)\n"
    )


if __name__ == "__main__":
    main()
