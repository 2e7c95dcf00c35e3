"""What a kernel's standard output and error are in a batch; lives in the kernel's process.

All that is printed goes at once to the attempt's log, by the file descriptor the kernel was
started with. To the notebook it goes as messages, of which a kernel can send more and larger ones
than anybody can take: its queue then drops them, the one that says a cell has ended included.
So they are limited, and of a flood only a part is sent.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from ipykernel.iostream import OutStream
from IPython import get_ipython

from enterprise_lab.batch.attempts.head_and_tail import shorten

MOST_CHARACTERS = 1_000_000
"""Sent in a message, and in a second."""
LOGGED_AT_ONCE = 10_000
"""Characters a second that are each in the log before a program goes on; more are a little late."""
MOST_MESSAGES = 100
"""Sent in a second, of the thousand that the queue holds."""


class BoundedStream(OutStream):
    """A stream that copies to the log, and to the notebook no more than it can take."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._log: int | None = None
        self._log_lock = threading.Lock()
        self._unlogged: list[str] = []
        self._unlogged_characters = 0
        self._logged_at_once_left = LOGGED_AT_ONCE
        self._watcher = 0
        self._held = 0
        self._second_ends = 0.0
        self._messages_left = 0
        self._characters_left = 0
        self._waits = False
        self._cell_ends = False
        self._hears_of_ends = False
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]
        number = {"stdout": 1, "stderr": 2}[self.name]
        self._log = os.dup(getattr(self, "_original_stdstream_copy", number))
        os.register_at_fork(after_in_child=self._forget_what_is_unlogged)

    def write(self, string: str) -> int:
        """Print, now to the log and soon to the notebook."""
        super().write(string)
        if threading.get_ident() != self._watcher:
            self._copy(string)
        self._held += len(string)
        if self._held > 2 * MOST_CHARACTERS:
            self._shorten()
        return len(string)

    def flush(self) -> None:
        """Have what was printed sent; a fork has no other occasion to before it ends."""
        if self._is_master_process():  # type: ignore[no-untyped-call]
            super().flush()  # type: ignore[no-untyped-call]
        else:
            self._log_what_is_left()
            super()._flush()  # type: ignore[no-untyped-call]

    def _copy(self, string: str) -> None:
        """Copy to the log, at once if it is no flood: a kernel that is killed has said all."""
        with self._log_lock:
            self._unlogged.append(string)
            self._unlogged_characters += len(string)
        if self._logged_at_once_left > 0 or self._unlogged_characters > LOGGED_AT_ONCE:
            self._logged_at_once_left -= len(string)
            self._log_what_is_left()

    def _log_what_is_left(self) -> None:
        with self._log_lock, contextlib.suppress(OSError):
            text, self._unlogged, self._unlogged_characters = "".join(self._unlogged), [], 0
            left = memoryview(text.encode(errors="backslashreplace"))
            while left and self._log is not None:
                left = left[os.write(self._log, left) :]

    def _forget_what_is_unlogged(self) -> None:
        # In a fork it is the parent's to log, and a lock may be held by a thread that isn't there.
        self._log_lock = threading.Lock()
        self._unlogged, self._unlogged_characters = [], 0

    def _watch_pipe_fd(self) -> None:
        # What arrives past Python, from the system or other programs, is copied there already.
        self._watcher = threading.get_ident()
        super()._watch_pipe_fd()  # type: ignore[no-untyped-call]

    def _shorten(self) -> None:
        with self._buffer_lock:
            self._held = 0
            for buffer in self._buffers.values():
                text = shorten(buffer.getvalue(), MOST_CHARACTERS)
                buffer.seek(0)
                buffer.truncate()
                buffer.write(text)
                self._held += len(text)

    def _flush(self) -> None:
        self._log_what_is_left()
        self._hear_of_ends()
        now = time.monotonic()
        if now > self._second_ends:
            self._second_ends = now + 1
            self._messages_left, self._characters_left = MOST_MESSAGES, MOST_CHARACTERS
            self._logged_at_once_left = LOGGED_AT_ONCE
        if self._cell_ends or (self._messages_left > 0 and self._characters_left > 0):
            super()._flush()  # type: ignore[no-untyped-call]
        elif not self._is_master_process():  # type: ignore[no-untyped-call]
            self._subprocess_flush_pending = False  # the next write tries again
        elif not self._waits:
            self._waits = True
            self._io_loop.call_later(self.flush_interval, self._flush_later)

    def _flush_later(self) -> None:
        self._waits = False
        self._flush()

    def _flush_buffers(self) -> Any:
        self._held = 0
        for parent, text in super()._flush_buffers():  # type: ignore[no-untyped-call]
            sent = shorten(text, MOST_CHARACTERS)
            self._messages_left -= 1
            self._characters_left -= len(sent)
            yield parent, sent

    def _hear_of_ends(self) -> None:
        """Have what is held back sent before the end of the cell is."""
        shell = get_ipython()
        if shell and not self._hears_of_ends:
            self._hears_of_ends = True
            shell.events.register("post_execute", self._end_of_cell)

    def _end_of_cell(self) -> None:
        self._cell_ends = True
        self.flush()
        self._cell_ends = False
