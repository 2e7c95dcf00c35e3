"""Runs that are really run: every way one can end, and what is left behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from enterprise_lab.batch import store, terminal
from enterprise_lab.batch.runner import pending, run_one
from enterprise_lab.batch.store import State, Status
from enterprise_lab.errors import LabError

from .workshop import RECORD, Workshop

ELAB = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from enterprise_lab.cli import main; main()"
)
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


def run_only(workshop: Workshop) -> Status:
    batch = workshop.check()
    batch.folder.mkdir(parents=True, exist_ok=True)
    return run_one(batch, batch.runs[0])


def elab(workshop: Workshop) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-c", ELAB, "batch", "run"),
            *(str(workshop.plan_path), "--runs", str(workshop.runs)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_elab(workshop: Workshop) -> tuple[int, str]:
    process = elab(workshop)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def wait_for(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def sleepers(told: Path) -> list[int]:
    return [int(pid) for pid in told.read_text().split()]


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_a_success_leaves_notebook_records_log_and_status(workshop: Workshop) -> None:
    workshop.notebook(RECORD, "print('said aloud')")
    workshop.plan()

    status = run_only(workshop)

    assert (status.status, status.error) == (State.SUCCEEDED, "")
    folder = workshop.runs / "tiny" / status.run_id
    assert visible(folder) == ["notebook.ipynb", "records.jsonl", "status.json", "stdout.log"]
    assert "said aloud" in (folder / "stdout.log").read_text()
    assert "/." not in (folder / "notebook.ipynb").read_text(), "the working folder's name"
    assert store.read_status(workshop.runs / "tiny", status.run_id) == status


def test_a_failing_cell_is_named_with_its_error_and_keeps_what_was_recorded(
    workshop: Workshop,
) -> None:
    workshop.notebook(RECORD, "raise ValueError('no such thing')", "print('not reached')")
    workshop.plan()

    status = run_only(workshop)

    assert status.status == State.FAILED
    assert status.error == "cell In [3]: ValueError: no such thing"
    folder = workshop.runs / "tiny" / status.run_id
    assert visible(folder) == ["notebook.ipynb", "records.jsonl", "status.json", "stdout.log"]


def test_a_lab_error_keeps_its_two_sentences(workshop: Workshop) -> None:
    workshop.notebook(
        "from enterprise_lab.errors import LabError\nraise LabError('It is too big.', 'Halve it.')"
    )
    workshop.plan()

    assert run_only(workshop).error == "cell In [2]: LabError: It is too big. Halve it."


@pytest.mark.parametrize("death", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_kernel_that_dies_is_told_from_a_failing_cell(workshop: Workshop, death: str) -> None:
    workshop.notebook(f"import os\n{death}")
    workshop.plan()

    status = run_only(workshop)

    assert status.status == State.KERNEL_DIED
    assert "`import os`" in status.error


def test_a_child_that_is_killed_is_a_failure(workshop: Workshop) -> None:
    workshop.notebook("import os, signal\nos.kill(os.getppid(), signal.SIGKILL)")
    workshop.plan()

    status = run_only(workshop)

    assert status.status == State.FAILED
    assert "exit code -9" in status.error


def test_records_that_cannot_be_read_are_a_failure(workshop: Workshop) -> None:
    workshop.notebook("open('records.jsonl', 'w').write('half a li\\n')")
    workshop.plan()

    status = run_only(workshop)

    assert status.status == State.FAILED
    assert "line 1 is not a record" in status.error


@pytest.mark.parametrize("stubborn", [False, True])
def test_the_deadline_ends_a_run_and_all_it_started(workshop: Workshop, stubborn: bool) -> None:
    told = workshop.root / "told"
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" if stubborn else ""
    workshop.notebook(deaf + SLEEP)
    workshop.plan(
        runs=[{"notebook": "tiny.ipynb", "parameters": {"label": str(told)}}],
        deadline_seconds=12,
    )

    status = run_only(workshop)

    assert (status.status, status.error) == (State.TIMED_OUT, "the deadline of 12 s passed")
    assert not any(map(is_alive, sleepers(told)))
    folder = workshop.runs / "tiny" / status.run_id
    assert visible(folder) == ["notebook.ipynb", "status.json", "stdout.log"]
    assert visible(workshop.runs / "tiny") == [status.run_id]


def test_ctrl_c_cancels_and_leaves_no_process(workshop: Workshop) -> None:
    told = workshop.root / "told"
    workshop.notebook(SLEEP)
    workshop.plan(
        runs=[
            {
                "notebook": "tiny.ipynb",
                "parameters": {"label": str(told)},
                "matrix": {"steps": [1, 2]},
            }
        ]
    )
    runner = elab(workshop)
    wait_for(told.exists)

    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=60)

    assert runner.returncode == 130, output
    assert "Traceback" not in output
    assert not any(map(is_alive, sleepers(told)))
    first, second = workshop.check().runs
    status = store.read_status(workshop.runs / "tiny", first.run_id)
    assert status is not None
    assert status.status == State.CANCELLED
    assert store.read_status(workshop.runs / "tiny", second.run_id) is None
    assert "queued" in (workshop.runs / "tiny" / "report" / "index.html").read_text()


def test_a_killed_runner_leaves_nothing_half_written_and_the_next_one_completes(
    workshop: Workshop,
) -> None:
    told = workshop.root / "told"
    workshop.notebook(RECORD, SLEEP)
    workshop.plan(runs=[{"notebook": "tiny.ipynb", "parameters": {"label": str(told)}}])
    runner = elab(workshop)
    wait_for(told.exists)

    runner.kill()
    runner.communicate()

    wait_for(lambda: not any(map(is_alive, sleepers(told))))
    assert visible(workshop.runs / "tiny") == []
    code, output = run_elab(workshop)
    assert code == 0, output
    assert pending(workshop.check()) == []
    left = [p.name for p in (workshop.runs / "tiny").iterdir() if p.name.startswith(".")]
    assert left == [".lock"]


def test_a_success_is_not_run_again_and_a_changed_parameter_is(workshop: Workshop) -> None:
    count = workshop.root / "count"
    workshop.notebook(RECORD, f"open({str(count)!r}, 'a').write('x')")
    workshop.plan()

    first_code, first = run_elab(workshop)
    second_code, second = run_elab(workshop)

    assert (first_code, second_code) == (0, 0), first + second
    assert "1 runs, 0 done already" in first
    assert "1 runs, 1 done already" in second
    assert "done before" in second
    assert count.read_text() == "x"

    workshop.plan(runs=[{"notebook": "tiny.ipynb", "parameters": {"steps": 7}}])
    code, third = run_elab(workshop)

    assert (code, count.read_text()) == (0, "xx"), third
    table = pq.read_table(workshop.runs / "tiny" / "results.parquet").to_pylist()
    assert {row["steps"] for row in table} == {7}


def test_exit_codes_and_messages_of_a_failure_and_of_a_wrong_plan(workshop: Workshop) -> None:
    workshop.notebook("raise ValueError('no such thing')")
    workshop.plan()
    code, output = run_elab(workshop)
    assert code == 1
    assert "cell In [2]: ValueError: no such thing" in output

    workshop.plan(runs=[{"notebook": "tiny.ipynb", "parameters": {"sped": 1}}])
    code, output = run_elab(workshop)
    assert code == 2
    assert "no such parameter" in output
    assert "Traceback" not in output


def test_two_runners_do_not_share_a_folder(workshop: Workshop) -> None:
    workshop.notebook()
    workshop.plan()

    with store.alone(workshop.runs / "tiny"):
        code, output = run_elab(workshop)

    assert code == 2
    assert "Another `elab batch run` is at work" in output


def test_a_status_that_is_not_whole_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "status.json").write_text(json.dumps({"status": "succeeded"}))

    assert store.read_status(tmp_path, "abc") is None


def test_a_disk_that_fills_up_is_told_and_leaves_nothing_half_written(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    workshop.notebook()
    workshop.plan()
    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(LabError, match="No space left on device"):
        terminal.run(workshop.plan_path, workshop.runs)

    assert [p.name for p in (workshop.runs / "tiny").iterdir()] == [".lock"]


def test_a_title_with_brackets_is_shown_as_it_is(
    workshop: Workshop, capsys: pytest.CaptureFixture[str]
) -> None:
    workshop.notebook()
    workshop.plan(title="[bold]Loud[/bold] [/]", runs=[{"notebook": "tiny.ipynb"}])

    assert terminal.run(workshop.plan_path, workshop.runs) == 0

    assert "[bold]Loud[/bold] [/]: 1 runs" in capsys.readouterr().out
