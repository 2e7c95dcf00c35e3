"""What a batch shows on the terminal while it runs: a line a slot, one for all, the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from enterprise_lab.batch.attempt import Event, State, Status
from enterprise_lab.batch.pace import Pace
from enterprise_lab.batch.run import Run
from enterprise_lab.batch.runner import Listener
from enterprise_lab.batch.tables import coloured

_STOPPING = {
    "interrupted": "interrupted, saving",
    "terminated": "told to end",
    "killed": "killed",
}


@dataclass
class _UnderWay:
    run: Run
    attempt: int
    begun: float
    at: str = "starting"

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun


class Display(Listener):
    """Shows how a batch goes; where nobody watches a terminal, a line for each run that ended."""

    def __init__(self, console: Console, names: Mapping[str, str], todo: Mapping[str, Run]) -> None:
        self._console = console
        self._names = names
        self._waiting = dict(todo)
        self._total = len(todo)
        self._done = 0
        self._elsewhere = 0
        self._lanes: dict[tuple[str, int], _UnderWay | None] = {}
        self._pace = Pace()
        self._begun = time.monotonic()
        self._live = Live(
            console=console,
            get_renderable=self._picture,
            refresh_per_second=4,
            transient=True,
        )

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def attempt_started(self, run: Run, attempt: int, node: str, slot: int) -> None:
        """Give the run its slot's line."""
        self._elsewhere = 0
        self._waiting.pop(run.run_id, None)
        self._lanes[node, slot] = _UnderWay(run, attempt, time.monotonic())

    def event(self, run: Run, event: Event) -> None:
        """Say on the run's line where it is."""
        for one in self._lanes.values():
            if one and one.run.run_id == run.run_id:
                if event.kind == "cell":
                    one.at = f"cell {event.cell} of {event.cells}"
                else:
                    one.at = _STOPPING.get(event.kind, one.at)

    def attempt_ended(self, run: Run, status: Status, will_retry: bool) -> None:
        """Say how the run ended, and free its line."""
        for lane, one in self._lanes.items():
            if one and one.run.run_id == run.run_id:
                self._lanes[lane] = None
        if will_retry:
            self._waiting[run.run_id] = run
        else:
            self._done += 1
        if status.state == State.SUCCEEDED:
            self._pace.learn(run, status.ended.run_seconds)
        again = ", to be tried again" if will_retry else ""
        error = f"\n    {escape(status.ended.error)}{again}" if status.ended.error else ""
        self._console.print(
            f"{coloured(status.state, 13)} {status.ended.run_seconds:8.1f} s "
            f" {escape(self._names[run.run_id])}{error}",
            soft_wrap=True,
        )

    def waiting(self, runs: int) -> None:
        """Say once that other runners' runs are waited for; count those that they have ended."""
        if not self._elsewhere:
            self._console.print(f"Waiting for {_runs(runs)} that other runners are making.")
        self._elsewhere = runs
        self._done = self._total - runs

    def _picture(self) -> RenderableType:
        lines = Table.grid(padding=(0, 2))
        several = len({node for node, _ in self._lanes}) > 1
        for (node, slot), one in sorted(self._lanes.items()):
            where = f"{node}/{slot}" if several else f"slot {slot}"
            if one is None:
                lines.add_row(f"[dim]{escape(where)}[/]", "[dim]free[/]")
                continue
            expected = self._pace.seconds(one.run)
            of = f" of about {_clock(expected)}" if expected else ""
            again = f", attempt {one.attempt}" if one.attempt > 1 else ""
            lines.add_row(
                f"[cyan]{escape(where)}[/]",
                escape(self._names[one.run.run_id]),
                f"{one.at}{again}",
                f"{_clock(one.seconds)}{of}",
            )
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            f"{self._done} of {self._total} runs",
            ProgressBar(self._total, self._done, width=30),
            f"{_clock(time.monotonic() - self._begun)}, {self._left()}",
        )
        return Group(lines, bar)

    def _left(self) -> str:
        if self._elsewhere:
            return f"waiting for {_runs(self._elsewhere)} of other runners"
        under_way = [(one.run, one.seconds) for one in self._lanes.values() if one]
        seconds = self._pace.left(list(self._waiting.values()), under_way, len(self._lanes))
        return "time left unknown" if seconds is None else f"about {_clock(seconds)} left"


def _runs(number: int) -> str:
    return f"{number} run{'s' * (number != 1)}"


def _clock(seconds: float) -> str:
    """Write a time as on a clock: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
