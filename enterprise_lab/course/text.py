"""Sentences with computed figures in them."""

from __future__ import annotations

from IPython.display import Markdown


def say(text: str) -> Markdown:
    """Show Markdown in which a dollar sign is a dollar, not the beginning of a formula."""
    return Markdown(text.replace("$", r"\$"))  # type: ignore[no-untyped-call]
