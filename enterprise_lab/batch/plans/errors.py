"""What stops a batch before it starts."""

from __future__ import annotations

from collections.abc import Sequence

from enterprise_lab.errors import LabError

MOST_SHOWN = 100
"""Problems of a plan that its error shows."""


class PlanError(LabError):
    """A batch plan that cannot be run; `problems` holds every reason, each with its mend."""

    def __init__(self, plan: object, problems: Sequence[LabError]) -> None:
        lines = "".join(f"\n  - {p.problem}\n    {p.remedy}" for p in problems[:MOST_SHOWN])
        if len(problems) > MOST_SHOWN:
            lines += f"\n  and {len(problems) - MOST_SHOWN:,} more."
        super().__init__(
            f"{plan} cannot be run:{lines}",
            "Nothing was run and nothing was written.",
        )
        self.problems = tuple(problems)
