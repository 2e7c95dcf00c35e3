"""The FLOPs of a fine-tuning are those that PyTorch counts, and the figures go together."""

from dataclasses import replace

import numpy as np
import pytest
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from enterprise_lab.training.finetuning.batching import Batches
from enterprise_lab.training.finetuning.encoder import build, read_shape
from enterprise_lab.training.finetuning.examples import Examples
from enterprise_lab.training.finetuning.figures import step_seconds, work_of
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.training.finetuning.run import fine_tune

COUNTED_WITHIN = 0.01
"""Relative: both count matrix products alone."""
CLASSES = 3


def drawn(count, at_least=1):
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, 60, rng.integers(3, 48)) for _ in range(count)]
    return Examples(ids, rng.integers(0, CLASSES, count), 50, at_least)


@pytest.mark.parametrize(
    ("recompute", "padding"), [(False, "longest"), (True, "longest"), (False, "maximum")]
)
@pytest.mark.parametrize("method", ["full", "lora", "head"])
def test_flops_are_those_that_pytorch_counts(weights, method, recompute, padding):
    recipe = FineTuning(
        method, precision="bf16", sequence_length=48, batch=4, recompute=recompute,
        targets=("query", "value", "mlp"), padding=padding,
    )  # fmt: skip
    network = build(weights, recipe, CLASSES).train()
    given = drawn(16, 1 if method == "head" else recipe.padded_at_least)
    batches = Batches(given.tokens, given.labels, recipe)
    with FlopCounterMode(display=False) as counter:
        for rows in batches if method != "head" else [range(16)]:
            batch = given.__getitems__(rows)
            labels = batch.pop("labels")
            cross_entropy(network(**batch), labels).backward()
    work = work_of(read_shape(weights), batches, batches.steps, CLASSES, given.tokens)
    assert work.flops == pytest.approx(counter.get_total_flops(), rel=COUNTED_WITHIN)
    assert work.useful_flops < work.flops


def test_tokens_are_counted_step_by_step(weights):
    given = drawn(21)
    for bucketing in (True, False):
        recipe = FineTuning(sequence_length=48, batch=4, accumulation=2, bucketing=bucketing)
        batches = Batches(given.tokens, given.labels, recipe)
        works = [work_of(read_shape(weights), batches, n, CLASSES, given.tokens)
                 for n in range(1, 2 * batches.steps + 1)]  # fmt: skip
        assert [work.texts for work in works] == sorted({work.texts for work in works})
        assert works[batches.steps - 1].tokens == given.tokens.sum()
        assert works[-1].tokens == 2 * given.tokens.sum()
        assert 0 < works[-1].padding_share < 0.6


def test_the_first_step_is_apart():
    taken = step_seconds([9.0, 1.0, 2.0, 3.0])
    assert (taken.first, taken.value, taken.n, taken.best) == (9.0, 2.0, 3, 1.0)
    assert step_seconds([9.0]) is None


def test_the_watched_step_is_left_out():
    taken = step_seconds([9.0, 1.0, 7.0, 2.0, 3.0], watched=2)
    assert (taken.first, taken.value, taken.n, taken.best) == (9.0, 2.0, 3, 1.0)
    assert step_seconds([9.0, 7.0], watched=1) is None


@pytest.fixture(scope="module")
def tuned(weights, texts):
    recipe = FineTuning(epochs=2, batch=8, sequence_length=48)
    return fine_tune(weights, texts(40), texts(10, seed=1), recipe, device="cpu")


def test_the_figures_go_together(tuned):
    found = tuned.figures
    assert found.work.texts == 80
    assert found.steps.n == 8
    assert 0 < found.training_seconds < found.seconds
    assert found.tokens_per_second == found.work.tokens / found.training_seconds
    peak = 1e12
    assert found.mfu(peak) == pytest.approx(found.work.useful_flops / found.training_seconds / peak)
    assert found.mfu(peak) < found.hardware_utilisation(peak)
    assert found.usd(3.6) == pytest.approx(found.seconds * 1e-3)
    assert found.energy.joules > 0
    assert found.peak_memory_bytes > 0
    assert found.peak_tensor_bytes > 16 * found.parameters  # weights, gradients, AdamW's two states
    assert found.trained_share == 1
    assert found.stored_bytes == 4 * found.trained_parameters


def test_the_figures_are_recorded(tuned):
    recipe = tuned.classifier.recipe
    records = {one.metric: one for one in tuned.figures.records(recipe, model="tiny")}
    assert records["tokens_per_second"].value == tuned.figures.tokens_per_second
    assert records["step_seconds"].n == 8
    assert records["energy_joules"].origin == tuned.figures.energy.origin
    assert records["flops"].origin == "estimated"
    assert records["flops"].value == tuned.figures.work.flops
    assert {one.lab for one in records.values()} == {"06_bert_finetuning"}
    assert all(one.parameters["method"] == "full" for one in records.values())
    assert all(one.parameters["model"] == "tiny" for one in records.values())


def test_without_bucketing_more_is_padded_and_most_to_the_maximum(weights, texts):
    recipe = FineTuning(epochs=1, batch=8, sequence_length=48)
    given = weights, texts(80), texts(10, seed=1)
    shares = [
        fine_tune(*given, replace(recipe, **how), device="cpu").figures.work.padding_share
        for how in ({}, {"bucketing": False}, {"bucketing": False, "padding": "maximum"})
    ]
    assert shares == sorted(shares)
    assert shares[0] < shares[1] < shares[2]
