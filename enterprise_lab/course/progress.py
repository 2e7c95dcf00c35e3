"""How far a cell that takes its time has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from IPython.display import Markdown, display

_PARTS = 20


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """Show a bar under the cell, told what is done and the share of all; gone at the end."""
    shown = display(Markdown(""), display_id=True)  # type: ignore[no-untyped-call]

    def tell(what: str, share: float) -> None:
        done = round(_PARTS * min(max(share, 0.0), 1.0))
        bar = "█" * done + "░" * (_PARTS - done)
        shown.update(Markdown(f"`{bar}` {what}"))  # type: ignore[no-untyped-call]

    try:
        yield tell
    finally:
        shown.update(Markdown(""))  # type: ignore[no-untyped-call]
