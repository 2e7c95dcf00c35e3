"""Which run is which: the hash under which a result is kept and found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from nbformat import NotebookNode

from enterprise_lab.batch.plan import Scalar

# What notebooks cannot reach: changing it leaves every result as it was.
_NOT_IMPORTED_BY_LABS = ("authoring", "batch", "cli.py")


def run_id(code: str, parameters: Mapping[str, Scalar], environment: str) -> str:
    """Name a run by its code, parameters and environment: 12 hexadecimal digits."""
    return _digest([code, dict(sorted(parameters.items())), environment])[:12]


def code_digest(notebook: NotebookNode) -> str:
    """Hash what a notebook executes: its code cells, less text, outputs and trailing blanks."""
    return _digest(
        [
            ["\n".join(line.rstrip() for line in cell.source.strip().splitlines()),
             sorted(cell.metadata.get("tags", []))]
            for cell in notebook.cells
            if cell.cell_type == "code"
        ]
    )  # fmt: skip


def environment_digest(root: Path) -> str:
    """Hash what notebooks run on: `constraints.txt`, if any, and this package's own files."""
    constraints = root / "constraints.txt"
    package = Path(str(files("enterprise_lab")))
    return _digest(
        [
            constraints.read_text(encoding="utf-8") if constraints.is_file() else "",
            [
                [str(path.relative_to(package)), hashlib.sha256(path.read_bytes()).hexdigest()]
                for path in sorted(package.rglob("*"))
                if path.is_file()
                and "__pycache__" not in path.parts
                and path.relative_to(package).parts[0] not in _NOT_IMPORTED_BY_LABS
            ],
        ]
    )


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()
