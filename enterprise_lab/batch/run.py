"""A checked plan: its runs, and what each needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from enterprise_lab.batch.attempt import Identity, Predicted, Scalar, State


@dataclass(frozen=True)
class Need:
    """What a run occupies of a machine; a run without GPUs takes one of its processor's slots.

    `memory_bytes` is the most it may hold; None sets no limit. `accelerator` is the catalogue's
    name of the only kind of GPU it may run on.
    """

    gpus: int = 0
    memory_bytes: float | None = None
    accelerator: str | None = None


@dataclass(frozen=True)
class Retries:
    """How often a run is tried again after ends of these states.

    An attempt that was cancelled or lost is no fault of the run, and does not count.
    """

    times: int = 0
    on: frozenset[State] = frozenset()


@dataclass(frozen=True)
class Run:
    """One cell of a plan's matrix, found sound.

    `given` is what the plan sets; `parameters` adds the notebook's own defaults. `content` is the
    notebook's JSON.
    """

    run_id: str
    notebook: str
    content: str = field(repr=False)
    given: Mapping[str, Scalar]
    identity: Identity
    need: Need
    deadline_seconds: float
    retries: Retries
    predicted: Predicted
    usd_per_hour: float | None

    @property
    def parameters(self) -> Mapping[str, Scalar]:
        """All of its parameters."""
        return self.identity.parameters


@dataclass(frozen=True)
class Batch:
    """A plan found sound: what is to be run, and where its results go.

    `store` is a folder or a URL such as s3://bucket/prefix; `slots` how many runs without GPUs
    a machine may make side by side.
    """

    name: str
    title: str
    runs: tuple[Run, ...]
    store: str
    slots: int = 1
