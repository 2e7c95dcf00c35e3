"""Preflight, records, the what-if panel and the pictures."""

import html
import importlib
import json
from typing import ClassVar

import numpy as np
import pytest

from enterprise_lab import catalog, costing, course, estimate, labs
from enterprise_lab.course import fit, pictures, time_pictures
from enterprise_lab.course.what_if import WhatIf
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.validation import HeldOut, held_out
from enterprise_lab.labs import LABS
from enterprise_lab.measure import calibrate, records
from enterprise_lab.measure.this_machine import this_machine
from enterprise_lab.measure.timing import Measurement

LAB = "01_compute_estimation"
BERT = catalog.model("bert-base-uncased").shape


def test_preflight_shows_this_machine_beside_the_needs():
    shown = course.preflight(LAB, "smoke")._repr_html_()
    for part in (
        "processor",
        "GPU",
        "memory",
        "disk",
        "computing",
        "(estimated)",
        "fits this machine",
    ):
        assert part in shown


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


def test_a_missing_package_is_said_before_anything_starts(monkeypatch):
    monkeypatch.setattr(labs, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(LabError, match="not installed: torch") as error:
        course.preflight("02_hardware_comparison")
    assert "[labs]" in error.value.remedy
    course.preflight(LAB)  # needs none


@pytest.mark.parametrize(
    ("chosen", "said"),
    [((), "digits: embedded"), (("movielens-100k",), "movielens-100k: to fetch")],
)
def test_preflight_says_whether_data_are_here(chosen, said, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert said in course.preflight("02_hardware_comparison", "smoke", *chosen)._repr_html_()


def test_every_lab_runs_in_seconds_and_in_full():
    for lab in LABS:
        assert {"smoke", "full"} <= set(lab.needs) <= {"smoke", "laptop", "full"}


def test_records_land_next_to_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    guess = estimate.Estimate(2.0, "s", "a test", 1.0, 3.0)
    clock = Measurement(2.5, "s", 2.4, 2.6, 7)
    shown = course.record(LAB, device="a chip", layer_seconds=[guess, clock])._repr_html_()
    assert "measured" in shown
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
    )


def test_the_panel_answers_and_each_slider_moves_the_figures():
    it = panel()
    answers = [it.answer]
    for slider, value in (
        (it.count, 4), (it.global_batch, 1024), (it.sequence_length, 512), (it.steps, 0.5),
    ):  # fmt: skip
        slider.value = value
        answers.append(it.answer)
    assert len(set(answers)) == 5
    assert "p4d.24xlarge" in answers[0]
    assert "4 x p4d.24xlarge" in answers[-1]


def test_the_panel_is_right():
    (option,) = costing.training_options(
        BERT, ["p4d.24xlarge"], sequence_length=128, global_batch=256, tokens=1e6 * 256 * 128
    )
    assert f"1 x p4d.24xlarge: {option.training.training_seconds}, {option.cost}" in panel().answer


def test_the_panel_leaves_out_what_cannot_be():
    it = panel()
    it.global_batch.value = 128
    it.count.value = 16
    assert "16 x p4d.24xlarge" in it.answer
    tight = WhatIf(BERT, ["p4d.24xlarge"], sequence_length=128, global_batch=100, steps=1000)
    assert "None of the instances" in tight.answer
    assert "doesn't divide over 8 devices" in html.unescape(tight.answer)
    assert len(tight._repr_mimebundle_()["image/png"]) > 10_000


def test_the_panel_is_a_picture_where_nobody_can_slide_it():
    bundle = panel()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert len(bundle["image/png"]) > 10_000
    assert "p4d.24xlarge" in bundle["text/plain"]


def test_pictures_have_labelled_axes_and_an_origin():
    options = costing.training_options(
        BERT, ["g5.12xlarge", "p4d.24xlarge"], sequence_length=128, global_batch=256, tokens=1e9
    )
    found = estimate.plans(
        BERT, devices=[1, 2], accelerator="A100-SXM4-40GB", global_batch=8, sequence_length=128,
        tokens=1e9,
    )  # fmt: skip
    guess, clock = estimate.Estimate(1, "s", ""), Measurement(2, "s", 1.9, 2.1, 5)
    drawn = [
        pictures.parameter_shares({"bert": BERT}),
        pictures.flops_by_length(BERT, [128, 512], predicted_share=1),
        pictures.memory_by_batch(
            BERT, [1, 8], sequence_length=128, predicted_share=1, devices={"a": 16e9}
        ),
        pictures.predicted_beside_measured({"a layer": (guess, clock)}),
        pictures.validation_picture(held_out()),
        time_pictures.step_terms(options),
        time_pictures.shares_of_peak([time_pictures.Share("a", "b", 128, 0.4, 0.3)]),
        time_pictures.time_and_cost(options, deadline_seconds=3600, budget_usd=100),
        time_pictures.plan_front({"A100": found}),
        time_pictures.what_if({1: options, 2: options}, 1),
    ]
    for figure in drawn:
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert "origin:" in figure.get_supxlabel()


def bars(figure):
    return [
        segment[:, 0] for axes in figure.axes for lines in axes.collections
        for segment in lines.get_segments() if len(segment) and np.ptp(segment[:, 0]) > 0
    ]  # fmt: skip


def test_whiskers_reach_to_the_ends_of_the_interval():
    options = costing.training_options(
        BERT, ["p4d.24xlarge"], sequence_length=128, global_batch=256, tokens=1e9
    )
    (option,) = options
    step, run = option.training.step_seconds, option.training.training_seconds
    (drawn,) = bars(time_pictures.step_terms(options))
    assert sorted(drawn) == pytest.approx([step.low * 1e3, step.high * 1e3])
    (drawn,) = bars(time_pictures.time_and_cost(options))
    assert sorted(drawn) == pytest.approx([run.low / 3600, run.high / 3600])


def test_a_step_is_all_of_its_terms_whatever_they_are_called():
    kinds = {term for terms in time_pictures._STEP.values() for term in terms}
    everything = estimate.training(
        catalog.model("gpt2").shape, sequence_length=1024, global_batch=64,
        accelerator="A100-SXM4-80GB", samples_per_second=1.0,
        plan=estimate.Plan(
            data=2, tensor=2, pipeline=2, context=2, recompute="full", flash_attention=True
        ),
        checkpoints=estimate.Checkpoints(10, 1e9),
    )  # fmt: skip
    assert set(everything.step_terms) == kinds


def held(family, observed, predicted):
    return HeldOut(
        id=f"{family}{observed}", family=family, fold="a", what="a test", unit="s", source="a test",
        observed=observed, predicted=predicted, low=predicted / 1.2, high=predicted * 1.2,
    )  # fmt: skip


def test_the_validation_picture_sorts_rows_by_family_and_by_whether_their_interval_holds():
    rows = [held("one", 1.0, 1.1), held("one", 2.0, 3.0), held("two", 3.0, 3.0)]
    figure = pictures.validation_picture(rows)
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["one", "two"]
    assert "2 rows" in figure.axes[0].get_title()
    assert "50 % inside" in figure.axes[0].get_title()
    inside, outside = figure.axes[0].containers
    assert list(inside.lines[0].get_xdata()) == [1.0]
    assert list(outside.lines[0].get_xdata()) == [2.0]


def test_preflight_takes_the_calibrated_rate_where_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calibrate.keep(records.recorded("cpu_rates"))
    best = this_machine().peak_flops("fp32")
    assert fit.look()[1] == best
    assert course.preflight(LAB, "smoke").matmul_flops_per_second == best


def test_sentences_keep_their_dollars():
    said = course.say("from $5 to $10").data
    assert "$" not in said
    assert said.count("&#36;") == 2


def test_the_code_of_the_package_can_be_shown():
    shown = course.source(fit.look, course.Exercise.__call__)
    assert shown.data.startswith("def look() ->")
    assert "\n\n\ndef __call__(self, answer" in shown.data
    assert shown.language == "python"


def test_progress_is_shown_while_it_lasts(monkeypatch):
    class Display:
        shown: ClassVar[list[str]] = []

        def update(self, text):
            self.shown.append(text.data)

    module = importlib.import_module("enterprise_lab.course.progress")
    monkeypatch.setattr(module, "display", lambda *_, **__: Display())
    with course.progress() as tell:
        tell("half of it", 0.5)
        tell("more than all", 1.7)
    assert Display.shown == [
        f"`{'█' * 10}{'░' * 10}` half of it",
        f"`{'█' * 20}` more than all",
        "",
    ]
