from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.batch.attempt import RECORDS, Predicted, Scalar, State
from enterprise_lab.batch.reports.results import Result, collect, collect_all, write_table
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.measure.records import Origin

from ..past import batch, figure, leave, run, status


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def table(store: Directory, results: list[Result]) -> pa.Table:
    content = store.read(write_table("tiny", store, results))
    assert content is not None
    return pq.read_table(io.BytesIO(content))


def test_a_row_for_each_run_metric_and_origin_with_parameters_and_provenance(
    store: Directory,
) -> None:
    said = Predicted(
        seconds=10, low_seconds=8, high_seconds=15, memory_bytes=1e9, source="preflight"
    )
    made = batch(
        run(model="a", steps=1, predicted=said, usd_per_hour=3600.0),
        run(model="b", steps=2),
        run(steps=3),
    )
    leave(store, "tiny", status(made.runs[0]), [figure("cost_usd", 10, "USD", spread=0.5)])
    leave(store, "tiny", status(made.runs[1], State.FAILED, error="ValueError"))

    rows = table(store, collect(made, store)).to_pylist()

    assert [(r["steps"], r["metric"], r["value"], r["origin"], r["status"]) for r in rows] == [
        (1, "cost_usd", 10.0, "estimated", "succeeded"),
        (1, "run_seconds", 10.0, "estimated", "succeeded"),
        (1, "run_memory_bytes", 1e9, "estimated", "succeeded"),
        (1, "run_cost_usd", 10.0, "estimated", "succeeded"),
        (1, "run_seconds", 20.0, "measured", "succeeded"),
        (1, "run_memory_bytes", 1.5e9, "measured", "succeeded"),
        (1, "run_cost_usd", 20.0, "measured", "succeeded"),
        (2, "run_seconds", 20.0, "measured", "failed"),
        (2, "run_memory_bytes", 1.5e9, "measured", "failed"),
    ]
    first, predicted_usd = rows[0], rows[3]
    assert (first["low"], first["high"], first["source"]) == (5, 15, "arithmetic")
    assert (predicted_usd["low"], predicted_usd["high"]) == (8, 15)
    assert (first["git_commit"], first["host"], first["run_device"]) == (
        "c0ffee", "node-1", "AMD EPYC 9654",
    )  # fmt: skip
    assert json.loads(first["versions"]) == {"python": "3.11.7", "torch": "2.13.0"}
    assert (first["model"], first["attempt"], rows[-1]["model"]) == ("a", 1, "b")


def test_parameters_keep_their_types_and_never_hide_a_column(store: Directory) -> None:
    made = batch(
        run(steps=1, rate=1, on=True, mixed=1, host="cpu", parameter_host="x", void=None),
        run(steps=2, rate=0.5, on=False, mixed="x", host="gpu", void=None),
    )
    leave(store, "tiny", status(made.runs[0]))

    held = table(store, collect(made, store))

    types = {
        n: held.schema.field(n).type for n in held.schema.names[held.schema.names.index("steps") :]
    }
    assert types == {
        "steps": pa.int64(),
        "rate": pa.float64(),
        "on": pa.bool_(),
        "mixed": pa.string(),
        "parameter_parameter_host": pa.string(),
        "parameter_host": pa.string(),
        "void": pa.string(),
    }
    assert held.to_pylist()[0]["mixed"] == "1"
    assert held.to_pylist()[0]["parameter_parameter_host"] == "cpu"
    assert held.to_pylist()[0]["host"] == "node-1"


@given(
    st.lists(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_any_mix_of_values_fits_one_column(
    tmp_path_factory: pytest.TempPathFactory, values: list[Scalar]
) -> None:
    store = Directory(tmp_path_factory.mktemp("table"))
    results = [replace(r, records=(figure("x", 1, "1"),)) for r in unrun(*values)]

    assert table(store, results).num_rows == len(values)


def unrun(*values: Scalar) -> list[Result]:
    runs = [run(x=v) for v in values]
    return [Result(r.run_id, r.identity, r.predicted, None, (), ()) for r in runs]


def test_runs_are_collected_in_the_plans_order_with_those_not_begun(store: Directory) -> None:
    made = batch(run(steps=1), run(steps=2))
    leave(store, "tiny", status(made.runs[1]))

    assert [r.state for r in collect(made, store)] == [State.QUEUED, State.SUCCEEDED]


def test_the_success_counts_and_all_attempts_are_paid_for(store: Directory) -> None:
    made = batch(run(device="2 x NVIDIA H200", usd_per_hour=36.0))
    leave(store, "tiny", status(made.runs[0], State.FAILED, seconds=100), [figure("a", 1, "1")])
    leave(store, "tiny", status(made.runs[0], seconds=200, attempt=2), [figure("a", 2, "1")])

    (result,) = collect(made, store)

    assert result.state == State.SUCCEEDED
    assert result.figure("a", Origin.ESTIMATED).value == 2
    assert result.figure("run_cost_usd", Origin.MEASURED).value == pytest.approx(2)
    assert (result.seconds, result.usd, result.gpus) == (300, pytest.approx(3), 2)


def test_a_store_tells_of_its_runs_without_their_plan(store: Directory) -> None:
    made = batch(run(steps=1), run(steps=2), run(steps=3))
    leave(store, "tiny", status(made.runs[1], minutes=1), [figure("a", 7, "1")])
    leave(store, "tiny", status(made.runs[0], State.TIMED_OUT, minutes=2))

    results = collect_all(store, "tiny")

    assert [(r.parameters, r.state) for r in results] == [
        ({"steps": 2}, State.SUCCEEDED), ({"steps": 1}, State.TIMED_OUT),
    ]  # fmt: skip
    assert results[0].figure("a", Origin.ESTIMATED).value == 7


def test_records_cut_off_by_a_kill_leave_those_before(store: Directory, tmp_path: Path) -> None:
    made = batch(run())
    leave(store, "tiny", status(made.runs[0], State.KERNEL_DIED), [figure("a", 1, "1")])
    path = tmp_path / ledger.place("tiny", made.runs[0].run_id, 1, RECORDS)
    path.write_bytes(path.read_bytes() + b'{"lab": "tiny", "met')

    (result,) = collect(made, store)

    assert result.figure("a", Origin.ESTIMATED).value == 1


def test_a_table_is_replaced(store: Directory) -> None:
    made = batch(run())
    assert table(store, collect(made, store)).num_rows == 0
    leave(store, "tiny", status(made.runs[0]))
    assert table(store, collect(made, store)).num_rows == 2


def test_a_run_is_held_against_what_was_predicted_before_it(tmp_path: Path) -> None:
    store = Directory(tmp_path)
    before = run(x=1, predicted=Predicted(seconds=5), usd_per_hour=2.0)
    leave(store, "tiny", status(before, seconds=20))
    since = run(x=1, predicted=Predicted(seconds=20, source="1 earlier run"), usd_per_hour=3.0)

    (held,) = collect(batch(since), store)

    assert held.predicted.seconds == 5
    assert held.usd_per_hour == 2.0
