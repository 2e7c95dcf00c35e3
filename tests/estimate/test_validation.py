from functools import cache

import numpy as np
import pytest

from enterprise_lab.commands.observed import memory_peaks, observed
from enterprise_lab.estimate.calibration import calibration
from enterprise_lab.estimate.fitting import PRIORS, fit
from enterprise_lab.estimate.intervals import families
from enterprise_lab.estimate.validation import (
    cross_validate,
    family_of,
    held_out,
    impossible,
    scores,
    worst_rows,
)

TARGETS = {"LLM training": 0.10, "encoder training": 0.15, "CNN training": 0.20,
           "encoder inference": 0.30, "batched generation": 0.15, "memory": 0.10}  # fmt: skip
"""Largest median errors that the kit promises."""


@cache
def everything():
    return {rows.family: rows for rows in observed()}


def test_what_ships_is_what_a_new_fit_gives():
    fitted = fit(list(everything().values()), start=calibration())
    for name in PRIORS:
        assert fitted.figures[name] == pytest.approx(calibration().figures[name], rel=0.03), name


def test_every_usable_row_is_among_the_held_out_with_what_was_observed():
    stored = {(row.family, row.id): row for row in held_out()}
    for rows in (*everything().values(), memory_peaks()):
        for number, row in enumerate(rows.rows):
            found = stored.pop((rows.family, row.id))
            assert found.observed == pytest.approx(rows.observed[number], rel=1e-3)
            assert found.fold == rows.folds[number]
    assert not stored


@pytest.mark.parametrize("family", ["prefill", "CNN training"])
def test_held_out_predictions_are_made_again_from_the_rows(family):
    sets = list(everything().values())
    index = [rows.family for rows in sets].index(family)
    rows = sets[index]
    fold = rows.folds[0]
    here = np.array([its == fold for its in rows.folds])
    usable = [~here if i == index else None for i in range(len(sets))]
    predicted = rows.predict(fit(sets, usable, calibration()))[here]
    stored = [row.predicted for row in held_out() if row.family == family and row.fold == fold]
    assert predicted == pytest.approx(np.array(stored), rel=0.03)


@pytest.mark.parametrize("family", ["prefill", "batched generation", "CNN inference"])
def test_a_row_never_enters_its_own_prediction(family, monkeypatch):
    rows = everything()[family]
    before = cross_validate([rows], calibration())
    perturbed = rows.observed.copy()
    perturbed[0] *= 3
    monkeypatch.setitem(vars(rows), "observed", perturbed)
    after = cross_validate([rows], calibration())
    assert after[0].observed == pytest.approx(3 * before[0].observed)
    for old, new in zip(before, after, strict=True):
        assert (new.predicted == old.predicted) == (old.fold == before[0].fold), old.id


def test_the_stored_families_are_those_of_the_held_out_rows():
    stored = held_out()
    for rows in (*everything().values(), memory_peaks()):
        own = [row for row in stored if row.family == rows.family]
        found, shipped = family_of(rows, own), families()[rows.family]
        assert (found.rows, found.sources, found.ways) == (
            shipped.rows, shipped.sources, shipped.ways
        )  # fmt: skip
        assert found.spread == pytest.approx(shipped.spread, rel=0.02)
        assert found.scale == pytest.approx(shipped.scale, rel=0.02)


@pytest.mark.parametrize(("family", "target"), TARGETS.items())
def test_median_errors_keep_what_is_promised(family, target):
    found = {score.family: score for score in scores(held_out())}
    assert found[family].median <= target


def test_intervals_hold_about_four_in_five_of_all_rows():
    covered = [row.covered for row in held_out()]
    assert 0.75 <= np.mean(covered) <= 0.85


def test_impossible_rows_are_listed_and_used_nowhere():
    ids = {row.id for row in impossible()}
    assert {"tp0290", "tp0292", "tp1344"} == ids
    assert not ids & {row.id for row in held_out()}


def test_worst_rows_are_by_factor_either_way():
    worst = worst_rows(held_out(), 5)
    largest = sorted((abs(row.residual) for row in held_out()), reverse=True)[:5]
    assert [abs(row.residual) for row in worst] == largest
