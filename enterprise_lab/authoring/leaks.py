"""Lines of an answer that reached students."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from nbformat import NotebookNode

_BEGIN = re.compile("BEGIN (SOLUTION|HIDDEN TESTS)")
_END = re.compile("END (SOLUTION|HIDDEN TESTS)")


def leaked_lines(source: NotebookNode, student: NotebookNode) -> list[str]:
    """List the answer lines of `source` that stand anywhere in the student's cells.

    Spacing and trailing comments do not matter; lines that give nothing away are passed over.
    """
    text = "\n".join(_squeeze(line) for c in student.cells for line in c.source.splitlines())
    answers = dict.fromkeys(
        line for line in map(_squeeze, _answer_lines(source)) if not _is_trivial(line)
    )
    return [a for a in answers if re.search(rf"(?<!\w){re.escape(a)}(?!\w)", text)]


def _answer_lines(notebook: NotebookNode) -> Iterator[str]:
    """Yield every line of solution regions, of hidden tests and of cells that are all solution."""
    for cell in notebook.cells:
        inside = everything = cell.metadata.get("nbgrader", {}).get(
            "solution", False
        ) and not _BEGIN.search(cell.source)
        for line in cell.source.splitlines():
            if _BEGIN.search(line):
                inside = True
            elif _END.search(line):
                inside = everything
            elif inside:
                yield line


def _squeeze(line: str) -> str:
    code, hash_mark, _ = line.strip().partition("  #")
    return " ".join((code if hash_mark and code.strip() else line).split())


def _is_trivial(line: str) -> bool:
    """Whether a line has under two words of its own (`else:`, `return total`, `)`).

    Imports and bare loops over a name say nothing about an answer either.
    """
    words = [w for w in re.findall(r"\w+", line) if not keyword.iskeyword(w)]
    return len(words) < 2 or bool(re.match(r"import |from |for \w+ in \w+:?$", line))
