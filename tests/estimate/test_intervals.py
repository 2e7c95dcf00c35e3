from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.estimate.intervals import NOVELTY, ONE_FOLD, Case, Family, families

SEEN = Case(1e8, 512, 8, "A100-SXM4-80GB", "bf16", frozenset({"full recomputation"}))


def family(residuals, folds, cases=None):
    number = len(residuals)
    return Family.of("rows", cases or [SEEN] * number, residuals, folds, ["somebody"] * number)


def test_an_interval_holds_four_in_five_of_rows_of_many_alike_folds():
    rng = np.random.default_rng(0)
    residuals, folds = rng.normal(0, 0.2, 2000).tolist(), [f"{i % 20}" for i in range(2000)]
    low, high = family(residuals, folds).bounds(SEEN)
    inside = np.mean([low <= np.exp(r) <= high for r in rng.normal(0, 0.2, 2000)])
    assert inside == pytest.approx(0.8, abs=0.03)


def test_folds_that_differ_widen_an_interval_beyond_the_spread_within_them():
    rng = np.random.default_rng(2)
    middles = np.repeat(rng.normal(0, 0.3, 100), 5)
    residuals = (middles + rng.normal(0, 0.01, 500)).tolist()
    apart = family(residuals, [f"{i // 5}" for i in range(500)])
    unseen = rng.normal(0, 0.3, 1000)
    low, high = apart.bounds(SEEN)
    assert np.mean([low <= np.exp(r) <= high for r in unseen]) == pytest.approx(0.8, abs=0.08)


def test_rows_of_one_fold_say_little_of_others():
    assert family([0.1, -0.1, 0.2], ["a"] * 3).scale == ONE_FOLD


@pytest.mark.parametrize(
    "new",
    [
        replace(SEEN, accelerator="T4"),
        replace(SEEN, precision="fp8"),
        replace(SEEN, parameters=1e12),
        replace(SEEN, parameters=1e6),
        replace(SEEN, length=131072),
        replace(SEEN, devices=4096),
        replace(SEEN, ways=SEEN.ways | {"a pipeline"}),
    ],
)
def test_extrapolation_is_wider_and_says_so(new):
    rows = family([0.1, -0.1, 0.2, -0.2], ["a", "b", "c", "d"])
    assert rows.half_width(new) > rows.half_width(SEEN)
    assert "extrapolates" in rows.leans_on(new)
    assert "extrapolates" not in rows.leans_on(SEEN)


def test_each_new_thing_counts_as_much_as_novelty():
    exact = family([1e-9] * 4, ["a", "b", "c", "d"])
    once = replace(exact, scale=1.0)
    two = replace(SEEN, accelerator="T4", precision="fp8")
    assert once.half_width(two) == pytest.approx(NOVELTY * 2**0.5)


@given(st.floats(1e3, 1e14), st.floats(1, 1e6), st.floats(1, 1e6))
def test_the_value_lies_inside_and_more_doublings_are_never_narrower(parameters, length, devices):
    case = replace(SEEN, parameters=parameters, length=length, devices=devices)
    for rows in families().values():
        low, high = rows.bounds(case)
        assert low < 1 < high
        further = replace(case, parameters=max(case.parameters, rows.parameters[1]) * 2)
        if parameters >= rows.parameters[0]:
            assert rows.half_width(further) >= rows.half_width(case)


def test_every_family_says_which_rows_it_leans_on():
    for rows in families().values():
        assert rows.rows > 0
        assert str(rows.rows) in rows.leans_on(SEEN)
        assert all(source in rows.leans_on(SEEN) for source in rows.sources)
