from __future__ import annotations

from typing import Any

import pytest

from enterprise_lab.batch.attempt import Scalar, State
from enterprise_lab.batch.reports.comparison import (
    description,
    independent_parameters,
    metric_label,
    shared_series,
    varying_parameters,
)
from enterprise_lab.batch.reports.pictures import MAX_ROWS, comparison_pictures
from enterprise_lab.batch.reports.results import Result
from enterprise_lab.measure.records import Origin

from ..past import figure, run, status


def result(
    notebook: str = "a.ipynb",
    state: State = State.SUCCEEDED,
    figures: dict[str, tuple[float, str]] | None = None,
    device: str = "cpu",
    **parameters: Scalar,
) -> Result:
    of = run(notebook, device=device, **parameters)
    records = tuple(figure(m, v, u) for m, (v, u) in (figures or {}).items())
    return Result(of.run_id, of.identity, of.predicted, None, (status(of, state),), records)


WORKLOADS = [
    result(profile="smoke", model=m, length=s, instance=i)
    for m, s in [("base", 128), ("large", 128), ("gpt2", 1024)]
    for i in ["p3", "p4"]
]


def test_what_varies_and_what_of_it_is_free() -> None:
    assert varying_parameters(WORKLOADS) == ["model", "length", "instance"]
    assert independent_parameters(WORKLOADS) == ["model", "instance"]
    assert independent_parameters(WORKLOADS[:1]) == []


def test_several_notebooks_and_devices_are_told_apart() -> None:
    assert varying_parameters([result("x/a.ipynb"), result("x/b.ipynb")]) == ["notebook"]
    two = [result(device="cpu", kind="cpu"), result(device="NVIDIA H200", kind="auto")]
    assert independent_parameters(two) == ["hardware"]
    assert [description(r, ["hardware"]) for r in two] == ["cpu", "NVIDIA H200"]


def test_a_number_is_named_by_its_parameter() -> None:
    one = result(batch_size=8, model="base", fast=True)

    assert description(one, ["model", "batch_size", "fast"]) == "base · batch size 8 · fast True"


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("training_seconds", "training time"),
        ("cost_usd", "cost"),
        ("memory_bytes_per_device", "memory per device"),
        ("model_flops", "model FLOPs"),
        ("parameters", "parameters"),
        ("usd_per_hour", "cost per hour"),
        ("mfu", "MFU"),
        ("matmul_flops_per_second", "matmul FLOP/s"),
        ("copy_bytes_per_second", "copy bytes/s"),
        ("tokens_per_second", "tokens/s"),
        ("macro_f1", "macro F1"),
        ("run_memory_bytes", "peak memory of the run"),
    ],
)
def test_metrics_are_named_for_people(metric: str, label: str) -> None:
    assert metric_label(metric) == label


def test_only_what_all_successes_of_a_notebook_share_and_what_varies_is_compared() -> None:
    results = [
        result(figures={"t_seconds": (1, "s"), "same": (1, "1"), "a": (1, "1")}, x=1),
        result(figures={"t_seconds": (2, "s"), "same": (1, "1"), "c_usd": (1, "USD")}, x=2),
        result(state=State.FAILED, x=3),
        result("b.ipynb", figures={"other": (1, "1")}, x=1),
        result("b.ipynb", figures={"other": (2, "1")}, x=2),
    ]

    assert [s.metric for s in shared_series(results)] == ["t_seconds", "other"]


def pictures(*figures: tuple[dict[str, Scalar], dict[str, tuple[float, str]]]) -> list[Any]:
    return comparison_pictures([result(figures=f, **p) for p, f in figures])


def test_a_picture_says_in_words_what_it_shows() -> None:
    cost, time = pictures(
        *[
            ({"model": model, "instance": instance},
             {"training_seconds": (86_400.0 * d, "s"), "cost_usd": (c, "USD"), "size": (m, "B")})
            for model, m, instance, d, c in [
                ("base", 1e9, "p3", 2, 500.0),
                ("base", 1e9, "p4", 1, 9000.0),
                ("large", 3e9, "p3", 30, 7000.0),
                ("large", 3e9, "p4", 9, 80_000.0),
            ]
        ]
    )  # fmt: skip

    assert cost.title == "Cost by model and instance"
    assert "base on p3: $500 estimated" in cost.text
    assert time.title == "Training time by model and instance"
    assert "large on p4: 9 days estimated" in time.text
    assert time.source.startswith("data:image/svg+xml;base64,")


def test_three_numbers_become_an_axis_and_seeds_do_not() -> None:
    (curve,) = pictures(
        *[
            ({"precision": p, "batch_size": b, "seed": s}, {"step_seconds": (b / f + s / 99, "s")})
            for p, f in [("fp32", 1), ("bf16", 2)]
            for b in [8, 16, 32]
            for s in [0, 1, 2, 3]
        ]
    )

    assert curve.title == "Step time by precision and batch size"
    assert "bf16, batch size 32: 16" in curve.text


def test_more_rows_than_can_be_read_are_said_to_be_left_out() -> None:
    (picture,) = pictures(*[({"name": f"n{n}"}, {"x": (n, "1")}) for n in range(MAX_ROWS + 5)])

    assert "5 more are in the table" in picture.note


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("values", [(0.0, 0.0), (0.0, 1e-30), (-1.0, 5.0), (1e-12, 1e30), (3, 4)])
def test_any_figures_can_be_drawn(values: tuple[float, float], count: int) -> None:
    held = [*values, values[0]][:count]
    drawn = pictures(
        *[({"x": n}, {"figure": (v, "FLOP"), "rank": (n, "1")}) for n, v in enumerate(held)]
    )

    assert len(drawn) == 2 - (values[0] == values[1])


def test_predicted_and_measured_are_in_one_picture() -> None:
    results = []
    for n in (1, 2):
        of = run(x=n)
        both = (
            figure("step_seconds", n, "s", spread=0.2),
            figure("step_seconds", 2 * n, "s", Origin.MEASURED, 0.1, 20),
        )
        results.append(Result(of.run_id, of.identity, of.predicted, None, (status(of),), both))

    (picture,) = comparison_pictures(results)

    assert "x 2: 2 s estimated and 4 s measured" in picture.text


def test_one_run_alone_is_compared_with_nothing() -> None:
    assert pictures(({"x": 1}, {"figure": (1, "s")})) == []
