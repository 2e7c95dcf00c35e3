"""Who makes which attempt, and what ended how: the books of a plan's runs, kept in a store.

    NAME/RUN_ID/K/notebook.ipynb, ..., status.json   attempt K = 1, 2, ... of a run, ended
    NAME/.claims/RUN_ID.K.json                       who makes attempt K
    NAME/.runners/RUNNER.json                        a runner's sign of life
    NAME/.work/RUNNER/RUN_ID.K/                      an attempt at work, on its runner's machine

An attempt counts by its status alone, which is kept once, last, and for good. Its claim is kept
once and for good, too, and only after all earlier attempts have ended without a success. So there
is at most one success of a run. Where the runner with the claim is gone, another one first ends
the attempt as cancelled: should the first come back after all, its result is refused.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

from pydantic import BaseModel, ConfigDict, Field

from enterprise_lab.batch.attempt import STATUS, Ended, State, Status
from enterprise_lab.batch.run import Run
from enterprise_lab.batch.stores.presence import Presence, read_runners
from enterprise_lab.batch.stores.store import Store, parse
from enterprise_lab.errors import LabError

RUNNER_LOST = "its runner was lost"

_STATUS_NAME = re.compile(rf"[^/]+/([^/.]+)/([0-9]+)/{re.escape(STATUS)}")
_CLAIM_NAME = re.compile(r"[^/]+/\.claims/([^/.]+)\.([0-9]+)\.json")


class Claim(BaseModel):
    """Says whose an attempt is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runner: str
    time: datetime = Field(default_factory=lambda: datetime.now(UTC))


def attempts(store: Store, name: str) -> dict[str, tuple[Status, ...]]:
    """Read how the attempts of a plan's runs ended, in their order; runs without any are left out.

    Raises LabError for a status that can't be understood.
    """
    return _read_statuses(store, _ended(store.names(name)))


def latest(statuses: Sequence[Status]) -> Status | None:
    """Return the attempt that succeeded, else the last one that has ended."""
    successes = [one for one in statuses if one.state == State.SUCCEEDED]
    return next(reversed(successes or statuses), None)


def place(name: str, run_id: str, attempt: int, file: str) -> str:
    """Name a file of an attempt in the store."""
    return f"{name}/{run_id}/{attempt}/{file}"


def running(store: Store, name: str) -> dict[str, str]:
    """Tell who makes the attempts that are under way, as far as a passer-by can know."""
    names = store.names(name)
    live = {
        one.name: one
        for one in read_runners(store, (n for n in names if n.startswith(f"{name}/.runners/")))
        if not one.ended
    }
    claims = _read_claims(store, _open(names))
    return {i: str(live[one.runner]) for i, one in claims.items() if one.runner in live}


class Ledger:
    """The books as a runner keeps them, for as long as the context lasts."""

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._presence = Presence(store, name)
        self._work = f"{name}/.work"
        self._ended: dict[str, tuple[Status, ...]] = {}
        self._open: dict[str, str] = {}
        self._mine: set[str] = set()
        self._hearing = Lock()

    @property
    def runner(self) -> str:
        """The name of the runner whose ledger this is."""
        return self._presence.name

    @property
    def ended(self) -> Mapping[str, tuple[Status, ...]]:
        """How attempts have ended, as far as this runner has heard."""
        return self._ended

    def __enter__(self) -> Ledger:
        self._presence.__enter__()
        self.refresh()
        self._sweep()
        return self

    def __exit__(self, *exception: object) -> None:
        self._presence.__exit__(*exception)
        self._sweep()

    def refresh(self) -> None:
        """Hear of what others have claimed and ended."""
        names = self._store.names(self._name)
        known = {(i, one.attempt) for i, statuses in self._ended.items() for one in statuses}
        new = [name for name, key in _ended(names).items() if key not in known]
        for run_id, statuses in _read_statuses(self._store, new).items():
            self._hear(run_id, *statuses)
        self._open = _open(names)

    def running(self) -> dict[str, str]:
        """Tell, of the runs that had an attempt under way at the last refresh, who makes it."""
        claims = _read_claims(self._store, self._open)
        live = self._presence.find({one.runner for one in claims.values()})
        return {
            run_id: str(live[claim.runner])
            for run_id, claim in claims.items()
            if claim.runner in live and self._is_held(run_id, claim)
        }

    def live(self, runners: Iterable[str]) -> set[str]:
        """Return those of the runners that live, as far as can be known."""
        return set(self._presence.find(runners))

    def claim(self, run: Run) -> int | None:
        """Claim a run's next attempt and return its number.

        None where another runner is at it, or has ended an attempt that wasn't heard of yet.
        """
        while not self._has_succeeded(run.run_id):
            attempt = self._next(run.run_id)
            claim = Claim(runner=self.runner)
            if self._store.create(self._claim(run.run_id, attempt), _text(claim)):
                self._mine.add(run.run_id)
                return attempt
            status = self._read(run.run_id, attempt) or self._end_lost(run, attempt)
            if status is None:
                return None
            self._hear(run.run_id, status)
            if status.state != State.CANCELLED:
                return None
        return None

    def scratch(self, run_id: str, attempt: int) -> Path:
        """Make the empty folder of an attempt that this runner has claimed."""
        return self._store.scratch(f"{self._work}/{self.runner}/{run_id}.{attempt}")

    def finish(self, run_id: str, attempt: int, work: Path, status: Status) -> bool:
        """Keep an attempt's files and how it ended.

        False, and nothing kept, where this runner was taken for gone and the attempt for lost.
        """
        try:
            kept = self._publish(run_id, attempt, work, status)
        finally:
            self._mine.discard(run_id)
        if kept:
            self._hear(run_id, status)
        return kept

    def _publish(self, run_id: str, attempt: int, work: Path, status: Status) -> bool:
        try:
            (work / STATUS).write_bytes(_text(status))
        except FileNotFoundError:  # swept away with all that was this runner's
            return False
        except OSError as error:
            raise LabError(
                f"Results cannot be written to {work}: {error.strerror or error}.",
                "Free some space there, and run the plan again.",
            ) from error
        target = place(self._name, run_id, attempt, STATUS).rpartition("/")[0]
        return self._store.publish(target, work, STATUS)

    def _end_lost(self, run: Run, attempt: int) -> Status | None:
        """End an attempt whose runner is gone; None where it lives, or ends it right now."""
        name = self._claim(run.run_id, attempt)
        text = self._store.read(name)
        if text is None:  # not to be seen yet, over NFS
            return None
        claim = parse(Claim, name, text)
        if self._is_held(run.run_id, claim) and self.live([claim.runner]):
            return None
        seen = self._presence.last_sign(claim.runner)
        ended = Ended(
            state=State.CANCELLED,
            error=RUNNER_LOST,
            started=claim.time,
            run_seconds=max(0.0, (seen.time - claim.time).total_seconds()) if seen else 0.0,
            host=seen.host if seen else "",
            device="",
        )
        status = Status(
            run_id=run.run_id,
            attempt=attempt,
            runner=claim.runner,
            identity=run.identity,
            ended=ended,
            predicted=run.predicted,
            usd_per_hour=run.usd_per_hour,
        )
        if self.finish(run.run_id, attempt, self.scratch(run.run_id, attempt), status):
            return status
        return self._read(run.run_id, attempt)

    def _is_held(self, run_id: str, claim: Claim) -> bool:
        """Whether a claim's runner, if it lives, is at work: of this one it is known."""
        return claim.runner != self.runner or run_id in self._mine

    def _sweep(self) -> None:
        """Remove what runners that are gone have left, but what is still to be said of them."""
        with suppress(LabError):
            registered = {one.name for one in self._presence.registered()}
            live = self.live(registered)
            claims = _read_claims(self._store, _open(self._store.names(self._name)))
            for gone in registered - live - {one.runner for one in claims.values()}:
                self._presence.forget(gone)
            self._store.sweep(self._work, self._live_now)

    def _live_now(self) -> set[str]:
        return self.live(one.name for one in self._presence.registered())

    def _hear(self, run_id: str, *statuses: Status) -> None:
        with self._hearing:
            both = {one.attempt: one for one in (*self._ended.get(run_id, ()), *statuses)}
            self._ended[run_id] = tuple(both[attempt] for attempt in sorted(both))

    def _has_succeeded(self, run_id: str) -> bool:
        return any(one.state == State.SUCCEEDED for one in self._ended.get(run_id, ()))

    def _next(self, run_id: str) -> int:
        return max((one.attempt for one in self._ended.get(run_id, ())), default=0) + 1

    def _read(self, run_id: str, attempt: int) -> Status | None:
        name = place(self._name, run_id, attempt, STATUS)
        text = self._store.read(name)
        return None if text is None else parse(Status, name, text)

    def _claim(self, run_id: str, attempt: int) -> str:
        return f"{self._name}/.claims/{run_id}.{attempt}.json"


def _ended(names: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Find the statuses among names, with their runs and numbers of attempts."""
    return _matching(_STATUS_NAME, names)


def _open(names: Iterable[str]) -> dict[str, str]:
    """Find the claims among names whose attempts have not ended: a file's name for each run."""
    names = list(names)
    ended = set(_ended(names).values())
    claims = _matching(_CLAIM_NAME, names)
    return {run_id: name for name, (run_id, k) in claims.items() if (run_id, k) not in ended}


def _matching(pattern: re.Pattern[str], names: Iterable[str]) -> dict[str, tuple[str, int]]:
    found = ((name, pattern.fullmatch(name)) for name in names)
    return {name: (match[1], int(match[2])) for name, match in found if match}


def _read_statuses(store: Store, names: Iterable[str]) -> dict[str, tuple[Status, ...]]:
    by_run = defaultdict(list)
    for name, text in store.read_all(names).items():
        status = parse(Status, name, text)
        by_run[status.run_id].append(status)
    return {i: tuple(sorted(all_, key=lambda one: one.attempt)) for i, all_ in by_run.items()}


def _read_claims(store: Store, names: Mapping[str, str]) -> dict[str, Claim]:
    texts = store.read_all(names.values())
    return {i: parse(Claim, name, texts[name]) for i, name in names.items() if name in texts}


def _text(model: BaseModel) -> bytes:
    return f"{model.model_dump_json(indent=2)}\n".encode()
