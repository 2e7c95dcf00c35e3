"""Listening to a child: what it reports and what it and its kernel print."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from types import TracebackType

from enterprise_lab.batch.attempts.head_and_tail import BoundedLog
from enterprise_lab.batch.attempts.messages import Report

_CHUNK_BYTES = 1 << 20


class Ears:
    """Reads two pipes without ever waiting longer than asked; `over` when the child has ended."""

    def __init__(
        self, report: int, printed: int, hear: Callable[[Report], None], log: BoundedLog
    ) -> None:
        self.over = False
        self._report = report
        self._printed = printed
        self._hear = hear
        self._log = log
        self._line = b""
        self._selector = selectors.DefaultSelector()
        for descriptor in (report, printed):
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ)

    def __enter__(self) -> Ears:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._selector.close()

    def listen(self, seconds: float) -> None:
        """Take in what there is; wait for it at most so long."""
        for key, _ in self._selector.select(max(0.0, seconds)):
            chunk = os.read(key.fd, _CHUNK_BYTES)
            if not chunk:
                self._selector.unregister(key.fd)
            if key.fd == self._printed:
                self._log.write(chunk)
            else:
                self._take_in(chunk)

    def listen_to_the_rest(self) -> None:
        """Take in what is left in the pipes, whoever may still hold them open.

        Each is read once, which empties it: one who writes on and on is not waited for.
        """
        self.listen(0)

    def _take_in(self, chunk: bytes) -> None:
        self.over = self.over or not chunk
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            self._hear(Report.model_validate_json(line))
