"""Looking at something again and again while other work is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, look: Callable[[], object]) -> Iterator[None]:
    """Call `look` at the start, every so many seconds in a thread of its own, and at the end."""
    over = threading.Event()

    def keep_looking() -> None:
        while not over.wait(seconds):
            look()

    look()
    thread = threading.Thread(target=keep_looking, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        look()
