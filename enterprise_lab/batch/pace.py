"""How long a batch will still take, from what was predicted and from how its runs went so far."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from enterprise_lab.batch.run import Run


class Pace:
    """Learns from the runs that have ended what others will take."""

    def __init__(self) -> None:
        self._ratios: list[float] = []
        self._taken: list[float] = []

    def learn(self, run: Run, seconds: float) -> None:
        """Take in how long a run took that succeeded."""
        self._taken.append(seconds)
        if run.predicted.seconds:
            self._ratios.append(seconds / run.predicted.seconds)

    def seconds(self, run: Run) -> float | None:
        """Say what a run will take: as predicted, corrected by how the others compared.

        Of one that nobody predicted: what the others took in the middle. None where nothing is
        known. Never more than its deadline.
        """
        if run.predicted.seconds:
            known = run.predicted.seconds * (median(self._ratios) if self._ratios else 1)
        elif self._taken:
            known = median(self._taken)
        else:
            return None
        return min(known, run.deadline_seconds)

    def left(
        self, waiting: Sequence[Run], under_way: Sequence[tuple[Run, float]], lanes: int
    ) -> float | None:
        """Say what is left of a batch, in seconds, with so many runs side by side.

        `under_way` are runs with the seconds they have taken already. None where nothing is known
        of one of them.
        """
        whole = [self.seconds(run) for run in waiting]
        begun = [(self.seconds(run), taken) for run, taken in under_way]
        if None in whole or any(one is None for one, _ in begun):
            return None
        rests = [max(0.0, (one or 0.0) - taken) for one, taken in begun]
        total = sum(one or 0.0 for one in whole) + sum(rests)
        return max([total / max(lanes, 1), *rests])
