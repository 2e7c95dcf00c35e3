"""What stops a batch before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from enterprise_lab.errors import LabError


class PlanError(LabError):
    """A batch plan that cannot be run; `problems` holds every reason, each with its mend."""

    def __init__(self, plan: object, problems: Sequence[LabError]) -> None:
        lines = "".join(f"\n  - {p.problem}\n    {p.remedy}" for p in problems)
        super().__init__(
            f"{plan} cannot be run:{lines}",
            "Nothing was run and nothing was written.",
        )
        self.problems = tuple(problems)
