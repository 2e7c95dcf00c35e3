"""Efficiencies come from published rows, and never from the row they are to predict."""

import pytest

from enterprise_lab import catalog, estimate
from enterprise_lab.errors import LabError


def test_a_row_above_the_peak_is_marked_suspect():
    for run in catalog.published_pretraining():
        assert run.suspect or estimate.run_efficiency(run) < 1


def test_one_row_by_hand():
    # BERT-large on one A100: 580 sequences of 128 tokens a second; 6ND alone makes 149 TFLOP/s.
    run = next(
        r
        for r in catalog.published_pretraining()
        if (r.accelerator, r.devices, r.precision, r.sequences_per_second)
        == ("A100-SXM4-80GB", 1, "fp16", 580)
    )
    without_embeddings = 335_141_888 - 31_254_528 - 524_288 - 2_048
    products = 6 * without_embeddings * 128 * 580 / 312e12
    assert estimate.run_efficiency(run) == pytest.approx(products, rel=0.05)


def test_rows_of_the_same_chip_and_length_are_preferred():
    found = estimate.published_efficiency("A100-SXM4-40GB", "fp16", 128)
    assert "on A100" in found.source
    assert found.low <= found.value <= found.high
    assert found != estimate.published_efficiency("A100-SXM4-40GB", "fp16", 512)


def test_other_chips_stand_in_and_the_source_says_so():
    assert "none published for A10G" in estimate.published_efficiency("A10G", "fp16", 128).source


def test_suspect_rows_and_rows_left_out_have_no_say():
    runs = list(catalog.published_pretraining())
    absurd = [
        r.model_copy(update={"sequences_per_second": r.sequences_per_second * 1000})
        if r.suspect or r.framework.startswith("PyTorch")
        else r
        for r in runs
    ]
    without = [r for r in absurd if not r.framework.startswith("PyTorch")]
    honest = [r for r in runs if not r.framework.startswith("PyTorch")]
    arguments = ("A100-SXM4-80GB", "fp16", 128)
    assert estimate.published_efficiency(*arguments, without) == estimate.published_efficiency(
        *arguments, honest
    )


def test_what_a_chip_lacks_and_lengths_that_cannot_be_are_refused():
    with pytest.raises(LabError, match="V100"):
        estimate.published_efficiency("V100-SXM2-16GB", "bf16", 128)
    with pytest.raises(LabError, match="sequence_length"):
        estimate.published_efficiency("A100-SXM4-40GB", "fp16", -1)


def test_no_rows_is_said():
    with pytest.raises(LabError, match="efficiency of your own"):
        estimate.published_efficiency("H100-SXM5-80GB", "fp8", 128)
