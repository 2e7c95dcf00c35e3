"""What a value has to be, and what refuses it."""

from fractions import Fraction

import numpy as np
import pytest

from enterprise_lab.errors import (
    InvalidValueError,
    UnknownNameError,
    require_finite,
    require_flag,
    require_kind,
    require_not_negative,
    require_one_of,
    require_positive,
    require_share,
    require_whole,
)

NO_NUMBERS = [None, "8", [1], {}, True, 1j, float("nan"), float("inf"), -float("inf"), 10**400,
              np.nan, np.array([1, 2]), np.bool_(True)]  # fmt: skip
NUMBER_CHECKS = (require_positive, require_not_negative, require_share, require_finite)


@pytest.mark.parametrize("check", NUMBER_CHECKS)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_by_name(check, value):
    with pytest.raises(InvalidValueError, match="size must be"):
        check(size=value)


@pytest.mark.parametrize(
    ("check", "taken", "refused"),
    [
        (require_positive, [1, 0.5, 10**300, np.float32(2), np.int8(3), Fraction(1, 3)], [0, -1]),
        (require_not_negative, [0, 0.0, np.int64(7)], [-1e-9, np.int64(-1)]),
        (require_share, [0, 1, 0.5, np.float64(0.25)], [-0.1, 1.1]),
        (require_finite, [0, -3, 2.5], []),
    ],
)
def test_numbers_have_bounds(check, taken, refused):
    check(**{f"value{i}": value for i, value in enumerate(taken)})
    for value in refused:
        with pytest.raises(InvalidValueError):
            check(value=value)


@pytest.mark.parametrize("value", [5, np.int64(5), np.uint8(5)])
def test_whole_numbers_of_numpy_become_ints(value):
    whole = require_whole("size", value, 5)
    assert (whole, type(whole)) == (5, int)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 5.0, 6, 0, np.int64(-1)], ids=repr)
def test_what_is_no_whole_number_in_bounds_is_refused(value):
    with pytest.raises(InvalidValueError, match="from 1 to 5"):
        require_whole("size", value, 5)


@pytest.mark.parametrize("value", [None, 0, 1, "yes", [], np.array([True])], ids=repr)
def test_flags_are_true_or_false(value):
    require_flag(fused=True, tied=False)
    with pytest.raises(InvalidValueError, match="tied must be True or False"):
        require_flag(fused=True, tied=value)


@pytest.mark.parametrize("value", ["c", None, [], {}, ({},), np.array(["a", "b"])], ids=repr)
def test_a_choice_is_one_of_those_known(value):
    require_one_of("way", "a", {"a": 1, "b": 2})
    with pytest.raises(InvalidValueError, match="way must be one of a, b"):
        require_one_of("way", value, ("a", "b"))


def test_a_kind_comes_with_an_example():
    require_kind("plan", None, int | None, "3")
    with pytest.raises(InvalidValueError, match=r"plan can't be '8'.*such as 3"):
        require_kind("plan", "8", int | None, "3")


def test_few_names_are_all_shown_and_of_many_the_nearest():
    few = [f"model{i}" for i in range(20)]
    assert all(name in UnknownNameError("model", "vit", few).remedy for name in few)
    many = UnknownNameError("model", "model 33", [f"model {i}" for i in range(100)]).remedy
    assert "model 33" in many
    assert many.count(",") == 5
