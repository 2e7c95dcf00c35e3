from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from enterprise_lab.batch.attempt import EVENTS, NOTEBOOK, State
from enterprise_lab.batch.reports.left import Left, read_left
from enterprise_lab.batch.reports.results import collect
from enterprise_lab.batch.run import Batch
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.directory import Directory

from ..past import batch, executed, leave, run, status


@pytest.fixture
def store(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def left(made: Batch, store: Directory, **most: int) -> list[Left]:
    found = read_left(store, "tiny", collect(made, store), **most)
    return [found[r.run_id] for r in made.runs if r.run_id in found]


def test_a_notebook_is_kept_with_its_first_picture_made_small(store: Directory) -> None:
    made = batch(run(), run(x=1))
    leave(store, "tiny", status(made.runs[0]), notebook=executed())

    (one,) = left(made, store)

    assert b"<mfrac>" in gzip.decompress(base64.b64decode(one.notebook))
    assert one.thumbnail.startswith("data:image/webp;base64,")
    assert len(one.thumbnail) < 5_000
    assert (one.cell, one.traceback, one.is_too_much) == ("", "", False)
    assert one.place == f"tiny/{made.runs[0].run_id}/1/notebook.ipynb"


def test_time_is_split_by_events(store: Directory) -> None:
    made = batch(run())
    leave(store, "tiny", status(made.runs[0], State.TIMED_OUT, seconds=62))

    (one,) = left(made, store)

    assert [(s.name, s.seconds) for s in one.steps] == [
        ("start of the kernel", 2), ("cell 1 of 3", 10), ("cell 2 of 3", 20), ("cell 3 of 3", 30),
    ]  # fmt: skip
    assert one.marks == ("interrupted after 62.0 s",)


def test_a_failure_comes_with_its_cell_and_a_traceback_without_colours(store: Directory) -> None:
    made = batch(run())
    broken = status(made.runs[0], State.FAILED, error="ValueError: <x>")
    leave(store, "tiny", broken, notebook=executed(error="ValueError: <x>"))

    (one,) = left(made, store)

    assert one.cell == "too_fast()"
    assert one.traceback == "Traceback (most recent call last)\nValueError: <x>"


def test_of_a_long_log_the_end_is_shown(store: Directory) -> None:
    made = batch(run(x=1), run(x=2))
    lines = "".join(f"line {n}\n" for n in range(100_000))
    leave(store, "tiny", status(made.runs[0]), log=f"\x1b[31mred\x1b[0m {lines}")
    leave(store, "tiny", status(made.runs[1]), log="\x1b[31mred\x1b[0m\n")

    long, short = left(made, store)

    assert long.log.startswith("… line ")
    assert long.log.endswith("line 99999")
    assert len(long.log) < 7_000
    assert short.log == "red"


def test_notebooks_beyond_the_budget_are_left_out_the_failed_last(store: Directory) -> None:
    made = batch(*(run(x=n) for n in range(5)))
    for n, one in enumerate(made.runs):
        state = State.FAILED if n == 4 else State.SUCCEEDED
        leave(store, "tiny", status(one, state), notebook=executed())
    size = len(left(made, store)[0].notebook)

    found = left(made, store, most_bytes=2 * size + 10)

    assert [bool(one.notebook) for one in found] == [True, False, False, False, True]
    assert [one.is_too_much for one in found] == [False, True, True, True, False]
    assert all(one.thumbnail for one in found)


@pytest.mark.parametrize("content", [b"", b"{", b'{"cells": 3}', b"\xff\xfe"])
def test_files_that_a_kill_left_are_passed_over(
    content: bytes, store: Directory, tmp_path: Path
) -> None:
    made = batch(run())
    leave(store, "tiny", status(made.runs[0], State.KERNEL_DIED), notebook=executed())
    for file in (NOTEBOOK, EVENTS):
        (tmp_path / ledger.place("tiny", made.runs[0].run_id, 1, file)).write_bytes(content)

    (one,) = left(made, store)

    assert (one.notebook, one.thumbnail, one.steps) == ("", "", ())
    assert one.log == "a line"


def test_a_picture_that_is_none_is_passed_over(store: Directory) -> None:
    made = batch(run())
    false = new_output("display_data", {"image/png": "bm90IG9uZQ=="})
    notebook = new_notebook(cells=[new_code_cell("x", outputs=[false])])
    leave(store, "tiny", status(made.runs[0]), notebook=notebook)

    assert left(made, store)[0].thumbnail == ""
