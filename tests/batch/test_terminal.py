"""What is shown while a batch runs, on a terminal and in a log."""

from __future__ import annotations

import io

from rich.console import Console

from enterprise_lab.batch.attempt import Event, Predicted, State
from enterprise_lab.batch.terminal import Display

from .past import run, status

A, B, C = (run(width=width, predicted=Predicted(seconds=30)) for width in (8, 16, 32))
RUNS = {one.run_id: one for one in (A, B, C)}
NAMES = {A.run_id: "width 8", B.run_id: "[bold]width 16", C.run_id: "width 32"}


def display(*, terminal: bool) -> tuple[Display, io.StringIO, Console]:
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=terminal, highlight=False)
    return Display(console, NAMES, RUNS), text, console


def picture(shown: Display) -> str:
    text = io.StringIO()
    Console(file=text, width=100).print(shown._picture())
    return text.getvalue()


def test_there_is_a_line_a_slot_and_one_for_all() -> None:
    shown, _, _ = display(terminal=True)

    shown.attempt_started(A, 1, "here", 0)
    shown.attempt_started(B, 2, "here", 1)
    shown.event(B, Event(kind="cell", cell=3, cells=7))

    first, second, overall = picture(shown).splitlines()
    assert first.split() == ["slot", "0", "width", "8", "starting", "0:00", "of", "about", "0:30"]
    assert "[bold]width 16" in second
    assert "cell 3 of 7, attempt 2" in second
    assert "0 of 3 runs" in overall
    assert "about 0:45 left" in overall


def test_a_slot_is_free_after_its_run_and_the_run_is_counted() -> None:
    shown, text, _ = display(terminal=True)
    shown.attempt_started(A, 1, "here", 0)

    shown.attempt_ended(A, status(A, seconds=60), will_retry=False)

    first, overall = picture(shown).splitlines()
    assert first.split() == ["slot", "0", "free"]
    assert "1 of 3 runs" in overall
    assert "about 2:00 left" in overall, "both others, twice as slow as predicted"
    assert "succeeded" in text.getvalue()


def test_machines_are_named_where_there_are_several() -> None:
    shown, _, _ = display(terminal=True)
    shown.attempt_started(A, 1, "node-1", 0)
    shown.attempt_started(B, 1, "node-2", 0)

    assert [line.split()[0] for line in picture(shown).splitlines()[:2]] == ["node-1/0", "node-2/0"]


def test_a_log_gets_a_line_for_each_end_and_nothing_else() -> None:
    shown, text, _ = display(terminal=False)

    with shown:
        shown.attempt_started(B, 1, "here", 0)
        failed = status(B, State.FAILED, seconds=2.5, error="cell In [2]: ValueError: [no] such")
        shown.attempt_ended(B, failed, will_retry=True)

    assert text.getvalue().splitlines() == [
        "failed             2.5 s  [bold]width 16",
        "    cell In [2]: ValueError: [no] such, to be tried again",
    ]
    assert "0 of 3 runs" in picture(shown)


def test_waiting_for_others_is_said_once() -> None:
    shown, text, _ = display(terminal=False)

    for _ in range(3):
        shown.waiting(2)
    shown.waiting(1)

    assert text.getvalue() == "Waiting for 2 runs that other runners are making.\n"


def test_runs_that_other_runners_have_ended_are_counted() -> None:
    shown, _, _ = display(terminal=True)
    shown.attempt_started(A, 1, "here", 0)
    shown.attempt_ended(A, status(A, seconds=60), will_retry=False)

    shown.waiting(1)

    assert "2 of 3 runs" in picture(shown)
    assert "waiting for 1 run of other runners" in picture(shown)

    shown.attempt_started(C, 2, "here", 0)
    shown.attempt_ended(C, status(C, seconds=60), will_retry=False)

    assert "3 of 3 runs" in picture(shown)
    assert "waiting" not in picture(shown)
