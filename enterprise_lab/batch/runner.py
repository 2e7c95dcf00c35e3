"""Run a checked batch: place its runs on machines, try again what may be, and keep what ended."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TypeAlias

from enterprise_lab.batch.attempt import Ended, Event, Job, State, Status
from enterprise_lab.batch.engine import Engine, LostError, Stop
from enterprise_lab.batch.plans.needs import shortage
from enterprise_lab.batch.run import Batch, Run
from enterprise_lab.batch.slots import Place, Slots
from enterprise_lab.batch.stores.ledger import RUNNER_LOST, Ledger, latest
from enterprise_lab.batch.stores.store import Store
from enterprise_lab.errors import LabError
from enterprise_lab.measure.provenance import kit_commit, software

MOST_LOSSES = 5
"""A run whose machines are lost so often is given up: it may be what loses them."""
TICK_SECONDS = 0.2
LOOK_SECONDS = 2.0
"""Between looks at which machines there are, and at what other runners have ended."""
PATIENCE_SECONDS = 60.0
"""How long machines may be away that a run needs, when there is nothing else to do."""

Attempts: TypeAlias = Mapping[str, Sequence[Status]]


class Listener:
    """Hears how a batch goes, always in the thread that runs it. This one makes nothing of it."""

    def attempt_started(self, run: Run, attempt: int, node: str, slot: int) -> None:
        """Hear that an attempt is started on a machine, in one of its slots, numbered from 0."""

    def event(self, run: Run, event: Event) -> None:
        """Hear what happens in an attempt under way."""

    def attempt_ended(self, run: Run, status: Status, will_retry: bool) -> None:
        """Hear how an attempt has ended; `will_retry`: another one follows."""

    def waiting(self, runs: int) -> None:
        """Hear that nothing is left to do but to wait for so many runs of other runners."""


def pending(batch: Batch, attempts: Attempts) -> list[Run]:
    """List the runs that have not succeeded yet."""
    return [run for run in batch.runs if not _has_succeeded(attempts.get(run.run_id, ()))]


def run_batch(batch: Batch, engine: Engine, store: Store, stop: Stop, listen: Listener) -> None:
    """Run what is pending of a batch, together with other runners on the same store.

    Returns when every run has ended, here or elsewhere, or after `stop`, when all attempts made
    here have ended and are kept. Raises LabError, once these have ended, where results can't be
    kept, and where no machine can hold a run.
    """
    with Ledger(store, batch.name) as ledger:
        _Session(batch, engine, ledger, stop, listen).run()


class _Session:
    """One runner's work on a batch.

    Threads watch the attempts, one each; what they have to say is called in the session's own.
    """

    def __init__(
        self, batch: Batch, engine: Engine, ledger: Ledger, stop: Stop, listen: Listener
    ) -> None:
        self._engine, self._ledger = engine, ledger
        self._stop, self._listen = stop, listen
        self._said: SimpleQueue[partial[None]] = SimpleQueue()
        self._slots = Slots(batch.slots)
        self._under_way: set[str] = set()
        self._lost_on: dict[str, list[str]] = defaultdict(list)
        self._error: BaseException | None = None
        self._looked = self._progressed = time.monotonic()
        self._old = self._attempts_of_the_gone()
        busy = ledger.running()
        left = [run for run in batch.runs if not self._is_settled(run)]
        self._todo = [run for run in left if run.run_id not in busy]
        self._elsewhere = [run for run in left if run.run_id in busy]

    def run(self) -> None:
        """Run until nothing is left to do, or to wait for."""
        self._see_machines()
        self._require_machines()
        while self._is_going_on():
            try:
                if not self._stop.asked:
                    self._go_on()
                self._listen_up()
            except Exception as error:  # what is under way is ended first, and kept
                self._give_up(error)
        if self._error:
            raise self._error

    def _go_on(self) -> None:
        started = self._start_what_fits()
        now = time.monotonic()
        if started or self._under_way or not self._todo:
            self._progressed = now
        elif now - self._progressed > PATIENCE_SECONDS:
            self._require_machines()
        if now - self._looked > LOOK_SECONDS:
            self._look()
            self._looked = time.monotonic()

    def _is_going_on(self) -> bool:
        left = not self._stop.asked and (self._todo or self._elsewhere)
        return bool(self._under_way or left)

    def _see_machines(self) -> None:
        self._slots.update(self._engine.nodes())

    def _require_machines(self) -> None:
        if self._todo and not self._slots.nodes:
            raise LabError(
                f"There is no machine to make {len(self._todo)} of the runs.",
                "Run the plan again when there is one.",
            )
        for run in self._todo:
            if why := shortage(run.need, self._slots.nodes):
                raise LabError(f"{run.notebook} cannot be run: {why.problem}.", why.remedy)

    def _start_what_fits(self) -> bool:
        """Start runs, in the plan's order, as long as there is a place for one."""
        started = False
        for run in list(self._todo):
            place = self._slots.take(run.need, self._lost_on[run.run_id])
            if place is None:
                continue
            self._todo.remove(run)
            attempt = self._ledger.claim(run)
            if attempt is None:
                self._slots.give(place)
                self._elsewhere.append(run)
                continue
            Thread(target=self._make, args=(run, attempt, place), daemon=True).start()
            self._under_way.add(run.run_id)
            self._listen.attempt_started(run, attempt, place.node, place.slot)
            started = True
        return started

    def _make(self, run: Run, attempt: int, place: Place) -> None:
        """Make an attempt from beginning to end, in a thread of its own."""
        try:
            work = self._ledger.scratch(run.run_id, attempt)
            ended, is_lost = self._attempt(run, attempt, place, work)
            if is_lost:  # before its slot is free, or the next attempt would be lost there too
                self._said.put(partial(self._see_machines))
            self._said.put(partial(self._slots.give, place))
            status = Status(
                run_id=run.run_id,
                attempt=attempt,
                runner=self._ledger.runner,
                identity=run.identity,
                ended=ended,
                predicted=run.predicted,
                usd_per_hour=run.usd_per_hour,
                versions=software(),
                git_commit=kit_commit(),
            )
            if not self._ledger.finish(run.run_id, attempt, work, status):
                refused = {"state": State.CANCELLED, "error": RUNNER_LOST}
                status = status.model_copy(update={"ended": ended.model_copy(update=refused)})
            self._said.put(partial(self._end, run, status, place.node if is_lost else None))
        except BaseException as error:
            self._said.put(partial(self._break_off, run, place, error))

    def _attempt(self, run: Run, attempt: int, place: Place, work: Path) -> tuple[Ended, bool]:
        """Have the engine make an attempt; return how it ended, and whether with its machine."""
        job = Job(
            run_id=run.run_id,
            attempt=attempt,
            notebook=run.notebook,
            content=run.content,
            parameters=run.given,
            deadline_seconds=run.deadline_seconds,
            memory_bytes=run.need.memory_bytes,
            gpus=place.gpus,
        )
        started, clock = datetime.now(UTC), time.monotonic()
        try:
            tell = partial(self._tell, run)
            return self._engine.start(place.node, job, work, self._stop, tell).result(), False
        except LostError:
            ended = Ended(
                state=State.CANCELLED,
                error=f"its machine was lost: {place.node}",
                started=started,
                run_seconds=time.monotonic() - clock,
                host=place.node,
                device="",
            )
            return ended, True

    def _tell(self, run: Run, event: Event) -> None:
        self._said.put(partial(self._listen.event, run, event))

    def _listen_up(self) -> None:
        """Do what was said, waiting a moment for it."""
        try:
            self._said.get(timeout=TICK_SECONDS)()
            while True:
                self._said.get_nowait()()
        except Empty:
            pass

    def _end(self, run: Run, status: Status, lost_on: str | None) -> None:
        self._under_way.discard(run.run_id)
        if lost_on:
            self._lost_on[run.run_id].append(lost_on)
            self._see_machines()
        again = not self._is_settled(run)
        if again:
            self._todo.append(run)
        self._listen.attempt_ended(run, status, again and not self._stop.asked)

    def _break_off(self, run: Run, place: Place, error: BaseException) -> None:
        """Stop the batch for an error that is no attempt's own."""
        self._under_way.discard(run.run_id)
        self._slots.give(place)
        self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._error = self._error or error
        self._stop.ask(f"the runner had to stop: {error}")

    def _look(self) -> None:
        """See which machines there are, and what others have ended or left undone."""
        self._see_machines()
        if not self._elsewhere:
            return
        if not self._todo and not self._under_way:
            self._listen.waiting(len(self._elsewhere))
        self._ledger.refresh()
        busy = self._ledger.running()
        left = [run for run in self._elsewhere if not self._is_settled(run)]
        self._todo += [run for run in left if run.run_id not in busy]
        self._elsewhere = [run for run in left if run.run_id in busy]

    def _is_settled(self, run: Run) -> bool:
        """Whether a run needs no attempt more: it succeeded, or has had all it may have."""
        statuses = self._ledger.ended.get(run.run_id, ())
        if _has_succeeded(statuses) or len(self._lost_on[run.run_id]) >= MOST_LOSSES:
            return True
        tries = [
            one.state
            for one in statuses
            if one.state != State.CANCELLED and (run.run_id, one.attempt) not in self._old
        ]
        return bool(tries) and (len(tries) > run.retries.times or tries[-1] not in run.retries.on)

    def _attempts_of_the_gone(self) -> set[tuple[str, int]]:
        """Find attempts made before: to run a plan again is to try again what failed."""
        statuses = [one for all_ in self._ledger.ended.values() for one in all_]
        live = self._ledger.live({one.runner for one in statuses})
        return {(one.run_id, one.attempt) for one in statuses if one.runner not in live}


def _has_succeeded(statuses: Sequence[Status]) -> bool:
    last = latest(statuses)
    return last is not None and last.state == State.SUCCEEDED
