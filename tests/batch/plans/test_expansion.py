from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.batch.plans.expansion import MAX_RUNS, exclusion_problems, expand, too_many
from enterprise_lab.batch.plans.schema import Entry


def entry(**keys: Any) -> Entry:
    return Entry.model_validate({"notebook": "a.ipynb", **keys})


def test_expansion_is_the_product_of_the_matrix_in_the_files_order() -> None:
    assert expand(entry(parameters={"x": 1}, matrix={"y": [1, 2], "z": ["u", "v"]})) == [
        {"x": 1, "y": 1, "z": "u"},
        {"x": 1, "y": 1, "z": "v"},
        {"x": 1, "y": 2, "z": "u"},
        {"x": 1, "y": 2, "z": "v"},
    ]
    assert expand(entry()) == [{}]


def test_a_set_gives_several_parameters_at_once() -> None:
    sets = {"small": {"w": 8, "b": 32}, "large": {"w": 128, "b": 512}, "usual": {}}

    assert expand(entry(matrix={"d": ["cpu", "cuda"]}, sets=sets)) == [
        {"d": device, **values} for device in ("cpu", "cuda") for values in sets.values()
    ]


def test_exclusions_leave_out_what_has_all_their_values() -> None:
    found = expand(
        entry(
            matrix={"d": ["cpu", "cuda"]},
            sets={"small": {"w": 8}, "large": {"w": 128}},
            exclude=[{"d": "cpu", "w": 128}],
        )
    )

    assert found == [{"d": "cpu", "w": 8}, {"d": "cuda", "w": 8}, {"d": "cuda", "w": 128}]


@pytest.mark.parametrize(
    ("left_out", "told"),
    [({"y": 1}, "y is in no matrix"), ({"x": 3}, "nothing is left out"), ({"f": 1}, "nothing")],
)
def test_exclusions_that_leave_nothing_out_are_told(left_out: dict[str, Any], told: str) -> None:
    one = entry(matrix={"x": [1, 2], "f": [True, False]}, exclude=[{"x": 1}, left_out])

    ((position, error),) = exclusion_problems(one)

    assert position == 1
    assert told in error.problem


def test_a_matrix_that_got_out_of_hand_is_refused_before_it_is_expanded() -> None:
    endless = entry(matrix={f"p{n}": list(range(1000)) for n in range(12)})

    error = too_many([endless])

    assert error
    assert "is the most" in error.problem
    assert too_many([entry(matrix={"x": list(range(MAX_RUNS))})]) is None


@given(
    matrix=st.dictionaries(
        st.sampled_from("abc"), st.lists(st.integers(0, 5), min_size=1, unique=True), min_size=1
    ),
    left_out=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 5), min_size=1), min_size=1
    ),
)
def test_what_is_left_is_the_product_without_what_matches(
    matrix: dict[str, list[int]], left_out: list[dict[str, int]]
) -> None:
    whole = expand(entry(matrix=matrix))
    some = expand(entry(matrix=matrix, exclude=left_out))

    assert some == [
        cell for cell in whole if not any(out.items() <= cell.items() for out in left_out)
    ]
