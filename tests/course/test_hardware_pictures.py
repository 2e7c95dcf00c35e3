"""What the pictures that compare hardware contain."""

import matplotlib.pyplot as plt
import pytest

from enterprise_lab.course import hardware_pictures as draw
from enterprise_lab.measure.records import Origin, recorded

MEASURED, RECORDED, PUBLISHED, ESTIMATED = (
    Origin.MEASURED, Origin.RECORDED, Origin.PUBLISHED, Origin.ESTIMATED,
)  # fmt: skip
ROOFS = {
    "here": draw.Roof(2e11, 5e10, MEASURED),
    "a GPU": draw.Roof(8e14, 4e12, PUBLISHED),
}
WORK = [
    draw.Point("convolution", 30.0, 1e11, MEASURED),
    draw.Point("on the GPU", 30.0, 6e13, ESTIMATED),
]
BARS = [
    draw.Bar("here", 2.0, 1.9, 2.2, MEASURED),
    draw.Bar("a GPU", 4.0, 2.0, 6.0, ESTIMATED),
]
RUNS = {
    "eager": draw.Run([(1.0, 0.5), (2.0, 0.9), (3.0, 0.96)], 0.1, MEASURED),
    "compiled": draw.Run([(4.0, 0.5), (5.0, 0.9)], 3.0, RECORDED),
}
CHIPS = {"here": draw.Chip(500.0, MEASURED), "a GPU": draw.Chip(20_000.0, PUBLISHED)}


def steps(overhead, per_image, origin):
    taken = [(n, overhead + n * per_image) for n in (1, 2, 4, 8, 16)]
    return draw.Steps([draw.Step(n, t, 0.9 * t, 1.1 * t) for n, t in taken], origin)


SERIES = {"here": steps(1, 5, MEASURED), "a GPU": steps(10, 0.5, ESTIMATED)}


def words(figure):
    """Return all that is written in a figure."""
    figure.canvas.draw()
    return "\n".join(text.get_text() for text in figure.findobj(plt.Text))


def lines(figure, marker):
    """Return the lines of axes drawn with a marker, and anything on them."""
    return [
        line for axes in figure.axes for line in axes.lines
        if line.get_marker() == marker and len(line.get_xdata())
    ]  # fmt: skip


def test_axes_are_labelled_and_every_origin_is_said():
    drawn = [
        (draw.rates_by_size(recorded("cpu_rates")), {RECORDED}),
        (draw.roofline(ROOFS, WORK), {MEASURED, PUBLISHED, ESTIMATED}),
        (draw.step_by_batch(SERIES), {MEASURED, ESTIMATED}),
        (draw.accuracy_curves(RUNS, 0.95), {MEASURED, RECORDED}),
        (draw.bars_by_origin(BARS, "USD", "cost"), {MEASURED, ESTIMATED}),
        (draw.pipeline_curve(CHIPS, 1e-3, [1, 2, 4]), {MEASURED, PUBLISHED, ESTIMATED}),
    ]
    for figure, origins in drawn:
        assert all(axes.get_xlabel() for axes in figure.axes)
        assert "origin:" in figure.get_supxlabel()
        said = words(figure)
        assert {origin for origin in Origin if origin in said} == origins
        assert figure.get_figwidth() == 7.5


def test_rates_have_one_line_for_each_library_and_precision():
    products, copies = draw.rates_by_size(recorded("cpu_rates")).axes
    assert [len(line.get_xdata()) for line in products.lines] == [5, 5, 5]
    assert [len(line.get_xdata()) for line in copies.lines] == [3, 3]
    assert (products.get_xscale(), products.get_yscale()) == ("log", "log")
    best = max(max(line.get_ydata()) for line in products.lines)
    assert 0.1 < best < 1  # TFLOP/s


def test_rates_measured_elsewhere_are_lines_of_their_own():
    here = recorded("cpu_rates")
    there = [one.model_copy(update={"device": "a GPU", "origin": Origin.MEASURED}) for one in here]
    figure = draw.rates_by_size([*here, *there])
    assert len(figure.axes[0].lines) == 6
    assert "a GPU: PyTorch, bf16" in words(figure)
    assert len(lines(figure, "o")) == len(lines(figure, "s")) == 5


def test_the_ridge_is_where_the_roof_bends():
    figure = draw.roofline(ROOFS, WORK)
    roof, ridge, *_ = figure.axes[0].lines
    assert ridge.get_xdata() == [4.0]
    assert list(roof.get_ydata())[1:] == pytest.approx([0.2, 0.2])
    said = words(figure)
    for part in ("ridge 4 FLOP/B", "ridge 200 FLOP/B", "convolution", "(published)"):
        assert part in said
    assert "FLOP/byte" in figure.axes[0].get_xlabel()
    assert "TFLOP/s" in figure.axes[0].get_ylabel()


def test_what_is_estimated_is_hollow():
    for figure in (draw.roofline(ROOFS, WORK), draw.step_by_batch(SERIES)):
        assert lines(figure, "D")
        assert {line.get_markerfacecolor() for line in lines(figure, "D")} == {"white"}
        assert "white" not in {line.get_markerfacecolor() for line in lines(figure, "o")}


def test_steps_show_time_and_images_and_where_they_cross():
    figure = draw.step_by_batch(SERIES, ("here", "a GPU"))
    left, right = figure.axes
    assert list(left.lines[0].get_ydata()) == [6, 11, 21, 41, 81]
    assert right.lines[0].get_ydata()[-1] == pytest.approx(16 / 81)
    assert "break-even" in words(figure)
    assert len(left.collections) == len(right.collections) == 2


def test_series_cross_at_a_batch_or_between_two():
    here, gpu = (one.steps for one in SERIES.values())
    batch, seconds = draw.crossing(here, gpu)
    assert (batch, seconds) == pytest.approx((2, 11))  # 1 + 5 n = 10 + n / 2
    batch, seconds = draw.crossing(steps(1, 5, MEASURED).steps, steps(12, 0.5, MEASURED).steps)
    assert 2 < batch < 4
    assert 11 < seconds < 14
    assert draw.crossing(here, here) is None
    assert draw.crossing(here[:2], gpu[:1]) is None
    figure = draw.step_by_batch({"a": SERIES["here"], "b": SERIES["here"]}, ("a", "b"))
    assert "break-even" not in words(figure)


def test_accuracy_says_when_the_target_was_reached_or_that_it_was_not():
    figure = draw.accuracy_curves(RUNS, 0.95)
    said = words(figure)
    for part in ("eager: 3 s", "compiled: not reached", "target 95 %", "first step"):
        assert part in said
    (star,) = lines(figure, "*")
    assert star.get_xdata() == [3.0]
    assert sum(patch.get_hatch() is not None for patch in figure.axes[0].patches) == 2


def test_bars_take_a_log_axis_where_figures_are_far_apart():
    assert draw.bars_by_origin(BARS, "USD", "cost").axes[0].get_xscale() == "linear"
    far = [*BARS, draw.Bar("far", 400.0, 300.0, 500.0, PUBLISHED)]
    figure = draw.bars_by_origin(far, "USD", "cost")
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert "USD, log scale" in axes.get_xlabel()
    assert [patch.get_hatch() for patch in axes.patches] == [None, "////", None]
    assert list(axes.lines[1].get_xdata()) == [2.0, 6.0]


def test_a_chip_with_enough_workers_is_the_limit_and_no_sooner():
    figure = draw.pipeline_curve(CHIPS, 1e-3, [1, 2, 4, 32])
    here, gpu = lines(figure, "D")
    assert set(here.get_ydata()) == {500}
    assert list(gpu.get_ydata()) == [1000, 2000, 4000, 20_000, 20_000]
    assert "keep 20 workers busy" in words(figure)
