"""Fit the time model to every row, judge it on rows left out, and write both into the package.

    python benchmarks/fit_estimator.py

Takes some minutes on one core. Afterwards `make test` compares what was written with a new fit.
"""

import csv
import json
from pathlib import Path

from pydantic import TypeAdapter
from rich.progress import Progress

from enterprise_lab.commands.observed import memory_peaks, observed
from enterprise_lab.estimate.fitting import fit
from enterprise_lab.estimate.intervals import Family
from enterprise_lab.estimate.validation import (
    HeldOut,
    cross_validate,
    family_of,
    fold_count,
    with_intervals,
)

DATA = Path(__file__).parents[1] / "enterprise_lab" / "catalog" / "data"


def main() -> None:
    """Write calibration.json and held_out.csv."""
    observations = observed()
    calibration = fit(observations)
    with Progress() as progress:
        task = progress.add_task("fits without a fold", total=fold_count(observations))
        held = cross_validate(observations, calibration, lambda: progress.advance(task))
    peaks = memory_peaks()
    held += with_intervals(peaks, peaks.predict())
    families = {
        rows.family: family_of(rows, [row for row in held if row.family == rows.family])
        for rows in (*observations, peaks)
    }
    written = {
        "figures": {name: float(f"{figure:.4g}") for name, figure in calibration.figures.items()},
        "families": TypeAdapter(dict[str, Family]).dump_python(families, mode="json"),
    }
    text = json.dumps(written, indent=1, ensure_ascii=False)
    (DATA / "calibration.json").write_text(text + "\n", encoding="utf-8")
    columns = [name for name in HeldOut.columns() if name not in ("unverified", "note")]
    with (DATA / "held_out.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        for row in held:
            values = row.model_dump()
            rows.writerow(
                f"{v:.4g}" if isinstance(v := values[name], float) else v for name in columns
            )


if __name__ == "__main__":
    main()
