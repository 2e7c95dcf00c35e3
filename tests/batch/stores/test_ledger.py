"""Who makes which attempt: at most one success a run, and nothing lost, whoever dies when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from enterprise_lab.batch.attempt import STATUS, Ended, Identity, Predicted, State, Status
from enterprise_lab.batch.run import Need, Retries, Run
from enterprise_lab.batch.stores import ledger, presence
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.batch.stores.ledger import RUNNER_LOST, Ledger, attempts, latest
from enterprise_lab.errors import LabError

IDENTITY = Identity(notebook="tiny.ipynb", parameters={}, code="c", lock="l", package="p")


def run_called(run_id: str) -> Run:
    return Run(
        run_id, "tiny.ipynb", "{}", {}, IDENTITY, Need(), 60, Retries(), Predicted(seconds=3), 0.5
    )


def status_of(run_id: str, attempt: int, runner: str, state: State) -> Status:
    ended = Ended(state=state, started=datetime.now(UTC), run_seconds=1, host="here", device="cpu")
    return Status(run_id=run_id, attempt=attempt, runner=runner, identity=IDENTITY, ended=ended)


def finish(book: Ledger, run_id: str, attempt: int, state: State) -> bool:
    work = book.scratch(run_id, attempt)
    (work / "stdout.log").write_text("said")
    return book.finish(run_id, attempt, work, status_of(run_id, attempt, book.runner, state))


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "runs")


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runners beat fast, so that silence is soon heard."""
    monkeypatch.setattr(presence, "BEAT_SECONDS", 0.02)


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


RUN = run_called("abc")


def test_an_attempt_is_claimed_by_one_and_read_by_all(store: Directory) -> None:
    with Ledger(store, "tiny") as mine, Ledger(store, "tiny") as yours:
        assert mine.claim(RUN) == 1
        assert yours.claim(RUN) is None
        yours.refresh()
        assert yours.running() == {"abc": f"process {os.getpid()} on {os.uname().nodename}"}
        assert ledger.running(store, "tiny") == yours.running()

        assert finish(mine, "abc", 1, State.SUCCEEDED)

        assert yours.claim(RUN) is None
        yours.refresh()
        assert yours.running() == {}
        assert [one.state for one in yours.ended["abc"]] == [State.SUCCEEDED]
    (only,) = attempts(store, "tiny")["abc"]
    assert (only.attempt, only.state) == (1, State.SUCCEEDED)
    assert store.read(ledger.place("tiny", "abc", 1, "stdout.log")) == b"said"


def test_who_leaves_leaves_nothing_behind(store: Directory, tmp_path: Path) -> None:
    with Ledger(store, "tiny") as book:
        assert book.claim(RUN) == 1
        book.scratch("abc", 1)
        assert finish(book, "abc", 1, State.FAILED)

    assert sorted(path.name for path in (tmp_path / "runs" / "tiny").iterdir()) == [
        ".claims",
        ".runners",
        "abc",
    ]
    assert store.names("tiny/.runners") == []


def test_the_next_attempt_follows_an_end_heard_of_from_another(store: Directory) -> None:
    with Ledger(store, "tiny") as mine, Ledger(store, "tiny") as yours:
        assert mine.claim(RUN) == 1
        assert finish(mine, "abc", 1, State.FAILED)

        assert yours.claim(RUN) is None
        assert [one.state for one in yours.ended["abc"]] == [State.FAILED]
        assert yours.claim(RUN) == 2


def test_a_runner_that_left_in_the_middle_has_its_attempt_ended_as_lost(store: Directory) -> None:
    with Ledger(store, "tiny") as gone:
        assert gone.claim(RUN) == 1

    with Ledger(store, "tiny") as book:
        assert book.running() == {}
        assert book.claim(RUN) == 2
    lost = attempts(store, "tiny")["abc"][0]
    assert (lost.state, lost.ended.error, lost.runner) == (
        State.CANCELLED,
        RUNNER_LOST,
        gone.runner,
    )
    assert (lost.identity, lost.predicted, lost.usd_per_hour) == (IDENTITY, RUN.predicted, 0.5)


CLAIMER = """\
import sys, time
sys.path.insert(0, sys.argv[2])
from tests.batch.stores.test_ledger import RUN, Directory, Ledger
with Ledger(Directory(sys.argv[1]), "tiny") as book:
    book.scratch("abc", book.claim(RUN))
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def claimer(store: Directory) -> Iterator[subprocess.Popen[str]]:
    """A runner in another process, with a claim."""
    here = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIMER, store.url, str(here)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def test_a_killed_runner_of_this_machine_is_gone_at_once(
    store: Directory, tmp_path: Path, claimer: subprocess.Popen[str]
) -> None:
    with Ledger(store, "tiny") as book:
        assert book.claim(RUN) is None
        assert ledger.running(store, "tiny").keys() == {"abc"}

        claimer.send_signal(signal.SIGKILL)  # and not waited for: what remains is no runner
        wait_for(lambda: not ledger.running(store, "tiny"))

        assert book.claim(RUN) == 2
        lost = book.ended["abc"][0]
        assert (lost.state, lost.ended.host) == (State.CANCELLED, os.uname().nodename)
        assert finish(book, "abc", 2, State.SUCCEEDED)
    assert store.names("tiny/.runners") == []
    assert not (tmp_path / "runs" / "tiny" / ".work").exists()


@pytest.mark.usefixtures("beats")
def test_a_silent_runner_of_another_machine_is_gone_after_a_while(
    store: Directory, claimer: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_space", lambda: "another machine")
    with Ledger(store, "tiny") as book:
        claimer.send_signal(signal.SIGSTOP)
        assert book.claim(RUN) is None

        wait_for(lambda: book.claim(RUN) == 2)


@pytest.mark.usefixtures("beats")
def test_a_runner_that_gives_signs_of_life_is_left_alone(
    store: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger(store, "tiny") as mine:
        assert mine.claim(RUN) == 1
        monkeypatch.setattr(presence, "_space", lambda: "another machine")
        with Ledger(store, "tiny") as yours:
            end = time.monotonic() + 0.02 * presence.SILENT_BEATS * 3
            while time.monotonic() < end:
                assert yours.claim(RUN) is None


def test_a_late_runners_result_is_refused(
    store: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, book = Ledger(store, "tiny"), Ledger(store, "tiny")
    late._presence.beat()
    assert late.claim(RUN) == 1
    monkeypatch.setattr(presence, "_space", lambda: "another machine")
    for _ in range(presence.SILENT_BEATS):
        book._presence.beat()
        assert book.claim(RUN) is None
    book._presence.beat()
    assert book.claim(RUN) == 2

    assert not finish(late, "abc", 1, State.SUCCEEDED)
    assert late.claim(RUN) is None

    assert finish(book, "abc", 2, State.SUCCEEDED)
    assert [one.state for one in attempts(store, "tiny")["abc"]] == [
        State.CANCELLED,
        State.SUCCEEDED,
    ]


def test_who_finds_its_folder_swept_away_starts_anew(store: Directory) -> None:
    book = Ledger(store, "tiny")
    book._presence.beat()
    assert book.claim(RUN) == 1
    work = book.scratch("abc", 1)
    store.sweep("tiny/.work", set)

    assert not book.finish("abc", 1, work, status_of("abc", 1, book.runner, State.SUCCEEDED))
    assert book.claim(RUN) == 2
    assert book.ended["abc"][0].state == State.CANCELLED


def test_a_full_disk_is_told(store: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with Ledger(store, "tiny") as book:
        assert book.claim(RUN) == 1
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(LabError, match="No space left"):
                finish(book, "abc", 1, State.SUCCEEDED)
    assert attempts(store, "tiny") == {}


def test_a_status_that_is_not_understood_is_told(store: Directory) -> None:
    store.create(ledger.place("tiny", "abc", 1, STATUS), b'{"run_id": "abc"}')

    with pytest.raises(LabError, match=r"tiny/abc/1/status.json in the store is not what"):
        attempts(store, "tiny")


def test_the_latest_is_the_success_or_else_the_last() -> None:
    failed, won = (status_of("a", k, "r", s) for k, s in [(1, State.FAILED), (2, State.SUCCEEDED)])

    assert latest([]) is None
    assert latest([failed]) is failed
    assert latest([won, failed]) is won


def test_attempts_are_read_in_their_order(store: Directory) -> None:
    for attempt in range(1, 13):
        text = status_of("abc", attempt, "r", State.FAILED).model_dump_json()
        store.create(ledger.place("tiny", "abc", attempt, STATUS), text.encode())
    store.create("tiny/abc/13/stdout.log", b"no status, no attempt")
    store.create("tiny/results.parquet", b"")

    assert [one.attempt for one in attempts(store, "tiny")["abc"]] == list(range(1, 13))


class Interleaved:
    """A store in memory that lets others act before each of its own steps."""

    url = "memory"

    def __init__(self, folder: Path) -> None:
        self.kept: dict[str, bytes] = {}
        self.before_each: Callable[[], None] = lambda: None
        self._folder = folder

    def read(self, name: str) -> bytes | None:
        self.before_each()
        return self.kept.get(name)

    def read_all(self, names: Iterable[str]) -> dict[str, bytes]:
        found = ((name, self.read(name)) for name in list(names))
        return {name: content for name, content in found if content is not None}

    def names(self, below: str) -> list[str]:
        self.before_each()
        return sorted(name for name in self.kept if name.startswith(f"{below}/"))

    def create(self, name: str, content: bytes) -> bool:
        self.before_each()
        return self.kept.setdefault(name, content) is content

    def replace(self, name: str, content: bytes) -> None:
        self.before_each()
        self.kept[name] = content

    def delete(self, name: str) -> None:
        self.before_each()
        self.kept.pop(name, None)

    def publish(self, name: str, folder: Path, last: str) -> bool:
        return self.create(f"{name}/{last}", (folder / last).read_bytes())

    def scratch(self, name: str) -> Path:
        folder = self._folder / name.replace("/", "_")
        folder.mkdir(exist_ok=True)
        return folder

    def sweep(self, below: str, keep: Callable[[], Collection[str]]) -> None:  # noqa: ARG002
        self.before_each()


class Killed(Exception):
    """A runner is gone in the middle of what it did."""


class Gang:
    """Runners of several machines on one store, that act whenever another one's step allows."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.store = Interleaved(folder)
        self.random = Random(seed)
        self.depth = 0
        self.successes = 0
        self.claimed: set[int] = set()
        self.at_work: dict[str, list[int]] = {}
        self.books: list[Ledger] = []
        for _ in range(3):
            self.join()
        self.busy: set[str] = set()
        self.store.before_each = self.somebody_acts

    def join(self) -> None:
        book = Ledger(self.store, "tiny")
        book._presence.beat()
        self.books.append(book)
        self.at_work[book.runner] = []

    def somebody_acts(self) -> None:
        idle = [book for book in self.books if book.runner not in self.busy]
        if self.depth < 2 and idle and self.random.random() < 0.1:
            self.act(self.random.choice(idle))
        if self.depth and self.random.random() < 0.01:
            raise Killed

    def act(self, book: Ledger) -> None:
        """Let a runner do something; killed in the middle, it is replaced by a new one."""
        self.depth += 1
        self.busy.add(book.runner)
        try:
            getattr(self, self.random.choice(["claim", "claim", "finish", "beat"]))(book)
        except Killed:
            self.books.remove(book)
            self.store.before_each, acting = lambda: None, self.store.before_each
            self.join()
            self.store.before_each = acting
        finally:
            self.busy.discard(book.runner)
            self.depth -= 1

    def claim(self, book: Ledger) -> None:
        if not self.at_work[book.runner] and (attempt := book.claim(RUN)):
            assert attempt not in self.claimed, "claimed twice"
            self.claimed.add(attempt)
            self.at_work[book.runner].append(attempt)

    def finish(self, book: Ledger) -> None:
        if not self.at_work[book.runner]:
            return
        attempt = self.at_work[book.runner].pop()
        state = self.random.choice([State.SUCCEEDED, State.FAILED, State.FAILED])
        if finish(book, RUN.run_id, attempt, state) and state == State.SUCCEEDED:
            self.successes += 1

    def beat(self, book: Ledger) -> None:
        for _ in range(self.random.choice([1, presence.SILENT_BEATS + 1])):
            book._presence.beat()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every runner be on a machine of its own: only silence tells that one is gone."""
    monkeypatch.setattr(presence.Runner, "ended", property(lambda _: False))


@pytest.mark.usefixtures("elsewhere")
def test_however_runners_act_and_die_a_run_succeeds_once_and_is_not_lost(tmp_path: Path) -> None:
    ends = set()
    for seed in range(300):
        gang = Gang(tmp_path, seed)
        for _ in range(40):
            gang.act(gang.random.choice(gang.books))
        gang.store.before_each = lambda: None
        ends.add((check(gang), gang.successes))
    assert len(ends) > 25, "not much happened"


def check(gang: Gang) -> tuple[State, ...]:
    """See that a runner that comes last completes the run; return how its attempts ended."""
    kept = {name: content for name, content in gang.store.kept.items() if name.endswith(STATUS)}
    last = Ledger(gang.store, "tiny")
    for _ in range(presence.SILENT_BEATS + 1):
        last._presence.beat()
    last.refresh()
    while all(one.state != State.SUCCEEDED for one in last.ended.get(RUN.run_id, ())):
        if attempt := last.claim(RUN):
            assert finish(last, RUN.run_id, attempt, State.SUCCEEDED)
    statuses = attempts(gang.store, "tiny")[RUN.run_id]
    states = [one.state for one in statuses]
    assert states.count(State.SUCCEEDED) == 1
    assert states[-1] == State.SUCCEEDED
    assert [one.attempt for one in statuses] == list(range(1, len(states) + 1))
    assert gang.successes <= 1
    for name, content in kept.items():
        assert gang.store.kept[name] == content, "a status is kept for good"
    return tuple(states)
