"""The labs of a course: which there are and where their files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enterprise_lab.errors import LabError


@dataclass(frozen=True)
class Lab:
    """One lab of the course at `root`; `folder` is its folder's name, such as 01_name."""

    root: Path
    folder: str

    @property
    def stem(self) -> str:
        """The name shared by the lab's files: its folder's, without the number."""
        return self.folder.partition("_")[2]

    @property
    def source_folder(self) -> Path:
        """Where the author works."""
        return self.root / "solutions" / self.folder

    @property
    def text(self) -> Path:
        """The percent script, the one file an author edits."""
        return self.source_folder / f"{self.stem}.py"

    @property
    def solution(self) -> Path:
        """The executed notebook paired with the script."""
        return self.source_folder / f"{self.stem}.ipynb"

    @property
    def images(self) -> Path:
        """The pictures that students get with the notebook."""
        return self.source_folder / "images"

    @property
    def released_folder(self) -> Path:
        """What students get."""
        return self.root / "labs" / self.folder

    @property
    def released_images(self) -> Path:
        """Where students find the pictures."""
        return self.released_folder / self.images.name

    @property
    def released(self) -> Path:
        """The student notebook."""
        return self.released_folder / f"{self.stem}.ipynb"


def find_labs(root: Path) -> list[Lab]:
    """List the labs under root/solutions in the order of their numbers.

    Raises LabError when there is no lab, or a folder is not a lab's.
    """
    solutions = root / "solutions"
    folders = (
        sorted(p.name for p in solutions.iterdir() if p.is_dir() and p.name[0] not in "._")
        if solutions.is_dir()
        else []
    )
    if not folders:
        raise LabError(
            f"There are no labs in {solutions}.",
            "Run this in the course's top folder, the one that holds solutions/.",
        )
    labs = [Lab(root, folder) for folder in folders]
    for lab in labs:
        if not lab.stem or not lab.text.is_file():
            raise LabError(
                f"{lab.source_folder} is not a lab: a folder NN_name holds name.py.",
                "Add the script or move the folder out of solutions/.",
            )
    return labs
