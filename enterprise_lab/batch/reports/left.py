"""What of a run's files a report shows: its notebook, the end of its log, where its time went."""

from __future__ import annotations

import base64
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import nbformat.v4
from nbformat import NotebookNode
from pydantic import ValidationError

from enterprise_lab.batch.attempt import EVENTS, NOTEBOOK, STDOUT, Event, State, Status
from enterprise_lab.batch.reports.notebook_page import notebook_cells
from enterprise_lab.batch.reports.results import Result
from enterprise_lab.batch.stores import ledger
from enterprise_lab.batch.stores.store import Store

MOST_NOTEBOOK_BYTES = 60_000_000
"""What all notebooks on one page may take, as kept there: browsers open that in seconds."""
_LOG_CHARACTERS = 6_000
_AT_ONCE = 16
_THUMBNAIL = (360, 200)
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


@dataclass(frozen=True)
class Step:
    """A stretch of a run's time: the start of its kernel, or a cell."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Left:
    """What a run left for people to look at.

    `notebook` is the gzipped HTML of its cells in base64, empty where it left none that can be
    shown, or where `is_too_much`. `place` is the file's name in the store. `cell` and `traceback`
    are those of the error.
    """

    place: str = ""
    notebook: str = ""
    is_too_much: bool = False
    thumbnail: str = ""
    cell: str = ""
    traceback: str = ""
    log: str = ""
    steps: tuple[Step, ...] = ()
    marks: tuple[str, ...] = ()


def read_left(
    store: Store, name: str, results: Sequence[Result], most_bytes: int = MOST_NOTEBOOK_BYTES
) -> dict[str, Left]:
    """Read what all runs that have ended left.

    Notebooks that together would take more than `most_bytes` of the page are left out of it; those
    that failed are taken first.
    """
    found: dict[str, Left] = {}
    room = most_bytes
    for result, left, notebook in _read(store, name, _failed_first(results)):
        if notebook is not None:
            embedded = _embedded(notebook) if room > 0 else ""
            # What comes after the first that is too much isn't rendered at all: that takes long.
            room = room - len(embedded) if len(embedded) <= room else 0
            left = replace(
                left,
                notebook=embedded if room > 0 else "",
                is_too_much=room <= 0,
                thumbnail=_thumbnail(notebook),
            )
            if result.state != State.SUCCEEDED:
                cell, traceback = _error(notebook)
                left = replace(left, cell=cell, traceback=traceback)
        found[result.run_id] = left
    return found


def _failed_first(results: Sequence[Result]) -> list[Result]:
    return sorted((r for r in results if r.status), key=lambda r: r.state == State.SUCCEEDED)


def _read(
    store: Store, name: str, results: Sequence[Result]
) -> Iterator[tuple[Result, Left, NotebookNode | None]]:
    """Read some runs' files at once, never all: they may be more than memory holds."""
    queue = iter(results)
    while some := list(islice(queue, _AT_ONCE)):
        places = {
            (r.run_id, file): ledger.place(name, r.run_id, r.status.attempt, file)
            for r in some
            if r.status is not None
            for file in (NOTEBOOK, STDOUT, EVENTS)
        }
        contents = store.read_all(places.values())
        for result in some:
            notebook, log, events = (
                contents.get(places[result.run_id, file], b"")
                for file in (NOTEBOOK, STDOUT, EVENTS)
            )
            place = places[result.run_id, NOTEBOOK]
            steps, marks = _timeline(events, result.status)
            left = Left(place=place, log=_end(log), steps=steps, marks=marks)
            yield result, left, _parsed(notebook)


def _parsed(content: bytes) -> NotebookNode | None:
    """Read a notebook; None where a run was cut off before one was saved."""
    try:
        # Validating takes longer than all the rest; what isn't sound won't be rendered.
        notebook: NotebookNode = nbformat.v4.reads(content.decode())  # type: ignore[no-untyped-call]
    except Exception:  # nbformat lets its JSON reader's errors through, and others
        return None
    return notebook


def _embedded(notebook: NotebookNode) -> str:
    """Render and compress a notebook; empty where that can't be done."""
    try:
        cells = notebook_cells(notebook).encode()
    except Exception:  # of nbconvert, for a notebook that isn't sound
        return ""
    return base64.b64encode(gzip.compress(cells, mtime=0)).decode()


def _end(log: bytes) -> str:
    text = _ESCAPES.sub("", log[-4 * _LOG_CHARACTERS :].decode(errors="replace")).rstrip()
    if len(text) <= _LOG_CHARACTERS and len(log) <= 4 * _LOG_CHARACTERS:
        return text
    return "… " + text[-_LOG_CHARACTERS:].partition("\n")[2]


def _timeline(content: bytes, status: Status | None) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """Tell from an attempt's events where its time went, and what was done to it."""
    events = []
    for line in content.splitlines():
        with suppress(ValidationError):
            events.append(Event.model_validate_json(line))
    if status is None or not events:
        return (), ()
    bounds = [e for e in events if e.kind in ("begun", "cell", "ended")]
    steps = tuple(
        Step(
            "start of the kernel" if one.kind == "begun" else f"cell {one.cell} of {one.cells}",
            max(0.0, (following.time - one.time).total_seconds()),
        )
        for one, following in pairwise(bounds)
    )
    begun = events[0].time
    marks = tuple(
        f"{e.kind} after {(e.time - begun).total_seconds():.1f} s"
        + (f": {e.text}" if e.text else "")
        for e in events
        if e.kind not in ("begun", "cell", "ended")
    )
    return steps, marks


def _error(notebook: NotebookNode) -> tuple[str, str]:
    """Return the source of the cell that raised, and its traceback."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("output_type") == "error":
                return cell.source, _ESCAPES.sub("", "\n".join(output.traceback))
    return "", ""


def _thumbnail(notebook: NotebookNode) -> str:
    """Return the notebook's first picture, made small, as a data URI."""
    from PIL import Image

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" not in output.get("data", {}):
                continue
            with suppress(OSError, ValueError):  # what a notebook calls a PNG may be none
                content = base64.b64decode(output.data["image/png"])
                with Image.open(io.BytesIO(content)) as opened:
                    picture = opened.convert("RGBA")
                picture.thumbnail(_THUMBNAIL)
                paper = Image.new("RGBA", picture.size, "white")
                paper.alpha_composite(picture)
                small = io.BytesIO()
                paper.convert("RGB").save(small, "WEBP", quality=70)
                return "data:image/webp;base64," + base64.b64encode(small.getvalue()).decode()
    return ""
