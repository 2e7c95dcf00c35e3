from __future__ import annotations

import pytest

from enterprise_lab.batch.attempt import Predicted, State
from enterprise_lab.batch.reports.forecast import forecast_picture, forecasts, side_by_side
from enterprise_lab.batch.reports.results import Result, own_records
from enterprise_lab.measure.records import Origin

from ..past import figure, run, status


def result(
    x: int, predicted: float, measured: float, *, spread: float | None = 0.2, **ended: State
) -> Result:
    of = run(x=x, predicted=Predicted(seconds=5, memory_bytes=1e9))
    how = status(of, **ended)
    records = (
        figure("step_seconds", predicted, "s", spread=spread),
        figure("step_seconds", measured, "s", Origin.MEASURED),
        *own_records(of.notebook, of.predicted, None, how),
    )
    return Result(of.run_id, of.identity, of.predicted, None, (how,), records)


def test_predictions_are_held_against_measurements() -> None:
    held = forecasts(
        [
            result(1, 1, 1.1),
            result(2, 1, 1.5),
            result(3, 2, 2.0),
            result(4, 1, 99, state=State.FAILED),
        ]
    )

    assert [f.label for f in held] == ["Step time", "Run time", "Peak memory of the run"]
    step, time, _ = held
    assert (step.inside, step.with_interval, len(step.pairs)) == (2, 3, 3)
    assert step.median_ratio == pytest.approx(1.1)
    assert step.median_error == pytest.approx(0.1)
    assert (time.with_interval, time.median_ratio) == (0, 4)


def test_a_prediction_of_nothing_has_no_ratio() -> None:
    (step, *_) = forecasts([result(1, 0, 1)])

    assert step.median_ratio is None
    assert step.median_error is None


def test_whether_predictions_held_is_said_in_words() -> None:
    step, time, _ = forecasts([result(1, 1, 1.1), result(2, 1, 1.5), result(3, 2, 2.0)])

    assert step.said == (
        "Step time: 2 of 3 within the interval; measured was 1.1 times predicted (median)."
    )
    assert time.said == ""


@pytest.mark.parametrize(
    ("starts", "count"),
    [([0, 30, 60], 0), ([0, 10, 60], 2), ([0, 10, 15], 3), ([0, 20, 40], 0)],
)
def test_runs_beside_each_other_on_one_host_are_counted(starts: list[int], count: int) -> None:
    results = []
    for x, start in enumerate(starts):
        of = run(x=x)
        how = status(of, minutes=start / 60, seconds=20)
        results.append(Result(of.run_id, of.identity, of.predicted, None, (how,), ()))

    assert side_by_side(results) == count


@pytest.mark.parametrize(
    "pairs", [[(1, 1.1), (2, 9)], [(0, 0), (1, 2)], [(-1, 2), (-1, -2)], [(1e-9, 1e9)], [(5, 5)]]
)
@pytest.mark.parametrize("spread", [None, 0.2])
def test_any_predictions_can_be_drawn(
    pairs: list[tuple[float, float]], spread: float | None
) -> None:
    step, *_ = forecasts([result(n, p, m, spread=spread) for n, (p, m) in enumerate(pairs)])

    picture = forecast_picture([step])

    assert picture is not None
    assert picture.source.startswith("data:image/svg+xml;base64,")
    assert "Step time" in picture.text


def test_predictions_of_nothing_are_not_drawn() -> None:
    step, *_ = forecasts([result(1, 0, 1), result(2, -1, 2)])

    assert forecast_picture([step]) is None
