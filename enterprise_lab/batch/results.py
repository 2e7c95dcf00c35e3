"""All figures of a batch: what each run recorded, and the long table `results.parquet`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from enterprise_lab.batch import store
from enterprise_lab.batch.check import Batch, Run
from enterprise_lab.batch.plan import Scalar
from enterprise_lab.batch.store import State, Status
from enterprise_lab.errors import LabError
from enterprise_lab.measure import records
from enterprise_lab.measure.records import Origin, Record

RUN_SECONDS = "run_seconds"
"""The runner's own metric: a run's wall-clock time, the start of its kernel included."""

_SCHEMA = pa.schema(
    [
        ("run_id", pa.string()),
        ("notebook", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("unit", pa.string()),
        ("origin", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("device", pa.string()),
        ("source", pa.string()),
        ("status", pa.string()),
    ]
)


@dataclass(frozen=True)
class Result:
    """A run, how it ended (None: not begun) and its figures."""

    run: Run
    status: Status | None
    records: tuple[Record, ...]

    @property
    def state(self) -> State:
        """How the run ended, or that it is queued."""
        return self.status.status if self.status else State.QUEUED

    def figure(self, metric: str, origin: Origin) -> Record | None:
        """Return the last figure recorded for a metric from one origin."""
        found = [r for r in self.records if r.metric == metric and r.origin == origin]
        return found[-1] if found else None


def collect(batch: Batch) -> list[Result]:
    """Read what every run of the batch has left, in the plan's order."""
    return [_result(batch.folder, run) for run in batch.runs]


def write_table(batch: Batch, results: list[Result]) -> Path:
    """Write `results.parquet`: a row for each run, metric and origin, a column a parameter.

    A parameter that is called like one of the table's own columns gets the prefix `parameter_`;
    one whose values have several types in the plan is kept as text.
    """
    schema = _SCHEMA
    columns = _parameter_columns(batch)
    for column, kind in columns.values():
        schema = schema.append(pa.field(column, kind))
    rows = []
    for result in results:
        parameters = {
            column: _as_held(result.run.parameters.get(name), kind)
            for name, (column, kind) in columns.items()
        }
        for record in result.records:
            figures = record.model_dump(mode="json", exclude={"lab", "time"})
            rows.append(
                {
                    "run_id": result.run.run_id,
                    "notebook": result.run.notebook,
                    "status": str(result.state),
                    **figures,
                    **parameters,
                }
            )
    target = batch.folder / "results.parquet"
    with store.replacing_file(target) as aside:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), aside)
    return target


def _result(folder: Path, run: Run) -> Result:
    status = store.read_status(folder, run.run_id)
    if status is None:
        return Result(run, None, ())
    own = Record(
        lab=Path(run.notebook).stem,
        metric=RUN_SECONDS,
        value=status.run_seconds,
        unit="s",
        origin=Origin.MEASURED,
        n=1,
        device=status.device,
        source="batch runner, wall clock",
        time=status.started,
    )
    return Result(run, status, (*_recorded(folder / run.run_id), own))


def _recorded(folder: Path) -> list[Record]:
    try:
        return records.read(folder / store.RECORDS)
    except (LabError, OSError, UnicodeDecodeError):
        # None recorded, or not readable: then the run's status is failed and says so.
        return []


def _parameter_columns(batch: Batch) -> dict[str, tuple[str, pa.DataType]]:
    values: dict[str, list[Scalar]] = {}
    for run in batch.runs:
        for name, value in run.parameters.items():
            values.setdefault(name, []).append(value)
    return {
        name: (f"parameter_{name}" if name in _SCHEMA.names else name, _column_type(held))
        for name, held in values.items()
    }


def _as_held(value: Scalar, kind: pa.DataType) -> Scalar:
    if value is None:
        return None
    if kind == pa.string():
        return str(value)
    return float(value) if kind == pa.float64() else value


def _column_type(values: list[Scalar]) -> pa.DataType:
    match {type(v) for v in values if v is not None}:
        case kinds if kinds == {bool}:
            return pa.bool_()
        case kinds if kinds == {int}:
            return pa.int64()
        case kinds if kinds and kinds <= {int, float}:
            return pa.float64()
    return pa.string()
