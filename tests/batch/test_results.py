from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.batch import store
from enterprise_lab.batch.check import Batch, Run
from enterprise_lab.batch.plan import Scalar
from enterprise_lab.batch.results import Result, collect, write_table
from enterprise_lab.batch.store import State, Status
from enterprise_lab.measure.records import Origin, Record, append


def batch_of(folder: Path, *parameters: dict[str, Scalar]) -> Batch:
    runs = tuple(
        Run(f"{n:012x}", "labs/tiny.ipynb", Path("tiny.ipynb"), p, p)
        for n, p in enumerate(parameters)
    )
    return Batch("tiny", "Tiny", 60, runs, folder)


def leave(batch: Batch, run: Run, state: State, *records: Record) -> None:
    work = store.begin(batch.folder, run.run_id)
    if records:
        append(work / store.RECORDS, records)
    status = Status(
        status=state,
        run_id=run.run_id,
        notebook=run.notebook,
        parameters=run.parameters,
        started=datetime(2025, 1, 2, tzinfo=UTC),
        run_seconds=1.5,
        device="a CPU",
    )
    store.finish(batch.folder, work, status)


def cost(value: float) -> Record:
    return Record(
        lab="tiny", metric="cost_usd", value=value, unit="USD", origin=Origin.ESTIMATED,
        low=value / 2, high=value * 2, source="arithmetic",
    )  # fmt: skip


def test_a_row_for_each_run_and_metric_with_the_parameters(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, {"model": "a", "steps": 1}, {"model": "b", "steps": 2}, {"steps": 3})
    leave(batch, batch.runs[0], State.SUCCEEDED, cost(10))
    leave(batch, batch.runs[1], State.FAILED)

    rows = pq.read_table(write_table(batch, collect(batch))).to_pylist()

    assert [(r["run_id"][-1], r["metric"], r["value"], r["origin"], r["status"]) for r in rows] == [
        ("0", "cost_usd", 10.0, "estimated", "succeeded"),
        ("0", "run_seconds", 1.5, "measured", "succeeded"),
        ("1", "run_seconds", 1.5, "measured", "failed"),
    ]
    assert rows[0] == {
        "run_id": "000000000000", "notebook": "labs/tiny.ipynb", "metric": "cost_usd",
        "value": 10.0, "unit": "USD", "origin": "estimated", "low": 5.0, "high": 20.0, "n": None,
        "device": "", "source": "arithmetic", "status": "succeeded", "model": "a", "steps": 1,
    }  # fmt: skip
    assert rows[1]["device"] == "a CPU"


def test_parameters_keep_their_types_and_never_hide_a_column(tmp_path: Path) -> None:
    batch = batch_of(
        tmp_path,
        {"steps": 1, "rate": 1, "on": True, "mixed": 1, "device": "cpu", "void": None},
        {"steps": 2, "rate": 0.5, "on": False, "mixed": "x", "device": "gpu", "void": None},
    )
    leave(batch, batch.runs[0], State.SUCCEEDED)

    table = pq.read_table(write_table(batch, collect(batch)))

    types = {name: table.schema.field(name).type for name in table.schema.names[12:]}
    assert types == {
        "steps": pa.int64(),
        "rate": pa.float64(),
        "on": pa.bool_(),
        "mixed": pa.string(),
        "parameter_device": pa.string(),
        "void": pa.string(),
    }
    assert table.to_pylist()[0]["mixed"] == "1"
    assert table.to_pylist()[0]["device"] == "a CPU"


@given(st.lists(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats()
                | st.text(st.characters(exclude_categories=["Cs"]))))  # fmt: skip
def test_any_mix_of_values_fits_one_column(tmp_path_factory: object, values: list[Scalar]) -> None:
    folder = tmp_path_factory.mktemp("table")  # type: ignore[attr-defined]
    batch = batch_of(folder, *({"x": v} for v in values))

    results = [Result(run, None, (cost(1),)) for run in batch.runs]

    assert pq.read_table(write_table(batch, results)).num_rows == len(values)


def test_runs_are_collected_in_the_plans_order_with_those_not_begun(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, {"steps": 1}, {"steps": 2})
    leave(batch, batch.runs[1], State.SUCCEEDED)

    assert [r.state for r in collect(batch)] == [State.QUEUED, State.SUCCEEDED]


def test_a_table_that_was_being_written_when_killed_is_replaced(tmp_path: Path) -> None:
    batch = batch_of(tmp_path, {"steps": 1})
    (tmp_path / ".results.parquet").write_bytes(b"PAR1 half")
    leave(batch, batch.runs[0], State.SUCCEEDED)

    assert pq.read_table(write_table(batch, collect(batch))).num_rows == 1
