"""What lab 06 shows of its texts, its trainings and their bills."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from enterprise_lab import catalog, estimate
from enterprise_lab.course import finetuning
from enterprise_lab.data.clauses import Clause
from enterprise_lab.data.duplicates import Pair, near_duplicates
from enterprise_lab.data.splitting import leaked
from enterprise_lab.data.texts import Texts, labelled
from enterprise_lab.evaluation.bootstrap import Interval
from enterprise_lab.training.finetuning.recipe import FineTuning

SHAPE = catalog.model("all-MiniLM-L6-v2").shape
RECIPE = FineTuning(batch=4, sequence_length=64, epochs=3)
LENGTHS = np.random.default_rng(0).integers(5, 65, size=30)


def texts(count: int) -> Texts:
    words = [f"clause {n} says {'never ' * (n % 5)}this | *that* {n * n}" for n in range(count)]
    names = [("a", "b", "c")[n % 3] for n in range(count)]
    return labelled(words, names, [f"family {n % 10}" for n in range(count)])


def test_a_text_is_padded_to_no_less_than_it_has_and_alike_within_a_batch():
    padded = finetuning.padded_to(LENGTHS, RECIPE)
    assert (padded >= LENGTHS).all()
    assert (padded % 8 == 0).all()
    longest = finetuning.padded_to(LENGTHS, FineTuning(batch=30, sequence_length=64))
    assert set(longest) == {64}
    assert padded.sum() < longest.sum()
    alike = replace(RECIPE, padding="maximum", balanced_sampling=True)
    assert set(finetuning.padded_to(LENGTHS, alike)) == {alike.sequence_length}


def test_a_fine_tuning_is_estimated_for_its_padded_tokens_and_its_fullest_step():
    padded = finetuning.padded_to(LENGTHS, RECIPE)
    chip = catalog.accelerator("T4")
    found = finetuning.predicted(SHAPE, chip, RECIPE, padded)
    assert found.tokens == 3 * padded.sum()
    assert found.precision == "fp32"
    fullest = finetuning.fullest_bytes(SHAPE, chip, RECIPE, padded)
    assert fullest.value >= found.memory_bytes_per_device.value


def test_a_format_that_a_chip_lacks_is_replaced():
    recipe = FineTuning(batch=4, precision="bf16")
    found = finetuning.predicted(SHAPE, catalog.accelerator("V100-SXM2-16GB"), recipe, LENGTHS)
    assert found.precision == "fp16"


def test_a_short_training_is_billed_a_minute():
    row = finetuning.outlay(SHAPE, catalog.accelerator("T4"), RECIPE, LENGTHS, "g4dn.xlarge")
    minute = estimate.Estimate(60, "s", "a minute")
    assert row.seconds.value < 60
    assert row.on_demand_usd.value == pytest.approx(
        minute.value / 3600 * catalog.price("g4dn.xlarge").usd_per_hour
    )
    assert row.spot_usd.value < row.on_demand_usd.value


def test_where_no_price_is_known_none_is_made_up():
    row = finetuning.outlay(SHAPE, catalog.accelerator("T4"), RECIPE, LENGTHS, None)
    assert row.on_demand_usd is row.spot_usd is None


def test_what_is_prepared_leaks_nothing():
    kept, parts = finetuning.prepared(texts(90), seed=1)
    assert len(kept) == len(near_duplicates(texts(90).texts).kept)
    assert not len(leaked(kept, parts))
    families = [{kept.groups[row] for row in rows} for rows in (parts.train, parts.test)]
    assert not families[0] & families[1]


def test_fewer_are_among_more():
    many = finetuning.some(texts(60), 30, seed=0)
    assert set(finetuning.some(texts(60), 9, seed=0).texts) <= set(many.texts)
    assert len(finetuning.some(texts(60), 1000, seed=0)) == 60


def test_tables_keep_what_a_text_says_from_being_markdown():
    clause = Clause("one | two *three* <b>", "grant", "GRANT", "mit", "mit")
    shown = finetuning.samples([clause], ["grant"], seed=0).data
    assert "one \\| two \\*three\\* &lt;b>" in shown


def test_copies_stand_side_by_side():
    shown = finetuning.copies(texts(12), Pair(0, 10, 0.75)).data
    assert "75% the same" in shown
    assert shown.count("family 0") == 2


def test_the_surest_mistake_comes_first_and_what_is_right_not_at_all():
    some = texts(3)
    sure = np.array([[0.1, 0.9, 0.0], [0.0, 1.0, 0.0], [0.6, 0.2, 0.2]])
    lines = finetuning.mistakes(some, sure, 5).data.splitlines()[2:]
    assert [line.split("|")[2].strip() for line in lines] == ["90%", "60%"]


def test_a_score_is_kept_with_its_interval():
    kept = finetuning.measured(Interval(0.5, 0.4, 0.6, 100))
    assert (kept.value, kept.low, kept.high, kept.n) == (0.5, 0.4, 0.6, 100)
