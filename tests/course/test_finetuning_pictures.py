"""What the pictures of fine-tuning contain."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from enterprise_lab.course import finetuning_pictures as draw
from enterprise_lab.estimate import Estimate
from enterprise_lab.evaluation.bootstrap import Interval
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.measure.timing import Measurement

LENGTHS = [10, 60, 12, 50]
PADDED = {"to the longest": [64] * 4, "bucketed": [16, 64, 16, 64]}


def clocked(value, unit):
    return Measurement(value, unit, 0.9 * value, 1.1 * value, 20)


def guessed(value, unit):
    return Estimate(value, unit, "a guess", 0.5 * value, 2 * value)


def scored(value):
    return Interval(value, value - 0.05, value + 0.05, 80)


METHODS = {
    "full": draw.Method(scored(0.76), clocked(300, "s"), clocked(2e9, "B"), 9e7),
    "LoRA": draw.Method(scored(0.75), clocked(250, "s"), clocked(1e9, "B"), 3e5),
    "majority": draw.Method(scored(0.06), None, None, None),
}
MEASURES = {
    "plain": draw.Measure(clocked(2000.0, "tokens/s"), 2e9),
    "bf16": draw.Measure(clocked(3000.0, "tokens/s"), 1e9),
    "bucketing": draw.Measure(clocked(2500.0, "tokens/s"), None),
}
SCORES = {8: {1e-4: scored(0.7), 3e-4: scored(0.6)}, 32: {1e-4: scored(0.5), 3e-4: scored(0.65)}}
LOSSES = [(step, 3 / step) for step in range(1, 11)]
LIVES = [LOSSES[:6], LOSSES[4:]]
OUTLAYS = [
    draw.Outlay("this machine", clocked(600, "s"), clocked(0.02, "USD"), None),
    draw.Outlay("g5.xlarge", guessed(60, "s"), guessed(0.01, "USD"), guessed(0.004, "USD")),
]


def words(figure):
    """Return all that is written in a figure."""
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(plt.Text))


def marked(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def test_axes_are_labelled_and_every_origin_is_said():
    drawn = [
        (draw.padding_by_batching(LENGTHS, PADDED), {Origin.MEASURED}),
        (draw.methods_compared(METHODS), {Origin.MEASURED}),
        (draw.measures_compared(MEASURES), {Origin.MEASURED}),
        (draw.sensitivity(SCORES), {Origin.MEASURED}),
        (draw.interruption(LOSSES, LIVES), {Origin.MEASURED}),
        (draw.minutes_and_dollars(OUTLAYS), {Origin.MEASURED, Origin.ESTIMATED}),
    ]
    for figure, origins in drawn:
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert "origin:" in figure.get_supxlabel()
        said = words(figure)
        assert {origin for origin in Origin if origin in said} == origins
        assert figure.get_figwidth() == 7.5


def test_padding_is_the_area_between_the_tokens_and_the_words():
    figure = draw.padding_by_batching(LENGTHS, PADDED)
    (tokens, text), (bucketed, _) = ([p.get_data().values for p in a.patches] for a in figure.axes)
    assert list(tokens) == [64] * 4
    assert list(text) == [10, 12, 50, 60]
    assert list(bucketed) == [16, 16, 64, 64]
    said = words(figure)
    for part in ("48 % padding\nof 256 tokens", "18 % padding\nof 160 tokens"):
        assert part in said


def test_steps_of_many_texts_keep_the_area():
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 200, 1000)
    (axes,) = draw.padding_by_batching(lengths, {"to 200": [200] * 1000}).axes
    values = axes.patches[1].get_data().values
    assert len(values) == 50
    assert np.mean(values) == pytest.approx(lengths.mean())
    assert all(np.diff(values) >= 0)


def test_methods_show_what_they_have():
    figure = draw.methods_compared(METHODS)
    quality, time, memory, storage = figure.axes
    assert [line.get_xdata()[0] for line in marked(quality, "o")] == [0.76, 0.75, 0.06]
    assert list(quality.lines[0].get_xdata()) == pytest.approx([0.71, 0.81])
    assert [bar.get_width() for bar in time.patches] == [300, 250]
    assert [bar.get_width() for bar in memory.patches] == [2e9, 1e9]
    assert storage.get_xscale() == "log"
    said = words(figure)
    for part in ("0.760", "majority", "5 minutes", "2 GB", "300 kB", "95 % interval"):
        assert part in said


def test_measures_are_held_against_the_plain_run():
    rate, memory = draw.measures_compared(MEASURES).axes
    assert [bar.get_width() for bar in rate.patches] == [1, 1.5, 1.25]
    assert [bar.get_width() for bar in memory.patches] == [1, 0.5]
    assert any(set(line.get_xdata()) == {1} for line in rate.lines)
    said = words(rate.figure)
    for part in ("1.50: 3,000/s", "0.50: 1 GB", "times the plain run's"):
        assert part in said


def test_sensitivity_has_a_line_a_batch_and_a_star_on_its_best():
    (axes,) = draw.sensitivity(SCORES).axes
    assert axes.get_xscale() == "log"
    assert [line.get_xdata()[0] for line in marked(axes, "*")] == [1e-4, 3e-4]
    assert len(marked(axes, "o")) == len(axes.collections) == 2
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1e-4", "3e-4"]


def test_a_kill_is_marked_and_what_is_done_again():
    figure = draw.interruption(LOSSES, LIVES)
    (cross,) = marked(figure.axes[0], "X")
    assert list(cross.get_xdata()) == [6]
    said = words(figure)
    for part in ("killed after step 6;\nsteps 5 to 6 done again", "to the bit", "start 2: steps 5"):
        assert part in said


def test_a_resumed_run_that_strays_is_not_said_to_agree():
    strays = [LOSSES[:6], [(step, loss + 0.002) for step, loss in LOSSES[6:]]]
    said = words(draw.interruption(LOSSES, strays))
    assert "to the bit" not in said
    assert "to within 0.002" in said
    assert "nothing done again" in said


def test_machines_show_minutes_and_both_prices_and_what_is_estimated_is_hollow():
    figure = draw.minutes_and_dollars(OUTLAYS)
    time, dollars = figure.axes
    assert [line.get_xdata()[0] for m in "oD" for line in marked(time, m)] == [10, 1]
    assert [line.get_xdata()[0] for line in marked(dollars, "D")] == [0.01, 0.004]
    assert {line.get_markerfacecolor() for line in marked(dollars, "D")} == {"white"}
    assert list(time.lines[2].get_xdata()) == [0.5, 2]
    said = words(figure)
    for part in ("on demand", "spot", "minutes, log scale", "USD, log scale", "80 % interval"):
        assert part in said


def test_a_recorded_figure_has_its_own_mark():
    there = Record(lab="06", metric="seconds", value=30.0, unit="s", origin=Origin.RECORDED)
    figure = draw.minutes_and_dollars([draw.Outlay("an H200", there, None, None), *OUTLAYS])
    assert [line.get_xdata()[0] for line in marked(figure.axes[0], "s")] == [0.5]
    assert "origin: measured, recorded, estimated" in figure.get_supxlabel()
