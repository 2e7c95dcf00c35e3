"""What labs need, for the notebooks' preflight and for batches."""

from __future__ import annotations

import pytest

from enterprise_lab import labs
from enterprise_lab.errors import LabError
from enterprise_lab.labs import LABS, Needs, lab, lab_of


def test_every_lab_is_found_by_its_folder_and_by_its_notebooks() -> None:
    for known in LABS:
        assert lab(known.folder) is known
        for place in ("solutions", "labs", "/somewhere/labs"):
            assert lab_of(f"{place}/{known.folder}/anything.ipynb") is known
    assert lab_of("notebooks/mine.ipynb") is None
    assert lab_of("mine.ipynb") is None


def test_unknown_labs_and_profiles_are_errors() -> None:
    with pytest.raises(LabError, match="called '99_nothing'"):
        lab("99_nothing")
    with pytest.raises(LabError, match="no profile 'huge'"):
        LABS[0].needs_with({"profile": "huge"})


def test_seconds_are_fixed_ones_and_those_of_the_operations() -> None:
    assert Needs(0, 0, fixed_seconds=3, flops=1e12).seconds(5e11) == 5


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labs, "find_spec", lambda name: None if name == "jax" else object())

    lack = lab("02_hardware_comparison").lack
    assert lack
    assert "not installed: jax" in lack.problem
    assert lab("01_compute_estimation").lack is None


@pytest.mark.parametrize("width", [None, "wide", 0, -4, True])
def test_a_width_that_is_none_changes_nothing(width: object) -> None:
    known = lab("02_hardware_comparison")

    needs = known.needs_with({"width": width})
    assert needs.fixed_seconds == known.profile("smoke").fixed_seconds
    assert needs.flops <= known.profile("smoke").flops
