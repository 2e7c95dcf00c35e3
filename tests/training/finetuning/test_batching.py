"""Every text once an epoch, the same steps for the same seed, and little padding."""

from dataclasses import replace
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.training.finetuning.batching import Batches, _cut, padded_length
from enterprise_lab.training.finetuning.recipe import FineTuning


def batches(count, recipe, *, classes=3):
    rng = np.random.default_rng(count)
    return Batches(rng.integers(1, 129, count), rng.integers(0, classes, count), recipe)


def padded_tokens(made, epoch=0):
    steps = made.of_epoch(epoch)
    return sum(len(r) * padded_length(made.lengths[r]).max() for step in steps for r in step)


@given(
    count=st.integers(1, 200),
    batch=st.integers(1, 20),
    accumulation=st.integers(1, 5),
    bucketing=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_an_epoch_has_every_text_once_in_steps_of_about_one_size(
    count, batch, accumulation, bucketing, epoch
):
    recipe = FineTuning(batch=batch, accumulation=accumulation, bucketing=bucketing)
    made = batches(count, recipe)
    steps = made.of_epoch(epoch)
    rows = np.concatenate([part for step in steps for part in step])
    assert sorted(rows) == list(range(count))
    assert len(steps) == made.steps == -(-len(made) // accumulation)
    assert sum(map(len, steps)) == len(made) == -(-count // batch)
    assert all(len(step) == accumulation for step in steps[:-1])
    assert all(len(part) > 0 for step in steps for part in step)
    sizes = [sum(map(len, step)) for step in steps[:-1]]
    assert all(size <= batch * accumulation for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1


def test_the_order_follows_from_the_seed_and_the_epoch_alone():
    made = batches(100, FineTuning(accumulation=2))
    again = batches(100, FineTuning(accumulation=2))
    again.epoch = made.epoch = 3
    list(made.of_epoch(1))
    assert list(made) == list(again)
    other_seed = Batches(made.lengths, made.labels, replace(made.recipe, seed=1), epoch=3)
    assert list(other_seed) != list(made)
    made.epoch = 4
    assert list(made) != list(again)


def test_bucketing_pads_less_and_keeps_the_steps_as_large():
    bucketed, drawn = (batches(400, FineTuning(bucketing=b)) for b in (True, False))
    assert bucketed.steps == drawn.steps
    tokens = bucketed.lengths.sum()
    assert padded_tokens(bucketed) < 1.15 * tokens
    assert padded_tokens(drawn) > 1.5 * tokens


def test_with_bucketing_epochs_mix_texts_anew():
    made = batches(400, FineTuning())
    together = [{frozenset(part.tolist()) for step in made.of_epoch(e) for part in step}
                for e in (0, 1)]  # fmt: skip
    assert not together[0] & together[1]


@given(st.lists(st.integers(1, 64), min_size=2, max_size=9), st.integers(1, 4))
def test_a_step_is_cut_into_parts_of_which_the_largest_is_as_small_as_can_be(lengths, parts):
    parts = min(parts, len(lengths))
    ordered = np.sort(np.array(lengths, dtype=np.int64))
    found = _cut(np.arange(len(ordered)), ordered, parts)
    padded = padded_length(ordered)

    def largest(cuts):
        edges = [0, *cuts, len(ordered)]
        return max((b - a) * padded[b - 1] for a, b in pairwise(edges))

    assert np.array_equal(np.concatenate(found), np.arange(len(ordered)))
    assert len(found) == parts
    cuts = np.cumsum([len(part) for part in found])[:-1].tolist()
    assert largest(cuts) == min(map(largest, combinations(range(1, len(ordered)), parts - 1)))


def test_balanced_sampling_draws_a_rare_class_as_often_as_a_common_one():
    labels = np.repeat([0, 1, 2], [900, 80, 20])
    made = Batches(np.full(1000, 10), labels, FineTuning(balanced_sampling=True))
    drawn = np.concatenate([part for step in made.of_epoch(0) for part in step])
    shares = np.bincount(labels[drawn]) / len(drawn)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.05)
