"""Sentences with computed figures in them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from IPython.display import Code, Markdown

# JupyterLab looks for formulas twice, in the Markdown and in the page: an entity hides the dollar
# from the one, an element of its own from the other. A backslash would hide it from neither.
_DOLLAR = "<span>&#36;</span>"


def say(text: str) -> Markdown:
    """Show Markdown in which a dollar sign is a dollar, not the beginning of a formula."""
    return Markdown(text.replace("$", _DOLLAR))  # type: ignore[no-untyped-call]


def source(*functions: Callable[..., Any]) -> Code:
    """Show the code of functions of the package."""
    texts = [inspect.cleandoc("\n" + inspect.getsource(one)) for one in functions]
    return Code("\n\n\n".join(texts), language="python")  # type: ignore[no-untyped-call]
