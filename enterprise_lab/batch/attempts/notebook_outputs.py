"""The outputs of an executed notebook, bounded: a flood fills neither memory nor the file."""

from __future__ import annotations

from nbformat import NotebookNode
from nbformat.v4 import new_output

from enterprise_lab.batch.attempts.head_and_tail import note, shorten

MOST_ERROR_CHARACTERS = 20_000
DISPLAYED_PER_PRINTED = 10
"""Pictures and all else that is displayed may take so many times what is printed may."""
_OUTPUT_CHARACTERS = 100
"""What an output takes in the file besides its content."""


class Outputs:
    """Adds outputs to a notebook's cells, of which at most `most_printed` characters are text.

    A cell gets at most half of what those before it left, so that there is something left for
    the next.
    """

    def __init__(self, most_printed: int) -> None:
        self._printed_left = most_printed
        self._displayed_left = most_printed * DISPLAYED_PER_PRINTED
        self._index = -1
        self._cell = self._next_cell()

    def _next_cell(self) -> _Cell:
        return _Cell(self._printed_left // 2, self._displayed_left // 2)

    def add(self, index: int, outputs: list[NotebookNode], output: NotebookNode) -> bool:
        """Add an output to the list of the cell `index`; False if it was dropped."""
        if index != self._index:
            self._index = index
            self._printed_left -= self._cell.printed
            self._displayed_left -= self._cell.displayed
            self._cell = self._next_cell()
        if not outputs:  # a new cell, or one that clears its output to show another
            self._cell = self._next_cell()
        if output.output_type == "stream":
            self._cell.print(outputs, output.name, output.text)
            return True
        if output.output_type == "error":
            output.evalue = shorten(output.evalue, MOST_ERROR_CHARACTERS)
            output.traceback = [shorten(line, MOST_ERROR_CHARACTERS) for line in output.traceback]
            outputs.append(output)
            return True
        return self._cell.display(outputs, output)


class _Cell:
    """What is kept of one cell: of its text the head and the tail, of its displays the first."""

    def __init__(self, most_printed: int, most_displayed: int) -> None:
        self.displayed = 0
        self._head = 0
        self._most_head = most_printed - most_printed // 2
        self._tail = ""
        self._most_tail = most_printed // 2
        self._text_dropped = 0
        self._text_end: NotebookNode | None = None
        self._most_displayed = most_displayed
        self._displays_dropped = 0
        self._displays_end: NotebookNode | None = None

    @property
    def printed(self) -> int:
        return self._head + len(self._tail)

    def print(self, outputs: list[NotebookNode], name: str, text: str) -> None:
        if self._text_end is None:
            head, text = text[: self._most_head - self._head], text[self._most_head - self._head :]
            self._head += len(head)
            _append(outputs, name, head)
        if text:
            if self._text_end is None:
                self._text_end = _stream(name, "")
                outputs.append(self._text_end)
            self._tail += text
            excess = max(0, len(self._tail) - self._most_tail)
            self._text_dropped += excess
            self._tail = self._tail[excess:]
            said = note(self._text_dropped) if self._text_dropped else ""
            self._text_end.text = said + self._tail

    def display(self, outputs: list[NotebookNode], output: NotebookNode) -> bool:
        size = sum(len(str(content)) for content in output.data.values()) + _OUTPUT_CHARACTERS
        if self.displayed + size <= self._most_displayed:
            self.displayed += size
            outputs.append(output)
            return True
        if self._displays_end is None:
            self._displays_end = _stream("stderr", "")
            outputs.append(self._displays_end)
        self._displays_dropped += 1
        self._displays_end.text = (
            f"[... {self._displays_dropped:,} displayed outputs dropped ...]\n"
        )
        return False


def _stream(name: str, text: str) -> NotebookNode:
    output: NotebookNode = new_output("stream", name=name, text=text)  # type: ignore[no-untyped-call]
    return output


def _append(outputs: list[NotebookNode], name: str, text: str) -> None:
    """Print on where the last output is of the same stream."""
    if outputs and outputs[-1].output_type == "stream" and outputs[-1].name == name:
        outputs[-1].text += text
    elif text:
        outputs.append(_stream(name, text))
