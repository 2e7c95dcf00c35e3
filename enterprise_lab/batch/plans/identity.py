"""Which run is which: the hash under which a result is kept and found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from enterprise_lab.batch.attempt import Identity
from enterprise_lab.data import Manifest

if TYPE_CHECKING:
    from nbformat import NotebookNode

# What notebooks cannot reach: changing it leaves every result as it was.
_NOT_IMPORTED_BY_LABS = ("authoring", "batch", "cli.py", "commands")


@dataclass(frozen=True)
class Environment:
    """Digests of what all notebooks run on: `constraints.txt` and this package's own files."""

    lock: str
    package: str


def run_id(identity: Identity) -> str:
    """Name a run by all that makes it what it is: 12 hexadecimal digits."""
    return digest(identity.model_dump(mode="json"))[:12]


def code_digest(notebook: NotebookNode) -> str:
    """Hash what a notebook executes: its code cells, less text, outputs and trailing blanks."""
    return digest(
        [
            ["\n".join(line.rstrip() for line in cell.source.strip().splitlines()),
             sorted(cell.metadata.get("tags", []))]
            for cell in notebook.cells
            if cell.cell_type == "code"
        ]
    )  # fmt: skip


def environment(root: Path) -> Environment:
    """Hash what notebooks run on; without a `constraints.txt` in `root` its digest is empty."""
    constraints = root / "constraints.txt"
    lock = digest(constraints.read_text(encoding="utf-8")) if constraints.is_file() else ""
    return Environment(lock, _package_digest())


@cache
def _package_digest() -> str:
    package = Path(str(files("enterprise_lab")))
    return digest(
        [
            [str(path.relative_to(package)), hashlib.sha256(path.read_bytes()).hexdigest()]
            for path in sorted(package.rglob("*"))
            if path.is_file()
            and "__pycache__" not in path.parts
            and path.relative_to(package).parts[0] not in _NOT_IMPORTED_BY_LABS
        ]
    )


def data_digest(manifest: Manifest) -> str:
    """Hash what a data set has to be: the sha256 of each of its files, as its manifest says."""
    return digest(
        [
            [[file.path, file.sha256] for file in manifest.files or ()],
            manifest.package and manifest.package.model_dump(include={"files", "trees"}),
        ]
    )


def changes(old: Identity, new: Identity) -> list[str]:
    """Say in words what makes a run another one, such as `width 8 -> 32`."""
    said = []
    if old.notebook != new.notebook:
        said.append(f"notebook {old.notebook} -> {new.notebook}")
    elif old.code != new.code:
        said.append("the notebook's code")
    said += _changed_values(old.parameters, new.parameters)
    if old.lock != new.lock:
        said.append("constraints.txt")
    if old.package != new.package:
        said.append("the kit's own code")
    said += [f"data set {name}" for name in _differing(old.data, new.data)]
    if old.device != new.device:
        said.append(f"device {old.device} -> {new.device}")
    return said


def _changed_values(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return [f"{name} {_text(old, name)} -> {_text(new, name)}" for name in _differing(old, new)]


def _differing(old: Mapping[str, object], new: Mapping[str, object]) -> Sequence[str]:
    return [
        name
        for name in dict.fromkeys([*old, *new])
        if (type(old.get(name)), old.get(name)) != (type(new.get(name)), new.get(name))
        or (name in old) != (name in new)
    ]


def _text(values: Mapping[str, object], name: str) -> str:
    return str(values[name]) if name in values else "(none)"


def digest(content: object) -> str:
    """Hash plain values: 64 hexadecimal digits, the same whatever the order of a mapping."""
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
