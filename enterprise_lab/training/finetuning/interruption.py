"""Interruptions that wait for a checkpoint: Ctrl-C, a notebook's stop button, a spot notice."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Handler = Callable[[int, FrameType | None], object] | int | None
WAITING = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A signal that has come and waits to be passed on, if any."""

    def __init__(self) -> None:
        self._waiting: signal.Signals | None = None
        self._before: dict[signal.Signals, Handler] = {}

    @property
    def asked(self) -> bool:
        """Whether a signal waits."""
        return self._waiting is not None

    def pass_on(self) -> None:
        """Let the signal that waits do what it would have done: end the process, most often.

        Ctrl-C raises KeyboardInterrupt. Does nothing where no signal waits.
        """
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            holding = signal.signal(waiting, self._before[waiting])
            signal.raise_signal(waiting)
            # Whoever handled it has decided that the training goes on.
            signal.signal(waiting, holding)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make signals wait; a second one doesn't. Outside of the main thread none is held."""
        if threading.current_thread() is threading.main_thread():
            for number in WAITING:
                before = signal.getsignal(number)
                # What is ignored stays ignored; of a handler that is None Python knows nothing.
                if before not in (signal.SIG_IGN, None):
                    self._before[number] = before
                    signal.signal(number, self._hold)
        try:
            yield
        finally:
            for number, before in self._before.items():
                signal.signal(number, before)
            self.pass_on()

    def _hold(self, number: int, _: FrameType | None) -> None:
        self.pass_on()
        self._waiting = signal.Signals(number)
