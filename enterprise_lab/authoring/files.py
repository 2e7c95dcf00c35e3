"""Writing a file whole or not at all."""

from __future__ import annotations

from pathlib import Path

from enterprise_lab.errors import LabError


def write_whole(path: Path, text: str) -> None:
    """Write text beside `path`, then rename; LabError, and no change, when that cannot be done."""
    aside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise LabError(
            f"{path} cannot be written: {error.strerror}.",
            "See that there is room on the disk and that you may write there.",
        ) from error
