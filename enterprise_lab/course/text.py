"""Sentences with computed figures in them."""

from __future__ import annotations

from IPython.display import Markdown

# JupyterLab looks for formulas twice, in the Markdown and in the page: an entity hides the dollar
# from the one, an element of its own from the other. A backslash would hide it from neither.
_DOLLAR = "<span>&#36;</span>"


def say(text: str) -> Markdown:
    """Show Markdown in which a dollar sign is a dollar, not the beginning of a formula."""
    return Markdown(text.replace("$", _DOLLAR))  # type: ignore[no-untyped-call]
