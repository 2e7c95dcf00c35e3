"""What JAX can be asked to do on a TPU, so that the same can be timed as with other libraries."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Mapping
from typing import Any

from enterprise_lab.measure.libraries import FLOAT32_BYTES, Processor, Work


class Jax:
    """JAX on a device of its own: compiled by XLA, each call ordered and later waited for."""

    name = "JAX"
    precisions: tuple[str, ...] = ("fp32", "bf16")

    def __init__(self, processor: Processor) -> None:
        self._jax = importlib.import_module("jax")
        self._at = self._jax.devices(processor)[0]
        self.processor: Processor = processor
        self.device: str = self._at.device_kind
        self.versions: Mapping[str, str] = {
            "python": platform.python_version(),
            "jax": self._jax.__version__,
            "platform": self._at.client.platform_version.splitlines()[0],
        }
        self._last: Any = None
        self.finish: Work | None = self._wait

    @property
    def label(self) -> str:
        """The library and the device's kind."""
        return f"JAX on the {self.processor.upper()}"

    def product(self, edge: int, precision: str) -> Work:
        """Make a product of two square matrices; fp32 is computed in full."""
        jax = self._jax
        exactly = jax.lax.Precision.HIGHEST if precision == "fp32" else None
        dtype = jax.numpy.bfloat16 if precision == "bf16" else jax.numpy.float32
        keys = jax.random.split(jax.random.key(0))
        a, b = (
            jax.device_put(jax.random.normal(key, (edge, edge), dtype), self._at) for key in keys
        )
        multiply = jax.jit(lambda left, right: jax.numpy.matmul(left, right, precision=exactly))
        return self._ordered(lambda: multiply(a, b))

    def copy(self, size_bytes: int) -> Work:
        """Make a copy of fp32 numbers."""
        jax = self._jax
        source = jax.device_put(jax.numpy.ones(size_bytes // FLOAT32_BYTES), self._at)
        copied = jax.jit(jax.numpy.copy)
        return self._ordered(lambda: copied(source))

    def small(self) -> Work:
        """Make the addition of 1 to a single number."""
        jax = self._jax
        number = jax.device_put(jax.numpy.zeros(1), self._at)
        add = jax.jit(lambda x: x + 1)
        return self._ordered(lambda: add(number))

    def _ordered(self, work: Callable[[], Any]) -> Work:
        def order() -> None:
            self._last = work()

        return order

    def _wait(self) -> None:
        self._jax.block_until_ready(self._last)
