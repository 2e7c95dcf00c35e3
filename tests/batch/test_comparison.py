from __future__ import annotations

from pathlib import Path

import pytest

from enterprise_lab.batch.check import Run
from enterprise_lab.batch.comparison import (
    independent_parameters,
    metric_label,
    shared_series,
    varying_parameters,
)
from enterprise_lab.batch.pictures import comparison_pictures
from enterprise_lab.batch.plan import Scalar
from enterprise_lab.batch.results import Result
from enterprise_lab.batch.store import State, Status
from enterprise_lab.measure.records import Origin, Record


def run(notebook: str = "a.ipynb", **parameters: Scalar) -> Run:
    return Run("0", notebook, Path(notebook), parameters, parameters)


def result(state: State, figures: dict[str, tuple[float, str]], **parameters: Scalar) -> Result:
    status = Status.model_construct(status=state, run_seconds=1.0, error="")
    records = tuple(
        Record(lab="a", metric=m, value=v, unit=u, origin=Origin.ESTIMATED)
        for m, (v, u) in figures.items()
    )
    return Result(run(**parameters), status, records)


WORKLOADS = [
    run(profile="smoke", model=m, length=s, instance=i)
    for m, s in [("base", 128), ("large", 128), ("gpt2", 1024)]
    for i in ["p3", "p4"]
]


def test_what_varies_and_what_of_it_is_free() -> None:
    assert varying_parameters(WORKLOADS) == ["model", "length", "instance"]
    assert independent_parameters(WORKLOADS) == ["model", "instance"]
    assert independent_parameters(WORKLOADS[:1]) == []


def test_several_notebooks_are_told_apart_by_name() -> None:
    assert varying_parameters([run("x/a.ipynb"), run("x/b.ipynb")]) == ["notebook"]


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("training_seconds", "training time"),
        ("cost_usd", "cost"),
        ("memory_bytes_per_device", "memory per device"),
        ("model_flops", "model FLOPs"),
        ("parameters", "parameters"),
        ("usd_per_hour", "cost per hour"),
    ],
)
def test_metrics_are_named_for_people(metric: str, label: str) -> None:
    assert metric_label(metric) == label


def test_only_what_all_successes_share_and_what_varies_is_compared() -> None:
    results = [
        result(State.SUCCEEDED, {"t_seconds": (1, "s"), "same": (1, "1"), "a": (1, "1")}, x=1),
        result(
            State.SUCCEEDED, {"t_seconds": (2, "s"), "same": (1, "1"), "c_usd": (1, "USD")}, x=2
        ),
        result(State.FAILED, {}, x=3),
    ]

    assert [s.metric for s in shared_series(results)] == ["t_seconds"]


def test_a_picture_says_in_words_what_it_shows() -> None:
    results = [
        result(
            State.SUCCEEDED,
            {"training_seconds": (86_400.0 * d, "s"), "cost_usd": (c, "USD"), "size": (m, "B")},
            model=model,
            instance=instance,
        )
        for model, m, instance, d, c in [
            ("base", 1e9, "p3", 2, 500.0),
            ("base", 1e9, "p4", 1, 9000.0),
            ("large", 3e9, "p3", 30, 7000.0),
            ("large", 3e9, "p4", 9, 80_000.0),
        ]
    ]

    cost, time = comparison_pictures(results)

    assert cost.title == "Cost by model and instance"
    assert "base on p3: $500 estimated" in cost.text
    assert time.title == "Training time by model and instance"
    assert "large on p4: 9 days estimated" in time.text
    assert time.source.startswith("data:image/svg+xml;base64,")


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.0, 1e-30), (-1.0, 5.0), (1e-12, 1e30), (3, 4)])
def test_any_figures_can_be_drawn(values: tuple[float, float]) -> None:
    results = [
        result(State.SUCCEEDED, {"figure": (v, "FLOP"), "rank": (n, "1")}, x=n)
        for n, v in enumerate(values)
    ]

    assert len(comparison_pictures(results)) == 2 - (values[0] == values[1])


def test_one_run_alone_is_compared_with_nothing() -> None:
    assert comparison_pictures([result(State.SUCCEEDED, {"figure": (1, "s")}, x=1)]) == []
