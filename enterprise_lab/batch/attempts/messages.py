"""What a child says to its supervisor, a line of JSON at a time."""

from __future__ import annotations

from pydantic import BaseModel

from enterprise_lab.batch.attempt import Event, State


class Outcome(BaseModel):
    """How the notebook ended, as the child saw it."""

    state: State
    error: str = ""
    """One line."""
    cell: int | None = None
    kernel_exit_code: int | None = None
    """Of a kernel that died; minus the number of the signal that killed it."""


class Report(BaseModel):
    """An event, or at last the outcome."""

    event: Event | None = None
    outcome: Outcome | None = None
