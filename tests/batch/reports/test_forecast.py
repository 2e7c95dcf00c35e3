from __future__ import annotations

import pytest

from enterprise_lab.batch.attempt import Predicted, State
from enterprise_lab.batch.reports.forecast import Forecast, forecast_picture, forecasts
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


@pytest.mark.parametrize(
    "pairs", [[(1, 1.1), (2, 9)], [(0, 0)], [(-1, 2)], [(1e-9, 1e9)], [(5, 5)]]
)
@pytest.mark.parametrize("spread", [None, 0.2])
def test_any_predictions_can_be_drawn(
    pairs: list[tuple[float, float]], spread: float | None
) -> None:
    (step, *_) = forecasts([result(n, p, m, spread=spread) for n, (p, m) in enumerate(pairs)])
    assert isinstance(step, Forecast)

    picture = forecast_picture(step)

    assert picture.source.startswith("data:image/svg+xml;base64,")
    assert "measured" in picture.text
