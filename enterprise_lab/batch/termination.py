"""What asks a batch to stop: Ctrl-C, a termination signal, or a file that a machine is told by."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from types import FrameType

from enterprise_lab.batch.engine import Stop

LOOK_SECONDS = 1.0
INTERRUPTED = 130
TERMINATED = 143


class Notices:
    """Which notice came first: `exit_code` is 130 after Ctrl-C, 143 after a termination notice."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self.exit_code: int | None = None

    def give(self, reason: str, exit_code: int) -> None:
        """Ask for the batch to stop."""
        if self.exit_code is None:
            self.exit_code = exit_code
        # A signal may have come while this very thread held the lock of what it is to set.
        Thread(target=self._stop.ask, args=(reason,)).start()


@contextmanager
def notices(stop: Stop, notice_file: Path | None) -> Iterator[Notices]:
    """Turn notices into requests to stop, in the main thread; a second Ctrl-C interrupts at once.

    `notice_file` is one that appears when the machine is about to be taken away.
    """
    given = Notices(stop)

    def interrupt(_: int, __: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        given.give("interrupted by Ctrl-C", INTERRUPTED)

    def terminate(_: int, __: FrameType | None) -> None:
        given.give("a termination notice: signal", TERMINATED)

    over = Flag()

    def look(file: Path) -> None:
        while not over.wait(LOOK_SECONDS):
            if file.exists():
                given.give(f"a termination notice: {file}", TERMINATED)
                return

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, terminate),
    }
    looking = Thread(target=look, args=(notice_file,), daemon=True) if notice_file else None
    try:
        if looking:
            looking.start()
        yield given
    finally:
        over.set()
        if looking:
            looking.join()
        for number, handler in before.items():
            signal.signal(number, handler)
