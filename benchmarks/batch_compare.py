"""How often `elab batch compare` raises a false alarm, and how often it finds what is slower.

python benchmarks/batch_compare.py

Runs' times scatter by 3 %; where samples are known, their quartiles do as well. Both columns of
alarms may be 5 % at most, but for chance.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import numpy as np

from enterprise_lab.batch.attempt import Ended, Identity, Predicted, State, Status
from enterprise_lab.batch.reports.compare import Verdict, compare
from enterprise_lab.batch.reports.results import Result, own_records
from enterprise_lab.measure.records import Origin, Record

REPETITIONS, METRICS, NOISE, SLOWER = 1_000, 5, 0.03, 1.1
TOLD = (Verdict.WORSE, Verdict.BETTER, Verdict.DIFFERS)
START = datetime(2026, 3, 2, tzinfo=UTC)


def main() -> None:
    """Print a line for each number of runs, with samples and without."""
    rng = np.random.default_rng(1)
    _say("runs  samples  metric alarms  pair alarms  metrics found 10 % slower")
    for runs in (1, 2, 3, 5, 10, 20, 50):
        for samples in (False, True):
            alarms = pair_alarms = found = 0.0
            for _ in range(REPETITIONS):
                alike = compare(batch(rng, runs, samples), batch(rng, runs, samples))
                alarms += any(m.overall.verdict in TOLD for m in alike.metrics)
                pair_alarms += any(c.verdict in TOLD for m in alike.metrics for c in m.pairs)
                slower = compare(batch(rng, runs, samples), batch(rng, runs, samples, SLOWER))
                found += len(slower.worse) / len(slower.metrics)
            _say(
                f"{runs:4}  {'yes' if samples else 'no':7}  {alarms / REPETITIONS:13.1%}"
                f"  {pair_alarms / REPETITIONS:11.1%}  {found / REPETITIONS:.1%}"
            )


def batch(rng: np.random.Generator, runs: int, samples: bool, slower: float = 1.0) -> list[Result]:
    """Make the results of runs that differ in their size."""

    def seconds(size: int) -> float:
        return float(10 * (1 + size) * slower * np.exp(NOISE * rng.standard_normal()))

    results = []
    for size in range(runs):
        identity = Identity(
            notebook="a.ipynb", parameters={"size": size}, code="", lock="", package=""
        )
        ended = Ended(
            state=State.SUCCEEDED, started=START, run_seconds=seconds(size), host="", device=""
        )
        status = Status(run_id=str(size), attempt=1, runner="", identity=identity, ended=ended)
        records = [*own_records("a.ipynb", Predicted(), None, status)]
        for metric in range(METRICS):
            value = seconds(size)
            spread = (value * (1 - NOISE / 1.5), value * (1 + NOISE / 1.5), 30)
            low, high, n = spread if samples else (None, None, None)
            records.append(
                Record(
                    lab="a", metric=f"part{metric}_seconds", value=value, unit="s",
                    origin=Origin.MEASURED, low=low, high=high, n=n,
                )
            )  # fmt: skip
        results.append(Result(str(size), identity, Predicted(), None, (status,), tuple(records)))
    return results


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
