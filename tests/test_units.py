"""Figures as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import units


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123, "12.3 ms"),
        (59, "59 s"),
        (95, "1.58 minutes"),
        (7200, "2 hours"),
        (100_000, "27.8 hours"),
        (3e6, "34.7 days"),
        (1e9, "31.7 years"),
        (0, "0 s"),
    ],
)
def test_seconds(value, text):
    assert units.format_seconds(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (17.179869184e9, "B", "17.2 GB"),
        (999.9e9, "FLOP/s", "1 TFLOP/s"),
        (12.345, "USD", "$12.35"),
        (123_456, "USD", "$123,456"),
        (0.4321, "1", "0.432"),
        (109_482_240, "1", "109 M"),
    ],
)
def test_figures(value, unit, text):
    assert units.format_figure(value, unit) == text


def test_a_range_keeps_the_unit_of_its_value():
    assert units.format_range(100_000, 80_000, 300_000, "s") == "22.2 to 83.3 hours"
    assert units.format_range(1, None, None, "s") == ""


@given(st.floats(1e-9, 1e24))
def test_si_keeps_three_digits(value):
    number, _, unit = units.format_si(value, "B").partition(" ")
    factor = {"Y": 1e24, "Z": 1e21, "E": 1e18, "P": 1e15, "T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3,
              "": 1, "m": 1e-3, "µ": 1e-6, "n": 1e-9}[unit.removesuffix("B")]  # fmt: skip
    assert float(number) * factor == pytest.approx(value, rel=0.006)
    assert 0.99 <= float(number) < 1000
