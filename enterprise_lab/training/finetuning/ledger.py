"""What a training did so far, step by step."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from enterprise_lab.evaluation.curves import Point


@dataclass
class Ledger:
    """What a training did so far, kept in its checkpoints, so that a resumed one knows it all.

    `losses` has a mean loss a text for every step, `seconds` those of the step.
    """

    losses: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    points: list[Point] = field(default_factory=list)

    @property
    def best(self) -> int:
        """The first evaluation with the best macro-F1."""
        return int(np.argmax([point.validation_macro_f1 for point in self.points]))

    def is_over(self, patience: int) -> bool:
        """Return whether the last `patience` evaluations brought nothing better."""
        return bool(patience and self.points) and len(self.points) - 1 - self.best >= patience

    def write(self, file: Path) -> None:
        """Write it as JSON, from which every number is read back to the bit."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Ledger:
        """Read what `write` wrote."""
        found = json.loads(file.read_text(encoding="utf-8"))
        points = [Point(**point) for point in found["points"]]
        return cls(found["losses"], found["seconds"], points)
