"""Tiny notebooks and plans that are really run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from enterprise_lab.batch.plans.check import check_plan
from enterprise_lab.batch.run import Batch

PARAMETERS = """\
from typing import Literal
profile: Literal["smoke", "full"] = "smoke"  # how much
speed: float = 1.0
steps: int = 1_000
label: str = "one"
extra: bool = False
"""
TEXT = r"""# A tiny lab

Operations are $C = 6 N D$, and

$$t = \frac{C}{\eta\,P}$$
"""
RECORD = """\
from enterprise_lab.measure.records import Origin, Record, append
from pathlib import Path
figures = [("training_seconds", steps / speed, "s"), ("cost_usd", steps * speed, "USD")]
for metric, value, unit in figures:
    append(Path("records.jsonl"), [Record(
        lab="tiny", metric=metric, value=value, unit=unit, origin=Origin.ESTIMATED,
        low=value * 0.8, high=value * 1.3, source="arithmetic")])
"""
PICTURE = """\
import matplotlib.pyplot as plt
figure, axes = plt.subplots(figsize=(4, 2))
axes.plot([0, speed], [0, steps])
axes.set(xlabel="speed [1]", ylabel="steps [1]", title=label);
"""


class Workshop:
    """A repository with a notebook or two, a plan and a runs folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = root / "runs"
        self.plan_path = root / "batches" / "tiny.yaml"
        self.plan_path.parent.mkdir()

    def notebook(
        self, *code: str, name: str = "tiny.ipynb", parameters: str | None = PARAMETERS
    ) -> str:
        cells = [new_markdown_cell(TEXT)]
        if parameters is not None:
            cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        cells += [new_code_cell(c) for c in code]
        nbformat.write(new_notebook(cells=cells), self.root / name)
        return name

    def plan(self, **keys: Any) -> Path:
        content = {"name": "tiny", "runs": [{"notebook": "tiny.ipynb"}], **keys}
        self.plan_path.write_text(yaml.safe_dump(content, sort_keys=False))
        return self.plan_path

    def check(self) -> Batch:
        return check_plan(self.plan_path, str(self.runs))
