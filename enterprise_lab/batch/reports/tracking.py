"""A batch's runs in MLflow, for those who keep all their experiments there."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from enterprise_lab.batch.attempt import NOTEBOOK, State, Status
from enterprise_lab.batch.reports.provenance import facts_of
from enterprise_lab.batch.reports.results import Result
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.store import Store
from enterprise_lab.errors import LabError
from enterprise_lab.measure.records import Origin, Record

RUN_TAG, ATTEMPT_TAG = "enterprise_lab.run_id", "enterprise_lab.attempt"
_AT_ONCE = 100
"""MLflow takes no more parameters in one call."""
_LONGEST = 500
_Client: TypeAlias = Any  # mlflow has no types


def track(results: Sequence[Result], uri: str, name: str, store: Store) -> int:
    """Log runs that have ended to the MLflow experiment `name`; return how many were new.

    `uri` is that of a server, http://HOST:PORT, or of a database, sqlite:///mlflow.db; `name` is
    the plan's, below which the store has the runs. What was logged before isn't logged again.
    Raises LabError where MLflow isn't installed, can't be reached, or refuses.
    """
    with _explained(uri):
        client = _client(uri)
        experiment = _experiment(client, name)
        known = _known(client, experiment)
        new = [
            (result, result.status)
            for result in results
            if result.status and (result.run_id, str(result.status.attempt)) not in known
        ]
        for result, status in new:
            notebook = store.read(ledger.place(name, result.run_id, status.attempt, NOTEBOOK))
            _log(client, experiment, result, status, notebook)
        return len(new)


def _client(uri: str) -> _Client:
    # MLflow reports how it is used to its makers, unless told not to.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # Standard output is for programs that read it.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise LabError(
            f"Runs can't be logged to MLflow: the package {error.name} isn't installed.",
            "Install it: pip install 'enterprise-lab[mlflow]'.",
        ) from error
    except LabError:
        raise
    except Exception as error:  # of MLflow, its database or its HTTP client: they share no base
        raise LabError(
            f"Runs can't be logged to MLflow at {uri}: {str(error).partition(chr(10))[0]}",
            "Give the URI of a server, http://HOST:PORT, or of a database, sqlite:///mlflow.db.",
        ) from error


def _experiment(client: _Client, name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name))


def _known(client: _Client, experiment: str) -> set[tuple[str, str]]:
    """List the attempts that have been logged to their end; remove those that were cut off."""
    found = set()
    token: str | None = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        for run in page:
            tags = run.data.tags
            if RUN_TAG not in tags:
                continue
            if run.info.status == "RUNNING":
                client.delete_run(run.info.run_id)
            else:
                found.add((tags[RUN_TAG], tags.get(ATTEMPT_TAG, "")))
        token = page.token
        if not token:
            return found


def _log(
    client: _Client, experiment: str, result: Result, status: Status, notebook: bytes | None
) -> None:
    began = round(status.ended.started.timestamp() * 1000)
    ended = began + round(1000 * status.ended.run_seconds)
    told = " · ".join([Path(result.notebook).stem, *map(str, result.parameters.values())])
    run = client.create_run(
        experiment, start_time=began, tags=_tags(status), run_name=told[:_LONGEST]
    )
    run_id = run.info.run_id
    params = [(_key(n), str(v)[:_LONGEST]) for n, v in result.parameters.items()]
    metrics = list(_metrics(result.records))
    for start in range(0, max(len(params), len(metrics)), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        _log_batch(client, run_id, params[some], metrics[some], ended)
    if notebook is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, NOTEBOOK)
            path.write_bytes(notebook)
            client.log_artifact(run_id, str(path))
    fate = {State.SUCCEEDED: "FINISHED", State.CANCELLED: "KILLED"}.get(status.state, "FAILED")
    client.set_terminated(run_id, status=fate, end_time=ended)


def _log_batch(
    client: _Client,
    run_id: str,
    params: Sequence[tuple[str, str]],
    metrics: Sequence[tuple[str, float]],
    time: int,
) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(
        run_id,
        metrics=[Metric(key, value, time, 0) for key, value in metrics],
        params=[Param(key, value) for key, value in params],
    )


def _metrics(records: Sequence[Record]) -> Iterable[tuple[str, float]]:
    """Name figures for MLflow: a measured one as it is called, others with their origin."""
    latest = {(r.metric, r.origin): r for r in records}
    for (metric, origin), record in latest.items():
        key = _key(metric if origin == Origin.MEASURED else f"{metric}.{origin}")
        yield key, record.value
        if record.low is not None and record.high is not None:
            yield f"{key}.low", record.low
            yield f"{key}.high", record.high


def _tags(status: Status) -> dict[str, str]:
    facts = {
        f"enterprise_lab.{_key(name).replace(' ', '_')}": v for name, v in facts_of(status).items()
    }
    return {
        **facts,
        RUN_TAG: status.run_id,
        ATTEMPT_TAG: str(status.attempt),
        "enterprise_lab.state": str(status.state),
        "enterprise_lab.error": status.ended.error[:_LONGEST],
        "mlflow.source.name": status.identity.notebook,
        "mlflow.source.type": "NOTEBOOK",
        "mlflow.source.git.commit": status.git_commit,
    }


def _key(name: str) -> str:
    """Leave only what MLflow takes in a name."""
    return re.sub(r"[^\w.\- /]", "_", name)
