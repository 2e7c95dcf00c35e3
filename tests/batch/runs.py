"""Runs that nobody makes, for what only talks about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from enterprise_lab.batch.attempt import Ended, Identity, Predicted, State, Status
from enterprise_lab.batch.run import Need, Retries, Run


def make_run(run_id: str = "a", *, seconds: float | None = None, **keys: Any) -> Run:
    identity = Identity(notebook="x.ipynb", parameters={"speed": 1.0}, code="", lock="", package="")
    given: dict[str, Any] = {
        "run_id": run_id,
        "notebook": "x.ipynb",
        "content": "{}",
        "given": {},
        "identity": identity,
        "need": Need(),
        "deadline_seconds": 600.0,
        "retries": Retries(),
        "predicted": Predicted(seconds=seconds),
        "usd_per_hour": None,
    }
    return Run(**(given | keys))


def make_status(run: Run, state: State = State.SUCCEEDED, seconds: float = 1.0, error: str = ""):
    ended = Ended(
        state=state,
        error=error,
        started=datetime(2026, 1, 1, tzinfo=UTC),
        run_seconds=seconds,
        host="here",
        device="a processor",
    )
    return Status(run_id=run.run_id, attempt=1, runner="r", identity=run.identity, ended=ended)
