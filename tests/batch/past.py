"""Batches that have been run already, as they lie in a store: nothing is executed."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from enterprise_lab.batch.attempt import (
    EVENTS,
    NOTEBOOK,
    RECORDS,
    STATUS,
    STDOUT,
    Ended,
    Event,
    Identity,
    Predicted,
    Scalar,
    State,
    Status,
)
from enterprise_lab.batch.plans import identity
from enterprise_lab.batch.run import Batch, Need, Retries, Run
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.measure.records import Origin, Record, append

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GPU = "NVIDIA H200"


def run(
    notebook: str = "labs/tiny.ipynb",
    *,
    code: str = "c0de",
    device: str = "cpu",
    predicted: Predicted | None = None,
    usd_per_hour: float | None = None,
    **parameters: Scalar,
) -> Run:
    """A run with its own identity; all of its parameters are given by the plan."""
    own = Identity(
        notebook=notebook,
        parameters=parameters,
        code=code,
        lock="10c4",
        package="9ac4a9e",
        data={"digits": "da7a"},
        device=device,
    )
    return Run(
        run_id=identity.run_id(own),
        notebook=notebook,
        content="",
        given=parameters,
        identity=own,
        need=Need(),
        deadline_seconds=600,
        retries=Retries(),
        predicted=predicted or Predicted(),
        usd_per_hour=usd_per_hour,
    )


def batch(
    *runs: Run, name: str = "tiny", title: str = "Tiny & sound", store: str = "runs"
) -> Batch:
    return Batch(name, title, runs, store)


def status(
    of: Run,
    state: State = State.SUCCEEDED,
    *,
    attempt: int = 1,
    seconds: float = 20.0,
    error: str = "",
    minutes: float = 0,
    host: str = "node-1",
    memory: float | None = 1.5e9,
    versions: Mapping[str, str] | None = None,
    commit: str = "c0ffee",
) -> Status:
    return Status(
        run_id=of.run_id,
        attempt=attempt,
        runner="runner-1",
        identity=of.identity,
        ended=Ended(
            state=state,
            error=error,
            started=START + timedelta(minutes=minutes),
            run_seconds=seconds,
            host=host,
            device="AMD EPYC 9654" if of.identity.device == "cpu" else of.identity.device,
            driver="" if of.identity.device == "cpu" else "570.86",
            peak_memory_bytes=memory,
        ),
        predicted=of.predicted,
        usd_per_hour=of.usd_per_hour,
        versions=versions or {"python": "3.11.7", "torch": "2.13.0"},
        git_commit=commit,
    )


def leave(
    store: Directory,
    name: str,
    ended: Status,
    records: Sequence[Record] = (),
    notebook: nbformat.NotebookNode | None = None,
    log: str = "a line\n",
) -> None:
    """Publish an attempt's files, the way a runner does."""
    work = store.scratch(f"{name}/.work/{ended.run_id}.{ended.attempt}")
    if records:
        append(work / RECORDS, records)
        (work / f".{RECORDS}.lock").unlink(missing_ok=True)
    if notebook is not None:
        nbformat.write(notebook, work / NOTEBOOK)
    (work / STDOUT).write_text(log)
    (work / EVENTS).write_text("".join(e.model_dump_json() + "\n" for e in events(ended)))
    (work / STATUS).write_text(ended.model_dump_json())
    place = ledger.place(name, ended.run_id, ended.attempt, STATUS)
    assert store.publish(Path(place).parent.as_posix(), work, STATUS)


def events(ended: Status) -> Iterator[Event]:
    """A kernel that starts in 2 seconds, and three cells that share the rest as 1 : 2 : 3."""
    begun, rest = ended.ended.started, max(0.0, ended.ended.run_seconds - 2)
    yield Event(kind="begun", time=begun)
    for cell, after in enumerate((0.0, 1 / 6, 1 / 2), start=1):
        at = begun + timedelta(seconds=2 + rest * after)
        yield Event(kind="cell", time=at, cell=cell, cells=3)
    if ended.state == State.TIMED_OUT:
        yield Event(kind="interrupted", time=begun + timedelta(seconds=ended.ended.run_seconds))
    yield Event(kind="ended", time=begun + timedelta(seconds=ended.ended.run_seconds))


def figure(
    metric: str,
    value: float,
    unit: str,
    origin: Origin = Origin.ESTIMATED,
    spread: float | None = None,
    n: int | None = None,
    device: str = "",
) -> Record:
    """A figure, with an interval of value x (1 ± spread)."""
    low, high = (None, None) if spread is None else (value * (1 - spread), value * (1 + spread))
    return Record(
        lab="tiny", metric=metric, value=value, unit=unit, origin=origin, low=low, high=high, n=n,
        device=device, source="arithmetic",
    )  # fmt: skip


def executed(*, error: str = "", label: str = "") -> nbformat.NotebookNode:
    """A notebook with text, a formula and a picture; with an error in its last cell."""
    cells = [
        new_markdown_cell("# A lab\n\n$$t = \\frac{C}{P}$$\n\n[A paper](https://arxiv.org/abs/1)"),
        new_code_cell(
            f"draw({label!r})",
            execution_count=1,
            outputs=[
                new_output("display_data", {"image/png": picture(), "text/plain": "a figure"})
            ],
        ),
    ]
    if error:
        trace = ["\x1b[31mTraceback\x1b[0m (most recent call last)", error]
        ename, _, evalue = error.partition(": ")
        cells.append(
            new_code_cell(
                "too_fast()",
                execution_count=2,
                outputs=[new_output("error", ename=ename, evalue=evalue, traceback=trace)],
            )
        )
    return new_notebook(cells=cells)


def picture() -> str:
    from PIL import Image

    content = io.BytesIO()
    Image.linear_gradient("L").resize((640, 400)).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()
