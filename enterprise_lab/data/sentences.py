"""The sentence that opens a text: what a reviewer sees of it in a list."""

from __future__ import annotations

import re

from enterprise_lab.data.texts import Texts

LEAST_WORDS, MOST_WORDS = 8, 60
_ENDS = re.compile(r"(?<=[.;:])\s+")


def opening(text: str) -> str:
    """Return a text up to the end of a sentence, of at least 8 words and at most 60.

    A colon or a semicolon ends one too: what lawyers call a sentence can fill a page.
    """
    words: list[str] = []
    for sentence in _ENDS.split(text):
        words += sentence.split()
        if len(words) >= LEAST_WORDS:
            break
    return " ".join(words[:MOST_WORDS])


def openings(texts: Texts) -> Texts:
    """Return texts cut down to the sentences that open them, with their labels and groups."""
    return Texts(tuple(map(opening, texts.texts)), texts.labels, texts.classes, texts.groups)
