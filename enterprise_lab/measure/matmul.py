"""The rate at which this machine's processor multiplies matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from enterprise_lab.errors import require_whole
from enterprise_lab.measure.timing import Measurement, measure


@dataclass(frozen=True)
class MatmulRate:
    """FLOP/s of a matrix product with the measurement behind it."""

    flops_per_second: float
    measurement: Measurement


def product(rows: int, inner: int, columns: int, seed: int = 0) -> Callable[[], object]:
    """Make (rows x inner) @ (inner x columns) in float32 with NumPy, to be called and timed."""
    for name, size in (("rows", rows), ("inner", inner), ("columns", columns)):
        require_whole(name, size, 100_000)
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((rows, inner), dtype=np.float32)
    b = rng.standard_normal((inner, columns), dtype=np.float32)
    out = np.empty((rows, columns), dtype=np.float32)
    return lambda: np.matmul(a, b, out=out)


def matmul_rate(
    rows: int, inner: int, columns: int, *, budget_seconds: float = 1.0, seed: int = 0
) -> MatmulRate:
    """Measure (rows x inner) @ (inner x columns) in float32 with NumPy; 2 FLOPs a multiply-add."""
    taken = measure(product(rows, inner, columns, seed), budget_seconds=budget_seconds)
    return MatmulRate(2 * rows * inner * columns / taken.value, taken)
