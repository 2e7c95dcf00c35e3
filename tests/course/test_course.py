"""Preflight, records, the what-if panel and the pictures."""

import json

import pytest

from enterprise_lab import catalog, costing, course, estimate
from enterprise_lab.course import fit, pictures
from enterprise_lab.course.labs import LABS
from enterprise_lab.course.what_if import WhatIf
from enterprise_lab.errors import LabError
from enterprise_lab.measure import records
from enterprise_lab.measure.timing import Measurement

LAB = "01_compute_estimation"
BERT = catalog.model("bert-base-uncased").shape


def test_preflight_shows_this_machine_beside_the_needs():
    html = course.preflight(LAB, "smoke")._repr_html_()
    for part in (
        "processor",
        "GPU",
        "memory",
        "disk",
        "computing",
        "(estimated)",
        "fits this machine",
    ):
        assert part in html


@pytest.mark.parametrize(("lab", "profile"), [("99_nothing", "smoke"), (LAB, "huge")])
def test_unknown_labs_and_profiles_are_errors(lab, profile):
    with pytest.raises(LabError):
        course.preflight(lab, profile)


@pytest.mark.parametrize("what", ["free_memory_bytes", "free_disk_bytes"])
def test_too_little_is_said_before_anything_starts(what, monkeypatch):
    real = fit.machine()
    poor = type(real)(**(vars(real) | {what: 1000}))
    monkeypatch.setattr(fit, "machine", lambda: poor)
    with pytest.raises(LabError, match=r"needs .* of (memory|disk space)"):
        course.preflight(LAB, "smoke")


def test_every_lab_has_both_profiles():
    for lab in LABS:
        assert set(lab.needs) == {"smoke", "full"}


def test_records_land_next_to_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guess = estimate.Estimate(2.0, "s", "a test", 1.0, 3.0)
    clock = Measurement(2.5, "s", 2.4, 2.6, 7)
    html = course.record(LAB, device="a chip", layer_seconds=[guess, clock])._repr_html_()
    assert "measured" in html
    kept = records.read(tmp_path / "records.jsonl")
    assert [(r.value, r.origin.value, r.n) for r in kept] == [
        (2.0, "estimated", None),
        (2.5, "measured", 7),
    ]


def test_a_broken_record_is_named(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text(json.dumps({"lab": LAB}) + "\n")
    with pytest.raises(LabError, match=r"records\.jsonl, line 1"):
        records.read(path)


def panel():
    return WhatIf(
        BERT,
        ["g5.12xlarge", "p4d.24xlarge"],
        sequence_length=128,
        global_batch=256,
        steps=1_000_000,
        efficiency=0.3,
    )


def test_the_panel_answers_and_its_sliders_move_the_figure():
    it = panel()
    before = it.answer
    it.efficiency.value = 15
    slower = it.answer
    it.sequence_length.value = 512
    assert len({before, slower, it.answer}) == 3
    assert "p4d.24xlarge" in before


def test_the_panel_is_right():
    it = panel()
    e = estimate.training(
        BERT,
        sequence_length=128,
        global_batch=256,
        accelerator="A100-SXM4-40GB",
        efficiency=estimate.Efficiency(0.3, "a test"),
        plan=estimate.Plan(data=8),
        tokens=1e6 * 256 * 128,
    )
    cost = costing.on_demand(e.training_seconds, "p4d.24xlarge")
    assert f"p4d.24xlarge: {e.training_seconds}, {cost}" in it.answer


def test_the_panel_is_a_picture_where_nobody_can_slide_it():
    bundle = panel()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert len(bundle["image/png"]) > 10_000
    assert "p4d.24xlarge" in bundle["text/plain"]


def test_pictures_have_labelled_axes_and_an_origin():
    options = costing.training_options(
        BERT, ["g5.12xlarge", "p4d.24xlarge"], sequence_length=128, global_batch=256, tokens=1e9
    )
    guess, clock = estimate.Estimate(1, "s", ""), Measurement(2, "s", 1.9, 2.1, 5)
    drawn = [
        pictures.parameter_shares({"bert": BERT}),
        pictures.flops_by_length(BERT, [128, 512], predicted_share=1),
        pictures.memory_by_batch(
            BERT, [1, 8], sequence_length=128, predicted_share=1, devices={"a": 16e9}
        ),
        pictures.efficiencies(catalog.published_pretraining()),
        pictures.time_and_cost(options, deadline_seconds=3600, budget_usd=100),
        pictures.predicted_and_published([{"framework": "a", "published": 9, "predicted": 10}]),
        pictures.predicted_beside_measured({"a layer": (guess, clock)}),
        pictures.what_if({"a": [(1, 2), (3, 4)]}, [0.1, 0.2], 0.1),
    ]
    for figure in drawn:
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert "origin:" in figure.get_supxlabel()


def test_sentences_keep_their_dollars():
    said = course.say("from $5 to $10").data
    assert "$" not in said
    assert said.count("&#36;") == 2
