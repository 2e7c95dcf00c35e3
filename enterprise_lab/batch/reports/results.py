"""All figures of a batch: what each run left in the store, and the long table `results.parquet`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from enterprise_lab.batch.attempt import RECORDS, Identity, Predicted, Scalar, State, Status
from enterprise_lab.batch.run import Batch, Run
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.store import Store
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.units import HOUR

if TYPE_CHECKING:
    import pyarrow as pa

RUN_SECONDS = "run_seconds"
RUN_MEMORY = "run_memory_bytes"
RUN_COST = "run_cost_usd"
OWN_METRICS = (RUN_SECONDS, RUN_MEMORY, RUN_COST)
"""The runner's own: of the attempt that counts, its kernel's start included, measured by the runner
and, where the plan could say them before, estimated."""

TABLE = "results.parquet"


@dataclass(frozen=True)
class Result:
    """A run, how its attempts ended, and the figures of the one that counts."""

    run_id: str
    identity: Identity
    predicted: Predicted
    usd_per_hour: float | None
    attempts: tuple[Status, ...]
    records: tuple[Record, ...]

    @property
    def notebook(self) -> str:
        """The notebook's name."""
        return self.identity.notebook

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """All of its parameters, those that the plan sets first."""
        return self.identity.parameters

    @property
    def status(self) -> Status | None:
        """The attempt that counts: the success if there is one, else the last."""
        return ledger.latest(self.attempts)

    @property
    def state(self) -> State:
        """How the run ended, or that it is queued."""
        return self.status.state if self.status else State.QUEUED

    @property
    def error(self) -> str:
        """What went wrong, in one line; empty where nothing did."""
        return self.status.ended.error if self.status else ""

    @property
    def seconds(self) -> float:
        """Time of all its attempts together."""
        return sum(one.ended.run_seconds for one in self.attempts)

    @property
    def usd(self) -> float | None:
        """What all its attempts cost together; None without a price."""
        costs = [one.usd for one in self.attempts if one.usd is not None]
        return sum(costs) if costs else None

    @property
    def gpus(self) -> int:
        """How many GPUs it has."""
        return _gpus(self.identity.device)

    def figure(self, metric: str, origin: Origin) -> Record | None:
        """Return the last figure recorded for a metric from one origin."""
        found = [r for r in self.records if r.metric == metric and r.origin == origin]
        return found[-1] if found else None


def collect(
    batch: Batch, store: Store, attempts: Mapping[str, tuple[Status, ...]] | None = None
) -> list[Result]:
    """Read what every run of the batch has left, in the plan's order.

    `attempts` are those that the ledger has, where they have been read already.
    """
    if attempts is None:
        attempts = ledger.attempts(store, batch.name)
    results = [_result_of(run, attempts.get(run.run_id, ())) for run in batch.runs]
    return _with_records(store, batch.name, results)


def collect_all(store: Store, name: str) -> list[Result]:
    """Read what all runs below a plan's name have left, those of earlier identities too.

    They come in the order in which they were started.
    """
    found = []
    for run_id, attempts in ledger.attempts(store, name).items():
        status = ledger.latest(attempts)
        if status is not None:
            found.append(
                Result(run_id, status.identity, status.predicted, status.usd_per_hour, attempts, ())
            )
    found.sort(key=lambda r: (r.attempts[0].ended.started, r.run_id))
    return _with_records(store, name, found)


def write_table(name: str, store: Store, results: list[Result]) -> str:
    """Write `results.parquet`: a row for each run, metric and origin, a column a parameter.

    A parameter that is called like one of the table's own columns gets the prefix `parameter_`;
    one whose values have several types in the plan is kept as text. Returns the table's name.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    columns = _parameter_columns(results, schema.names)
    for column, kind in columns.values():
        schema = schema.append(pa.field(column, kind))
    rows = [row for result in results for row in _rows(result, columns)]
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), content)
    target = f"{name}/{TABLE}"
    store.replace(target, content.getvalue())
    return target


def own_records(
    notebook: str, predicted: Predicted, usd_per_hour: float | None, status: Status | None
) -> list[Record]:
    """Return the runner's own figures of a run: predicted, and measured where it has ended."""
    usd_per_second = None if usd_per_hour is None else usd_per_hour / HOUR
    seconds = (predicted.seconds, predicted.low_seconds, predicted.high_seconds)
    usd = [None if s is None or usd_per_second is None else s * usd_per_second for s in seconds]
    figures: list[tuple[str, str, Origin, tuple[float | None, ...]]] = [
        (RUN_SECONDS, "s", Origin.ESTIMATED, seconds),
        (RUN_MEMORY, "B", Origin.ESTIMATED, (predicted.memory_bytes, None, None)),
        (RUN_COST, "USD", Origin.ESTIMATED, tuple(usd)),
    ]
    if status is not None:
        ended = status.ended
        figures += [
            (RUN_SECONDS, "s", Origin.MEASURED, (ended.run_seconds, None, None)),
            (RUN_MEMORY, "B", Origin.MEASURED, (ended.peak_memory_bytes, None, None)),
            (RUN_COST, "USD", Origin.MEASURED, (status.usd, None, None)),
        ]
    return [
        Record(
            lab=Path(notebook).stem,
            metric=metric,
            value=value,
            unit=unit,
            origin=origin,
            low=low,
            high=high,
            n=1 if origin == Origin.MEASURED else None,
            device=status.ended.device if status else "",
            source="batch runner" if origin == Origin.MEASURED else predicted.source,
            time=status.ended.started if status else datetime.now(UTC),
        )
        for metric, unit, origin, (value, low, high) in figures
        if value is not None
    ]


def _result_of(run: Run, attempts: tuple[Status, ...]) -> Result:
    """Hold a run against what was predicted before it: the plan's own by now knows how it went."""
    said = ledger.latest(attempts) or run
    return Result(
        run.run_id, _in_the_plans_order(run), said.predicted, said.usd_per_hour, attempts, ()
    )


def _in_the_plans_order(run: Run) -> Identity:
    parameters = {**run.given, **run.parameters}
    return run.identity.model_copy(update={"parameters": parameters})


def _with_records(store: Store, name: str, results: list[Result]) -> list[Result]:
    places = {
        r.run_id: ledger.place(name, r.run_id, r.status.attempt, RECORDS)
        for r in results
        if r.status is not None
    }
    contents = store.read_all(places.values())
    return [
        Result(
            r.run_id, r.identity, r.predicted, r.usd_per_hour, r.attempts,
            (
                *_recorded(contents.get(places.get(r.run_id, ""), b"")),
                *own_records(r.notebook, r.predicted, r.usd_per_hour, r.status),
            ),
        )
        for r in results
    ]  # fmt: skip


def _recorded(content: bytes) -> Iterable[Record]:
    """Read records line by line; what isn't one, such as a line cut off by a kill, is left out."""
    for line in content.splitlines():
        with suppress(ValidationError):
            yield Record.model_validate_json(line)


def _gpus(device: str) -> int:
    if device == "cpu":
        return 0
    count, times, _ = device.partition(" x ")
    return int(count) if times and count.isdigit() else 1


def _schema() -> pa.Schema:
    import pyarrow as pa

    text, number, count = pa.string(), pa.float64(), pa.int64()
    return pa.schema(
        [
            ("run_id", text),
            ("attempt", count),
            ("status", text),
            ("notebook", text),
            ("metric", text),
            ("value", number),
            ("unit", text),
            ("origin", text),
            ("low", number),
            ("high", number),
            ("n", count),
            ("doubt", text),
            ("device", text),
            ("source", text),
            ("part", text),
            ("part_parameters", text),
            ("started", pa.timestamp("us", tz="UTC")),
            ("host", text),
            ("run_device", text),
            ("driver", text),
            ("git_commit", text),
            ("versions", text),
        ]
    )


def _rows(
    result: Result, columns: Mapping[str, tuple[str, pa.DataType]]
) -> Iterable[dict[str, Any]]:
    """Return a row a record; `part` is what of the run's work a record says it is about."""
    common: dict[str, Any] = {
        "run_id": result.run_id,
        "notebook": result.notebook,
        "status": str(result.state),
        **{
            column: _as_held(result.parameters.get(name), kind)
            for name, (column, kind) in columns.items()
        },
    }
    if (status := result.status) is not None:
        common |= {
            "attempt": status.attempt,
            "started": status.ended.started,
            "host": status.ended.host,
            "run_device": status.ended.device,
            "driver": status.ended.driver,
            "git_commit": status.git_commit,
            "versions": json.dumps(dict(status.versions), sort_keys=True),
        }
    for record in result.records:
        own = {"metric", "value", "unit", "origin", "low", "high", "n", "doubt", "device", "source"}
        yield {
            **common,
            **record.model_dump(mode="json", include=own),
            "part": record.run,
            "part_parameters": json.dumps(dict(record.parameters)) if record.parameters else None,
        }


def _parameter_columns(
    results: list[Result], taken: list[str]
) -> dict[str, tuple[str, pa.DataType]]:
    values: dict[str, list[Scalar]] = {}
    for result in results:
        for name, value in result.parameters.items():
            values.setdefault(name, []).append(value)
    columns: dict[str, tuple[str, pa.DataType]] = {}
    for name, held in values.items():
        column = name
        while column in taken or (column != name and column in values):
            column = f"parameter_{column}"
        columns[name] = (column, _column_type(held))
    return columns


def _as_held(value: Scalar, kind: pa.DataType) -> Scalar:
    import pyarrow as pa

    if value is None:
        return None
    if kind == pa.string():
        return str(value)
    return float(value) if kind == pa.float64() else value


def _column_type(values: list[Scalar]) -> pa.DataType:
    import pyarrow as pa

    match {type(v) for v in values if v is not None}:
        case kinds if kinds == {bool}:
            return pa.bool_()
        case kinds if kinds == {int}:
            return pa.int64()
        case kinds if kinds and kinds <= {int, float}:
            return pa.float64()
    return pa.string()
