from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from enterprise_lab.batch.reports import noise

probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@given(probabilities)
def test_adjusting_keeps_the_order_and_never_makes_surer(ps: list[float]) -> None:
    for adjust in (noise.holm, noise.benjamini_hochberg):
        adjusted = adjust(ps)
        assert all(p - 1e-9 <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
        order = np.argsort(ps)
        assert np.all(np.diff(np.array(adjusted)[order]) >= -1e-9)


@given(probabilities)
def test_benjamini_and_hochberg_agree_with_scipy(ps: list[float]) -> None:
    assert noise.benjamini_hochberg(ps) == pytest.approx(stats.false_discovery_control(ps))


def test_holm_by_hand() -> None:
    assert noise.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_the_test_of_all_pairs_is_students() -> None:
    changes = [0.1, 0.3, -0.1, 0.2, 0.25]

    found = noise.overall(changes, [None] * 5)

    known = stats.ttest_1samp(changes, 0)
    assert found.p == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval()))


def test_repeats_are_judged_by_welch() -> None:
    before, after = [1.0, 1.1, 0.9], [1.3, 1.5, 1.2, 1.6]

    spread = noise.of_repeats(before, after)
    assert spread is not None
    found = noise.overall([np.mean(after) - np.mean(before)], [spread])

    assert found.p == pytest.approx(stats.ttest_ind(before, after, equal_var=False).pvalue)


def test_the_wider_of_two_spreads_judges_a_pair() -> None:
    wide, narrow = noise.Spread(1.0, 20), noise.Spread(0.001, 20)
    changes = [0.5, 0.01, -0.01, 0.02, 0.0]

    assert noise.each(changes, [wide, *[None] * 4])[0].p > 0.5
    by_others = noise.each(changes, [None] * 5)[0].p
    assert noise.each(changes, [narrow, *[None] * 4])[0].p == by_others < 0.001
