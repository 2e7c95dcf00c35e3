"""What is run where, when, again, and by whom: over played engines, and by real runners."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock, Thread, Timer

import psutil
import pytest

from enterprise_lab.batch import runner
from enterprise_lab.batch.attempt import (
    Ended,
    Event,
    Identity,
    Job,
    Predicted,
    State,
    Status,
)
from enterprise_lab.batch.engine import LostError, Node, Stop
from enterprise_lab.batch.run import Batch, Need, Retries, Run
from enterprise_lab.batch.runner import MOST_LOSSES, Listener, pending, run_batch
from enterprise_lab.batch.stores import presence
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.batch.stores.ledger import RUNNER_LOST, Ledger, attempts
from enterprise_lab.batch.stores.store import Store
from enterprise_lab.errors import LabError

from .workshop import Workshop

L4 = "NVIDIA L4"
HERE = Node("here", 8, 64e9, (L4, L4))
IDENTITY = Identity(notebook="tiny.ipynb", parameters={}, code="c", lock="l", package="p")


def run_called(run_id: str, need: Need = Need(), retries: Retries = Retries()) -> Run:  # noqa: B008
    predicted = Predicted(seconds=3)
    return Run(run_id, "tiny.ipynb", "{}", {}, IDENTITY, need, 60, retries, predicted, 0.5)


def batch_of(*runs: Run | str, slots: int = 2) -> Batch:
    made = [run_called(run) if isinstance(run, str) else run for run in runs]
    return Batch("tiny", "Tiny", tuple(made), "", slots)


class Played:
    """An engine whose attempts end as a play says: with a state, an error, or when told to stop."""

    def __init__(
        self, play: Callable[[str, Job], State | Exception | None], *machines: Node
    ) -> None:
        self.machines: Sequence[Node] = machines or (HERE,)
        self.started: list[tuple[str, Job]] = []
        self.most_at_once = 0
        self._now = 0
        self._play = play
        self._lock = Lock()

    def nodes(self) -> Sequence[Node]:
        return self.machines

    def start(
        self, node: str, job: Job, work: Path, stop: Stop, tell: Callable[[Event], None]
    ) -> Future[Ended]:
        with self._lock:
            self.started.append((node, job))
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        future: Future[Ended] = Future()

        def make() -> None:
            tell(Event(kind="begun"))
            end = self._play(node, job)
            if end is None:
                assert stop.wait(30)
                end = State.CANCELLED
            with self._lock:
                self._now -= 1
            if isinstance(end, Exception):
                future.set_exception(end)
                return
            if work.exists():
                (work / "notebook.ipynb").write_text(job.content)
            error = "" if end == State.SUCCEEDED else stop.reason or f"it is {end}"
            future.set_result(
                Ended(
                    state=end,
                    error=error,
                    started=datetime.now(UTC),
                    run_seconds=0.1,
                    host=node,
                    device="cpu",
                )
            )

        Timer(0.005, make).start()
        return future

    def close(self) -> None:
        pass

    @property
    def made(self) -> Counter[str]:
        return Counter(job.run_id for _, job in self.started)


class Diary(Listener):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def attempt_started(self, run: Run, attempt: int, node: str, slot: int) -> None:
        self.lines.append(f"{run.run_id}.{attempt} on {node}, slot {slot}")

    def event(self, run: Run, event: Event) -> None:
        self.lines.append(f"{run.run_id}: {event.kind}")

    def attempt_ended(self, run: Run, status: Status, will_retry: bool) -> None:
        again = ", again" if will_retry else ""
        self.lines.append(f"{run.run_id}.{status.attempt} {status.state}{again}")

    def waiting(self, runs: int) -> None:
        self.lines.append(f"waiting for {runs}")


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "runs")


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(runner, "TICK_SECONDS", 0.01)


def run(batch: Batch, engine: Played, store: Store, stop: Stop | None = None) -> Diary:
    diary = Diary()
    run_batch(batch, engine, store, stop or Stop(), diary)
    return diary


def states(store: Directory) -> dict[str, list[State]]:
    return {run_id: [s.state for s in all_] for run_id, all_ in attempts(store, "tiny").items()}


def succeed(_: str, __: Job) -> State:
    return State.SUCCEEDED


def test_runs_are_made_in_order_side_by_side_and_kept(store: Directory) -> None:
    engine = Played(succeed)
    batch = batch_of(*(f"r{number}" for number in range(6)))

    diary = run(batch, engine, store)

    assert [job.run_id for _, job in engine.started] == [run.run_id for run in batch.runs]
    assert engine.most_at_once == 2
    assert diary.lines[0] == "r0.1 on here, slot 0"
    assert {"r0: begun", "r0.1 succeeded", "r1.1 on here, slot 1"} <= set(diary.lines)
    (status,) = attempts(store, "tiny")["r0"]
    assert (status.predicted.seconds, status.usd_per_hour) == (3, 0.5)
    assert status.versions["python"]
    assert store.names("tiny/r0") == ["tiny/r0/1/notebook.ipynb", "tiny/r0/1/status.json"]
    assert pending(batch, attempts(store, "tiny")) == []


def test_what_has_succeeded_is_not_run_again_and_what_failed_is(store: Directory) -> None:
    batch = batch_of("good", "bad")
    run(batch, Played(lambda _, job: State(("succeeded", "failed")[job.run_id == "bad"])), store)
    assert [one.run_id for one in pending(batch, attempts(store, "tiny"))] == ["bad"]

    engine = Played(succeed)
    run(batch, engine, store)

    assert engine.made == {"bad": 1}
    assert states(store) == {"good": [State.SUCCEEDED], "bad": [State.FAILED, State.SUCCEEDED]}


@pytest.mark.parametrize(
    ("ends", "times", "made"),
    [
        ("failed failed failed", 0, 1),
        ("failed failed failed", 1, 2),
        ("failed kernel_died failed", 2, 3),
        ("failed succeeded", 2, 2),
        ("timed_out failed", 2, 1),
        ("failed timed_out failed", 2, 2),
    ],
)
def test_retries_are_as_many_as_the_plan_says_and_on_what_it_says(
    store: Directory, ends: str, times: int, made: int
) -> None:
    left = [State(word) for word in ends.split()]
    retries = Retries(times, frozenset({State.FAILED, State.KERNEL_DIED}))
    engine = Played(lambda *_: left.pop(0))

    diary = run(batch_of(run_called("r", retries=retries)), engine, store)

    assert len(engine.started) == made
    ended = [line for line in diary.lines if line.startswith("r.")]
    assert [line.endswith("again") for line in ended if "on" not in line] == [True] * (made - 1) + [
        False
    ]


def test_a_run_whose_machine_is_lost_is_made_on_another(store: Directory) -> None:
    def play(node: str, _: Job) -> State | Exception:
        return LostError("gone") if node == "a" else State.SUCCEEDED

    engine = Played(play, Node("a", 4, 1e9), Node("b", 4, 1e9))

    diary = run(batch_of("r"), engine, store)

    assert [node for node, _ in engine.started] == ["a", "b"]
    assert "r.1 cancelled, again" in diary.lines
    lost = attempts(store, "tiny")["r"][0]
    assert (lost.ended.error, lost.ended.host) == ("its machine was lost: a", "a")


def test_a_run_that_loses_every_machine_is_given_up_at_last(store: Directory) -> None:
    engine = Played(lambda *_: LostError("gone"))

    run(batch_of("r"), engine, store)

    assert len(engine.started) == MOST_LOSSES
    assert states(store) == {"r": [State.CANCELLED] * MOST_LOSSES}


def test_gpus_are_told_by_their_numbers(store: Directory) -> None:
    engine = Played(succeed)

    run(batch_of(*(run_called(f"r{n}", Need(gpus=1)) for n in range(2)), slots=1), engine, store)

    assert sorted(job.gpus for _, job in engine.started) == [(0,), (1,)]


def test_a_run_that_no_machine_holds_is_told_before_anything_starts(store: Directory) -> None:
    engine = Played(succeed)

    with pytest.raises(LabError, match=r"tiny.ipynb cannot be run: .*3 GPUs"):
        run(batch_of("r", run_called("large", Need(gpus=3))), engine, store)

    assert engine.started == []
    assert states(store) == {}


def test_machines_that_come_later_are_used(store: Directory) -> None:
    engine = Played(succeed, Node("first", 4, 1e9))

    def replace(_: str, __: Job) -> Exception | State:
        engine.machines = ()
        Timer(0.1, lambda: setattr(engine, "machines", (Node("second", 4, 1e9),))).start()
        engine._play = succeed
        return LostError("gone")

    engine._play = replace
    run(batch_of("r"), engine, store)

    assert [node for node, _ in engine.started] == ["first", "second"]


def test_machines_that_stay_away_end_the_batch(
    store: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 0.1)
    engine = Played(succeed)

    def lose(_: str, __: Job) -> Exception:
        engine.machines = ()
        return LostError("gone")

    engine._play = lose
    with pytest.raises(LabError, match="There is no machine to make 1 of the runs"):
        run(batch_of("r"), engine, store)
    assert states(store) == {"r": [State.CANCELLED]}


def test_a_stop_cancels_what_is_under_way_and_leaves_the_rest_queued(store: Directory) -> None:
    stop = Stop()
    engine = Played(lambda *_: None)
    batch = batch_of("r0", "r1", "r2")
    Timer(0.2, stop.ask, ["enough"]).start()

    diary = run(batch, engine, store, stop)

    assert states(store) == {"r0": [State.CANCELLED], "r1": [State.CANCELLED]}
    assert attempts(store, "tiny")["r0"][0].ended.error == "enough"
    assert "r0.1 cancelled" in diary.lines
    assert store.read("tiny/r0/1/notebook.ipynb") == b"{}"

    engine = Played(succeed)
    run(batch, engine, store)
    assert engine.made == {"r0": 1, "r1": 1, "r2": 1}


def test_a_stop_asked_before_starts_nothing(store: Directory) -> None:
    stop = Stop()
    stop.ask("enough")

    assert run(batch_of("r"), Played(succeed), store, stop).lines == []


def test_results_that_cannot_be_kept_stop_the_batch_and_leave_nothing(
    store: Directory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Stop()

    def full(*_: object) -> bool:
        raise LabError("The disk is full.", "Free some space.")

    monkeypatch.setattr(store, "publish", full)
    engine = Played(lambda _, job: State.SUCCEEDED if job.run_id == "r0" else None)

    with pytest.raises(LabError, match="The disk is full"):
        run(batch_of("r0", "r1", "r2"), engine, store, stop)

    assert stop.asked
    assert states(store) == {}
    assert not (tmp_path / "runs" / "tiny" / ".work").exists()
    monkeypatch.undo()
    run(batch_of("r0", "r1", "r2"), Played(succeed), store)
    assert states(store)["r0"] == [State.CANCELLED, State.SUCCEEDED]


def test_a_store_or_a_cluster_that_breaks_is_told_once_all_has_ended(
    store: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> Sequence[Node]:
        raise LabError("It is away.", "Wait.")

    def play(_: str, job: Job) -> State | None:
        if job.run_id == "r0":
            monkeypatch.setattr(engine, "nodes", away)
            return State.SUCCEEDED
        return None

    engine = Played(play)
    with pytest.raises(LabError, match="It is away"):
        run(batch_of("r0", "r1", "r2"), engine, store)

    ended = attempts(store, "tiny")
    assert {run_id: all_[-1].state for run_id, all_ in ended.items()} == {
        run_id: State.SUCCEEDED if run_id == "r0" else State.CANCELLED for run_id in ended
    }
    assert ended["r1"][0].ended.error == "the runner had to stop: It is away. Wait."


def test_a_broken_engine_is_told_once_all_has_ended(store: Directory) -> None:
    engine = Played(lambda _, job: RuntimeError("bug") if job.run_id == "r0" else None)

    with pytest.raises(RuntimeError, match="bug"):
        run(batch_of("r0", "r1"), engine, store)

    assert states(store) == {"r1": [State.CANCELLED]}


def test_an_attempt_taken_for_lost_is_made_again(store: Directory) -> None:
    def sweep(_: str, job: Job) -> State:
        if job.attempt == 1:
            store.sweep("tiny/.work", set)
        return State.SUCCEEDED

    diary = run(batch_of("r"), Played(sweep), store)

    assert states(store) == {"r": [State.CANCELLED, State.SUCCEEDED]}
    assert attempts(store, "tiny")["r"][0].ended.error == RUNNER_LOST
    assert "r.1 cancelled, again" in diary.lines


def test_two_runners_share_the_work_and_each_waits_for_the_other(store: Directory) -> None:
    batch = batch_of(*(f"r{number}" for number in range(20)), slots=1)
    engines = [Played(succeed), Played(succeed)]
    diaries: list[Diary] = []
    threads = [
        Thread(target=lambda engine=engine: diaries.append(run(batch, engine, store)))
        for engine in engines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(diaries) == 2
    assert engines[0].made + engines[1].made == Counter(run.run_id for run in batch.runs)
    assert all(engine.started for engine in engines)
    assert set(map(tuple, states(store).values())) == {(State.SUCCEEDED,)}


def test_a_runner_waits_for_anothers_run_and_sees_how_it_ends(store: Directory) -> None:
    with Ledger(store, "tiny") as other:
        (only,) = batch_of("r").runs
        assert other.claim(only) == 1

        def end() -> None:
            work = other.scratch("r", 1)
            ended = Ended(
                state=State.SUCCEEDED,
                started=datetime.now(UTC),
                run_seconds=1,
                host="there",
                device="cpu",
            )
            status = Status(
                run_id="r", attempt=1, runner=other.runner, identity=IDENTITY, ended=ended
            )
            assert other.finish("r", 1, work, status)

        Timer(0.3, end).start()
        diary = run(batch_of("r"), Played(succeed), store)

    assert set(diary.lines) == {"waiting for 1"}
    assert states(store) == {"r": [State.SUCCEEDED]}


def test_a_runner_takes_over_from_one_that_is_lost(
    store: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "BEAT_SECONDS", 0.02)
    silent = Ledger(store, "tiny")
    silent._presence.beat()
    (only,) = batch_of("r").runs
    assert silent.claim(only) == 1
    monkeypatch.setattr(presence, "_space", lambda: "another machine")
    engine = Played(succeed)

    diary = run(batch_of("r"), engine, store)

    assert "waiting for 1" in diary.lines
    assert states(store) == {"r": [State.CANCELLED, State.SUCCEEDED]}


def test_tries_of_a_runner_at_work_count_for_the_others(store: Directory) -> None:
    bad = Played(lambda *_: State.FAILED)
    with Ledger(store, "tiny") as other:
        (only,) = batch_of("r").runs
        attempt = other.claim(only)
        assert attempt == 1
        ended = Ended(
            state=State.FAILED, started=datetime.now(UTC), run_seconds=1, host="", device=""
        )
        status = Status(run_id="r", attempt=1, runner=other.runner, identity=IDENTITY, ended=ended)
        assert other.finish("r", 1, other.scratch("r", 1), status)

        run(batch_of("r"), bad, store)
        assert bad.started == []

    run(batch_of("r"), bad, store)
    assert len(bad.started) == 1


# By real runners, in processes of their own.

RUNNER = """\
import sys
from contextlib import closing
from pathlib import Path
from enterprise_lab.batch.plans.check import check_plan
from enterprise_lab.batch.engine import Stop
from enterprise_lab.batch.engines.local import LocalEngine
from enterprise_lab.batch.runner import Listener, run_batch
from enterprise_lab.batch.stores.store import open_store
from enterprise_lab.batch.termination import notices
batch, stop = check_plan(Path(sys.argv[1]), sys.argv[2]), Stop()
with closing(LocalEngine()) as engine, notices(stop, Path(sys.argv[3])) as noticed:
    run_batch(batch, engine, open_store(batch.store), stop, Listener())
sys.exit(noticed.exit_code or 0)
"""
# Sleeps the first time only, a kernel with a child of its own, and says who they are.
SLEEP = """\
import os, subprocess, time
from pathlib import Path
told = Path(label)
if not told.exists():
    sleeper = subprocess.Popen(["sleep", "600"])
    told.with_suffix(".new").write_text(f"{os.getpid()} {sleeper.pid}")
    told.with_suffix(".new").rename(told)
    time.sleep(600)
"""


def start_runner(workshop: Workshop) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", RUNNER, str(workshop.plan_path), str(workshop.runs)),
            str(workshop.root / "notice"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def sleepers_of(running: subprocess.Popen[str], told: Path) -> list[int]:
    """Wait until a run sleeps, and return its processes."""
    wait_for(lambda: told.exists() or running.poll() is not None)
    assert running.poll() is None, running.communicate()
    return [int(pid) for pid in told.read_text().split()]


@pytest.fixture
def told(workshop: Workshop) -> Path:
    """A plan of two runs, the first of which sleeps once it has told who it is."""
    told = workshop.root / "told"
    workshop.notebook(SLEEP)
    entry = {
        "notebook": "tiny.ipynb",
        "parameters": {"label": str(told)},
        "matrix": {"steps": [1, 2]},
    }
    workshop.plan(runs=[entry], slots=1)
    return told


@pytest.mark.parametrize(
    ("notice", "code", "reason"),
    [
        ("ctrl-c", 130, "interrupted by Ctrl-C"),
        ("signal", 143, "a termination notice: signal"),
        ("file", 143, "a termination notice: "),
    ],
)
def test_a_notice_saves_what_there_is_and_stops(
    workshop: Workshop, told: Path, notice: str, code: int, reason: str
) -> None:
    running = start_runner(workshop)
    sleepers = sleepers_of(running, told)

    match notice:
        case "ctrl-c":
            running.send_signal(signal.SIGINT)
        case "signal":
            running.send_signal(signal.SIGTERM)
        case "file":
            (workshop.root / "notice").touch()
    output, _ = running.communicate(timeout=60)

    assert running.returncode == code, output
    assert "Traceback" not in output
    assert not any(map(is_alive, sleepers))
    store = Directory(workshop.runs)
    ((cut,),) = attempts(store, "tiny").values()
    assert cut.state == State.CANCELLED
    assert cut.ended.error.startswith(reason)
    notebook = store.read(f"tiny/{cut.run_id}/1/notebook.ipynb")
    assert notebook is not None
    assert b"KeyboardInterrupt" in notebook
    assert store.names("tiny/.runners") == []
    assert len(pending(workshop.check(), attempts(store, "tiny"))) == 2


def test_a_second_ctrl_c_does_not_wait_and_the_next_runner_goes_on(
    workshop: Workshop, told: Path
) -> None:
    workshop.notebook("import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)", SLEEP)
    running = start_runner(workshop)
    sleepers = sleepers_of(running, told)

    running.send_signal(signal.SIGINT)
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    output, _ = running.communicate(timeout=60)

    assert running.returncode == -signal.SIGINT, output
    wait_for(lambda: not any(map(is_alive, sleepers)))
    store = Directory(workshop.runs)
    again = start_runner(workshop)
    output, _ = again.communicate(timeout=120)
    assert again.returncode == 0, output
    assert all(ends[-1] == State.SUCCEEDED for ends in states(store).values())
