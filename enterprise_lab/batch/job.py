"""What a runner and its child say to each other."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from enterprise_lab.batch.plan import Scalar
from enterprise_lab.batch.store import State

OUTCOME = "outcome.json"
"""Left in the working folder by a child whose notebook did not succeed."""


class Job(BaseModel):
    """What the runner asks of a child."""

    notebook: Path
    parameters: dict[str, Scalar]


class Outcome(BaseModel):
    """Why a run did not succeed."""

    status: State
    error: str
