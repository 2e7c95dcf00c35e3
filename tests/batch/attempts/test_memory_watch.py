from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from enterprise_lab.batch.attempts import memory_watch
from enterprise_lab.batch.attempts.memory_watch import MemoryWatch


def test_what_this_process_holds_is_its_peak() -> None:
    watch = MemoryWatch(None)
    held = bytearray(b"x") * 100_000_000

    assert not watch.look([psutil.Process()])
    assert watch.peak_bytes is not None
    assert watch.peak_bytes > 100e6
    peak = watch.peak_bytes
    del held
    assert not watch.look([psutil.Process()])
    assert watch.peak_bytes == peak


def test_too_much_is_told_in_one_line() -> None:
    watch = MemoryWatch(1e6)

    assert watch.look([psutil.Process()])
    assert watch.verdict.startswith("its processes held ")
    assert watch.verdict.endswith("more than its 1 MB")


def test_a_process_that_is_gone_holds_nothing() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    gone = psutil.Process(pid)
    os.waitpid(pid, 0)

    assert not MemoryWatch(0).look([gone])


@pytest.mark.parametrize(
    ("content", "count"),
    [
        ("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", 5),
        ("nr_free_pages 1\noom_kill 1\nthp 3\n", 1),
    ],
)
def test_kills_are_read_where_the_system_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, count: int
) -> None:
    (tmp_path / "counter").write_text(content)
    counters = [(tmp_path / "nothing", "oom_kill"), (tmp_path / "counter", "oom_kill")]
    monkeypatch.setattr(memory_watch, "_counters", lambda: iter(counters))

    assert memory_watch.kills() == count


def test_kills_are_counted_here_or_said_to_be_none() -> None:
    assert memory_watch.kills() >= 0
