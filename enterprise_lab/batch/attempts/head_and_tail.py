"""Bounded output: of a flood the beginning and the end are kept, with a line on what is missing."""

from __future__ import annotations

import re
from collections import deque
from typing import IO

_NOTE = re.compile(r"\n\[\.\.\. ([\d,]+) characters dropped \.\.\.\]\n")


def note(dropped: int) -> str:
    """Return the line that stands where `dropped` characters were."""
    return f"\n[... {dropped:,} characters dropped ...]\n"


def shorten(text: str, most: int) -> str:
    """Return the head and the tail of a text, about `most` characters of it, and a note between.

    What was dropped from it before is counted in.
    """
    if len(text) <= most:
        return text
    head, middle, tail = text[: most // 2], text[most // 2 : -(most // 2)], text[-(most // 2) :]
    notes = list(_NOTE.finditer(middle)) if "characters dropped" in middle else []
    before = sum(int(found[1].replace(",", "")) - len(found[0]) for found in notes)
    return head + note(len(middle) + before) + tail


class BoundedLog:
    """A file that gets the first and, when it is closed, the last of a stream of bytes.

    `most_bytes` are kept, half of them the last. Never raises: `error` tells why a file could not
    be written to.
    """

    def __init__(self, file: IO[bytes], most_bytes: int) -> None:
        self.error: OSError | None = None
        self._file = file
        self._head_left = most_bytes - most_bytes // 2
        self._tail: deque[bytes] = deque()
        self._tail_most = most_bytes // 2
        self._tail_bytes = 0
        self._dropped = 0

    def write(self, chunk: bytes) -> None:
        """Keep the next bytes, or drop older ones for them."""
        head, rest = chunk[: self._head_left], chunk[self._head_left :]
        self._head_left -= len(head)
        self._put(head)
        if not rest:
            return
        self._tail.append(rest)
        self._tail_bytes += len(rest)
        while self._tail_bytes > self._tail_most:
            oldest = self._tail.popleft()
            kept = oldest[self._tail_bytes - self._tail_most :]
            if kept:
                self._tail.appendleft(kept)
            self._tail_bytes -= len(oldest) - len(kept)
            self._dropped += len(oldest) - len(kept)

    def close(self) -> None:
        """Write the tail."""
        if self._dropped:
            self._put(note(self._dropped).encode())
        self._put(b"".join(self._tail))
        try:
            self._file.close()
        except OSError as error:
            self.error = self.error or error

    def _put(self, content: bytes) -> None:
        if self.error or not content:
            return
        try:
            self._file.write(content)
        except OSError as error:
            self.error = error
