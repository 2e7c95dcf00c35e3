"""Attempts that are really made: every way one can end, and what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from enterprise_lab.batch.attempt import Ended, Event, Job, State
from enterprise_lab.batch.attempts import memory_watch, processes, supervisor
from enterprise_lab.batch.attempts.nursery import Nursery
from enterprise_lab.batch.engine import Stop

from .. import making
from ..making import is_alive, job, wait_for

# A kernel with two children of its own, one of them far from home; says who they all are.
FAMILY = """\
import os, subprocess, sys, time
from pathlib import Path
far = "import os, time; os.setsid(); os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
subprocess.run([sys.executable, "-c", far])
near = subprocess.Popen(["sleep", "600"])
Path("told.new").write_text(f"{os.getpid()} {near.pid} {os.getppid()}")
Path("told.new").rename("told")
"""
SLEEP = FAMILY + "time.sleep(600)"
DEAF = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (signal.SIGINT, signal.SIGTERM)]"
DEAF_SLEEP = (
    f"{DEAF}\n{FAMILY}while True:\n    try: time.sleep(600)\n    except BaseException: pass"
)


@pytest.fixture(scope="module")
def home() -> Iterator[Nursery]:
    with making.nursery() as nursery:
        yield nursery


class Maker:
    """Makes attempts in a folder; knows the events of the last one and what was left of it."""

    def __init__(self, home: Nursery, work: Path) -> None:
        self.home = home
        self.work = work
        self.stop = Stop()
        self.events: list[Event] = []

    def make(self, *code: str, **options: Any) -> Ended:
        return self.make_job(job(*code, **options))

    def make_job(self, wanted: Job) -> Ended:
        ended = supervisor.supervise(wanted, self.work, self.stop, self.events.append, self.home)
        assert processes.Marked(self.home.marker).living() == []
        return ended

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def files(self) -> list[str]:
        return sorted(p.name for p in self.work.iterdir())

    def log(self) -> str:
        return (self.work / "stdout.log").read_text()

    def notebook(self) -> Any:
        notebook = nbformat.read(self.work / "notebook.ipynb", as_version=4)
        nbformat.validate(notebook)
        return notebook

    def text(self, cell: int) -> str:
        """What the cell `In [cell]` printed, says its notebook."""
        codes = [c for c in self.notebook().cells if c.cell_type == "code"]
        return "".join(o.text for o in codes[cell - 1].outputs if o.output_type == "stream")

    def told(self) -> list[int]:
        return [int(pid) for pid in (self.work / "told").read_text().split()]


@pytest.fixture
def maker(home: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maker]:
    with tempfile.TemporaryDirectory(prefix="e") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Maker(home, tmp_path)
        assert list(Path(folder).iterdir()) == [], "folders of sockets"


def test_a_success_leaves_notebook_log_and_events(maker: Maker) -> None:
    ended = maker.make(
        "import os, subprocess, sys",
        "print('said aloud', label); print('and', file=sys.stderr)",
        "_ = subprocess.run(['echo', 'by another']); os.write(1, b'past python\\n');",
        "print(os.environ['CUDA_VISIBLE_DEVICES'] or 'none', os.environ['CUDA_DEVICE_ORDER'])",
        parameters={"label": "zwölf"},
        gpus=(1, 3),
    )

    assert (ended.state, ended.error, ended.cell) == (State.SUCCEEDED, "", None)
    assert maker.files() == ["events.jsonl", "notebook.ipynb", "stdout.log"]
    assert maker.log() == "said aloud zwölf\nand\nby another\npast python\n1,3 PCI_BUS_ID\n"
    assert maker.text(4) == "said aloud zwölf\nand\n"
    assert maker.text(5) == "by another\npast python\n"
    assert str(maker.work) not in (maker.work / "notebook.ipynb").read_text()
    assert maker.notebook().metadata.papermill.input_path == "labs/tiny.ipynb"
    assert maker.kinds == ["begun", *["cell"] * 6, "ended"]
    assert [(e.cell, e.cells) for e in maker.events[1:-1]] == [(k, 6) for k in range(1, 7)]
    lines = (maker.work / "events.jsonl").read_text().splitlines()
    assert [Event.model_validate_json(line) for line in lines] == maker.events
    assert ended.peak_memory_bytes is not None
    assert 20e6 < ended.peak_memory_bytes < 2e9
    assert 0 < ended.run_seconds < 100


def test_a_failing_cell_is_named_with_its_error_and_nothing_after_it_runs(maker: Maker) -> None:
    ended = maker.make(
        "print('before')", "# why\nraise ValueError('no such\\nthing')", "print('after')"
    )

    assert ended.state == State.FAILED
    assert ended.cell == 3
    assert ended.error == "cell In [3] (`# why`): ValueError: no such thing"
    assert "Traceback" not in ended.error
    assert "raise ValueError" in maker.log()
    assert "after" not in maker.log().replace("print('after')", "")


def test_a_kernel_is_not_interrupted_at_its_end(maker: Maker) -> None:
    ended = maker.make(
        "import time\nsession = get_ipython().kernel.session\nsend = session.send\n"
        "def tarry(stream, kind, *args, **options):\n"
        "    sent = send(stream, kind, *args, **options)\n"
        "    if kind == 'kernel_info_reply': time.sleep(1)\n"
        "    return sent\n"
        "session.send = tarry",
        "print('done')",
    )

    assert ended.state == State.SUCCEEDED
    assert maker.log() == "done\n"


def test_a_job_without_gpus_sees_none(maker: Maker) -> None:
    ended = maker.make("import os; assert os.environ['CUDA_VISIBLE_DEVICES'] == ''")

    assert ended.state == State.SUCCEEDED


@pytest.mark.parametrize(
    ("death", "code"), [("os._exit(0)", 0), ("os.kill(os.getpid(), 9)", -9), ("os.abort()", -6)]
)
def test_a_kernel_that_dies_is_told_from_a_failing_cell(
    maker: Maker, death: str, code: int
) -> None:
    ended = maker.make(f"import os; print('last words', end='')\n{death}")

    assert ended.state == State.KERNEL_DIED
    assert ended.cell == 2
    assert ended.error == (
        "cell In [2] (`import os; print('last words', end='')`):"
        f" the kernel died with exit code {code}"
    )
    assert "last words" in maker.log()


def test_a_kernel_killed_by_the_system_for_memory_is_out_of_memory(
    maker: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(memory_watch, "kills", lambda: next(counts))

    ended = maker.make("import os; os.kill(os.getpid(), 9)")

    assert ended.state == State.OUT_OF_MEMORY
    assert ended.error.startswith("cell In [2]")
    assert ended.error.endswith("exit code -9, killed by the system for want of memory")


def test_a_child_that_is_killed_is_a_failure_and_takes_its_kernel_with_it(maker: Maker) -> None:
    ended = maker.make(
        FAMILY + "import signal\nos.kill(os.getppid(), signal.SIGKILL)\ntime.sleep(600)"
    )

    assert ended.state == State.FAILED
    assert ended.error == "the run's process ended with exit code -9"
    assert not any(map(is_alive, maker.told()))


@pytest.mark.parametrize("whose", ["kernel", "others"])
def test_a_run_that_holds_too_much_is_killed(maker: Maker, whose: str) -> None:
    hold = "held = bytearray(b'x') * 300_000_000"
    code = {
        "kernel": f"import time\n{hold}; more = bytearray(b'x') * 200_000_000\ntime.sleep(600)",
        "others": (
            "import subprocess, sys, time\n"
            f"code = {hold + '; import time; time.sleep(600)'!r}\n"
            "for _ in range(2): subprocess.Popen([sys.executable, '-c', code])\n"
            "time.sleep(600)"
        ),
    }

    ended = maker.make(code[whose], memory_bytes=400e6)

    assert ended.state == State.OUT_OF_MEMORY
    assert "more than its 400 MB, in cell In [2]" in ended.error
    assert ended.peak_memory_bytes is not None
    assert 400e6 < ended.peak_memory_bytes < 1000e6
    assert maker.kinds[-2:] == ["killed", "ended"]


def test_memory_that_processes_share_is_counted_once(maker: Maker) -> None:
    ended = maker.make(
        "import os, time\nheld = bytearray(b'x') * 250_000_000\n"
        "for _ in range(3):\n    if os.fork() == 0:\n        time.sleep(1.5)\n"
        "        os._exit(0)\nfor _ in range(3): os.wait()",
        memory_bytes=500e6,
    )

    assert (ended.state, ended.error) == (State.SUCCEEDED, "")


def test_a_memory_error_in_a_cell_is_out_of_memory(maker: Maker) -> None:
    ended = maker.make(
        "import resource\nresource.setrlimit(resource.RLIMIT_AS, (4_000_000_000, -1))",
        "held = bytearray(10_000_000_000)",
    )

    assert ended.state == State.OUT_OF_MEMORY
    assert ended.cell == 3
    assert "MemoryError" in ended.error


@pytest.mark.parametrize("code", [SLEEP, DEAF_SLEEP], ids=["sleeping", "deaf"])
def test_the_deadline_ends_a_run_and_all_it_started(
    maker: Maker, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grace = 60.0 if code == SLEEP else 1.0
    monkeypatch.setattr(supervisor, "INTERRUPT_GRACE_SECONDS", grace)
    monkeypatch.setattr(supervisor, "TERMINATE_GRACE_SECONDS", 0.5)

    ended = maker.make(code, deadline_seconds=4)

    assert ended.state == State.TIMED_OUT
    assert ended.error == "the deadline of 4 s passed, in cell In [2]"
    assert ended.cell == 2
    assert not any(map(is_alive, maker.told()))
    assert maker.notebook().cells
    if code == SLEEP:
        assert maker.kinds == ["begun", "cell", "cell", "interrupted", "ended"]
        assert "KeyboardInterrupt" in (maker.work / "notebook.ipynb").read_text()
    else:
        assert maker.kinds[3:] == ["interrupted", "terminated", "killed", "ended"]


def test_a_request_to_stop_cancels(maker: Maker) -> None:
    def ask() -> None:
        wait_for((maker.work / "told").exists)
        maker.stop.ask("the machine is being taken away")

    thread = threading.Thread(target=ask)
    thread.start()
    ended = maker.make(SLEEP)
    thread.join()

    assert ended.state == State.CANCELLED
    assert ended.error == "the machine is being taken away, in cell In [2]"
    assert not any(map(is_alive, maker.told()))


def test_a_stop_asked_before_the_start_cancels(maker: Maker) -> None:
    maker.stop.ask("enough")

    ended = maker.make(SLEEP)

    assert (ended.state, ended.error) == (State.CANCELLED, "enough")


def test_ctrl_c_cancels(maker: Maker) -> None:
    def interrupt() -> None:
        wait_for((maker.work / "told").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    ended = maker.make(SLEEP)
    thread.join()

    assert ended.state == State.CANCELLED
    assert ended.error == "interrupted by Ctrl-C, in cell In [2]"
    assert not any(map(is_alive, maker.told()))


SUPERVISOR = """\
import sys
from pathlib import Path
from enterprise_lab.batch.attempt import Job
from enterprise_lab.batch.engine import Stop
from enterprise_lab.batch.attempts.supervisor import supervise
supervise(Job.model_validate_json(sys.stdin.read()), Path(sys.argv[1]), Stop(), print)
"""


@pytest.mark.parametrize("also", ["alone", "child and nursery"])
def test_a_supervisor_that_is_killed_leaves_no_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, also: str
) -> None:
    folder = tmp_path / "folder"
    work = folder / "work"
    work.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(folder))
    code = (
        SLEEP
        if also == "alone"
        else SLEEP.replace("near =", "near = None #")
        .replace("{near.pid}", "1")
        .replace("subprocess.run", "# ")
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(work)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert killed.stdin
    killed.stdin.write(job(code).model_dump_json())
    killed.stdin.close()
    told = work / "told"
    wait_for(told.exists)
    kernel, near, child = map(int, told.read_text().split())
    nursery = psutil.Process(child).ppid()
    victims = {"alone": [], "child and nursery": [nursery, child]}[also]

    for pid in [killed.pid, *victims]:
        os.kill(pid, signal.SIGKILL)
    killed.wait()

    lived = [kernel, child, nursery, *([near] if near > 1 else [])]
    wait_for(lambda: not any(map(is_alive, lived)))
    if also == "alone":
        wait_for(lambda: not any(folder.iterdir()))


def test_a_nursery_that_is_killed_is_replaced_and_its_children_live_on(tmp_path: Path) -> None:
    home = Nursery()
    maker = Maker(home, tmp_path)

    def kill() -> None:
        wait_for((maker.work / "told").exists)
        psutil.Process(maker.told()[2]).parent().kill()
        (maker.work / "killed").touch()

    thread = threading.Thread(target=kill)
    thread.start()
    first = maker.make(FAMILY + "while not Path('killed').exists(): time.sleep(0.05)\nnear.kill()")
    thread.join()
    second = maker.make("print('again')")
    home.close()

    assert (first.state, first.error) == (State.SUCCEEDED, "")
    assert (second.state, second.error) == (State.SUCCEEDED, "")


def test_records_that_cannot_be_read_are_a_failure(maker: Maker) -> None:
    ended = maker.make("open('records.jsonl', 'w').write('half a li\\n')")

    assert ended.state == State.FAILED
    assert "line 1 is not a record" in ended.error


def test_a_kernel_that_cannot_start_is_a_failure_that_is_told(maker: Maker) -> None:
    (maker.work / "ipykernel_launcher.py").write_text("raise SystemExit('no kernel today')")

    ended = maker.make("print(1)")

    assert ended.state == State.FAILED
    assert ended.error.startswith("the kernel could not be started")
    assert "no kernel today" in maker.log()


@pytest.mark.parametrize("name", [".notebook.ipynb", "stdout.log", "events.jsonl"])
def test_a_full_disk_is_a_failure_that_is_told(maker: Maker, name: str) -> None:
    (maker.work / name).symlink_to("/dev/full")

    ended = maker.make("print(1)")

    assert ended.state == State.FAILED
    assert "No space left on device" in ended.error


def test_papermill_does_not_warn_of_what_the_plans_check_has_read(maker: Maker) -> None:
    ended = maker.make("print(1)", parameters={"speed": 3})

    assert ended.state == State.SUCCEEDED
    assert maker.log() == "1\n"


def test_a_notebook_whose_name_has_braces_runs(maker: Maker) -> None:
    assert maker.make("print(1)", notebook="a{b}.ipynb").state == State.SUCCEEDED


FLOODS = {
    "many lines": "for i in range(60_000): print('line', i)",
    "long lines": "for _ in range(60): print('x' * 1_000_000)",
    "one line": "print('x' * 60_000_000)",
    "flushed": "for i in range(12_000): print('line', i, flush=True)",
    "forked": (
        "import os\nfor _ in range(3):\n    if os.fork() == 0:\n"
        "        for i in range(4_000): print('line', i)\n"
        "        print(flush=True)\n        os._exit(0)\n"
        "for _ in range(3): os.wait()"
    ),
    "past python": "import os\nfor _ in range(1000): os.write(1, b'x' * 50_000)\n"
    "import time; time.sleep(1)",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_cut_in_the_middle(maker: Maker, flood: str) -> None:
    before = psutil.Process().memory_info().rss

    ended = maker.make(
        "print('the beginning')",
        f"{FLOODS[flood]}\nprint('the end')",
        "print('and more')",
        most_output_bytes=100_000,
    )

    assert (ended.state, ended.error) == (State.SUCCEEDED, "")
    assert (maker.work / "stdout.log").stat().st_size < 101_000
    assert (maker.work / "notebook.ipynb").stat().st_size < 200_000
    for text in (maker.log(), maker.text(2) + maker.text(3) + maker.text(4)):
        assert text.startswith("the beginning\n")
        assert "characters dropped ...]" in text
        assert text.endswith("the end\nand more\n")
    assert psutil.Process().memory_info().rss - before < 50e6
