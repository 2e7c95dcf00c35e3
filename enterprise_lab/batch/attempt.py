"""One try at a run: what is asked of the process that makes it, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

Scalar: TypeAlias = bool | int | float | str | None
"""A parameter's value: what a plan can write, a notebook annotate and a table column hold."""

NOTEBOOK = "notebook.ipynb"
RECORDS = "records.jsonl"
STDOUT = "stdout.log"
EVENTS = "events.jsonl"
STATUS = "status.json"
"""The files an attempt leaves; the last one is written last."""

MOST_OUTPUT_BYTES = 4_000_000
"""Of what an attempt prints, in its log and again in its notebook, this much is kept."""


class State(StrEnum):
    """How a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    KERNEL_DIED = "kernel_died"
    OUT_OF_MEMORY = "out_of_memory"
    CANCELLED = "cancelled"
    """Stopped from outside: Ctrl-C, a termination notice, or a runner or machine that was lost."""


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Job(_Kept):
    """An attempt as it is sent to the machine that makes it; nothing else is needed there."""

    run_id: str
    attempt: int
    notebook: str
    """Its name, for people."""
    content: str
    """The notebook's JSON."""
    parameters: Mapping[str, Scalar]
    """What the plan sets."""
    deadline_seconds: float
    memory_bytes: float | None = None
    """Most that the run's processes may hold together; None: what the machine has."""
    gpus: tuple[int, ...] = ()
    """The devices it may see, by their numbers on that machine."""
    most_output_bytes: int = MOST_OUTPUT_BYTES


class Event(_Kept):
    """A line of an attempt's events.

    `kind` is `begun`, `cell`, `interrupted`, `terminated`, `killed` or `ended`.
    """

    kind: str
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))
    cell: int | None = None
    """The code cell that starts, from 1, of `cells`."""
    cells: int | None = None
    text: str = ""


class Ended(_Kept):
    """How an attempt ended, as the machine that made it says."""

    state: State
    error: str = ""
    """One line for people; empty after a success."""
    cell: int | None = None
    """The code cell, from 1, in which it ended; None after a success or where it isn't known."""
    started: datetime
    run_seconds: float
    """From the start of its process to the end of the last, kernel's start included."""
    host: str
    device: str
    """What it ran on: the processor and, with GPUs, their names."""
    driver: str = ""
    peak_memory_bytes: float | None = None
    """Most that its processes held together, sampled; None where nobody looked."""


class Identity(_Kept):
    """What makes a run this run: change any of it and it is another one.

    Digests are hexadecimal. `data` holds one of each data set or set of weights the run uses.
    """

    notebook: str
    parameters: Mapping[str, Scalar]
    """All of them: what the plan sets and the notebook's own defaults."""
    code: str
    lock: str
    package: str
    data: Mapping[str, str] = {}
    device: str = "cpu"
    """The kind of device: `cpu`, or the name of the GPU, as often as the run has it: `4 x ...`."""


class Predicted(_Kept):
    """What was said of a run before it started; figures that nobody could say are None."""

    seconds: float | None = None
    low_seconds: float | None = None
    high_seconds: float | None = None
    memory_bytes: float | None = None
    source: str = ""


class Status(_Kept):
    """What `status.json` says of an attempt that has ended."""

    run_id: str
    attempt: int
    runner: str
    identity: Identity
    ended: Ended
    predicted: Predicted = Predicted()
    usd_per_hour: float | None = None
    """Price of what the run occupies of its machine."""
    versions: Mapping[str, str] = {}
    git_commit: str = ""

    @property
    def state(self) -> State:
        """How it ended."""
        return self.ended.state

    @property
    def usd(self) -> float | None:
        """What the attempt cost; None without a price."""
        if self.usd_per_hour is None:
            return None
        return self.usd_per_hour * self.ended.run_seconds / 3600

    def as_row(self) -> dict[str, Any]:
        """Its plain values, for tables and programs."""
        return self.model_dump(mode="json")
