"""Accelerators: what their makers print, and the best rate anyone measured."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import ClassVar

from pydantic import Field, PositiveFloat

from enterprise_lab.catalog import names
from enterprise_lab.catalog.render import Figure
from enterprise_lab.catalog.rows import DATA, Gigabytes, Listing, Row, read
from enterprise_lab.errors import InvalidValueError, require_not_negative
from enterprise_lab.units import TERA, format_bytes

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "fp8", "int8")


def _tera(value: float) -> str:
    return f"{value:g}"


class Accelerator(Row):
    """One chip, or what is sold as one: dense peak rates, memory, link and power.

    Peaks are in 10^12 operations a second without sparsity, fp16 and bf16 with fp32
    accumulation. `link_bytes_per_second` is one way, all links of the chip together.
    `measured_matmul_tflops` is the best public bf16 matrix multiplication. A processor, as
    opposed to an accelerator beside one, has peaks that were measured.
    """

    name: str
    vendor: str
    fp32_tflops: PositiveFloat | None = None
    tf32_tflops: PositiveFloat | None = None
    fp16_tflops: PositiveFloat | None = None
    bf16_tflops: PositiveFloat | None = None
    fp8_tflops: PositiveFloat | None = None
    int8_tops: PositiveFloat | None = None
    memory_bytes: Gigabytes = Field(validation_alias="memory_gb")
    memory_type: str
    memory_bandwidth_bytes_per_second: Gigabytes = Field(
        validation_alias="memory_bandwidth_gb_per_second"
    )
    link: str | None = None
    link_bytes_per_second: Gigabytes | None = Field(
        default=None, validation_alias="link_gb_per_second"
    )
    power_watts: PositiveFloat | None = None
    measured_matmul_tflops: PositiveFloat | None = None
    is_processor: bool = False

    figures: ClassVar[tuple[Figure, ...]] = (
        Figure("Accelerator", "name"),
        Figure("Vendor", "vendor", brief=False),
        Figure("fp32, TFLOP/s", "fp32_tflops", _tera),
        Figure("tf32, TFLOP/s", "tf32_tflops", _tera),
        Figure("fp16, TFLOP/s", "fp16_tflops", _tera),
        Figure("bf16, TFLOP/s", "bf16_tflops", _tera),
        Figure("fp8, TFLOP/s", "fp8_tflops", _tera, brief=False),
        Figure("int8, TOP/s", "int8_tops", _tera, brief=False),
        Figure("best measured matmul, bf16 TFLOP/s", "measured_matmul_tflops", _tera, brief=False),
        Figure("Memory", "memory_bytes", format_bytes),
        Figure("Memory type", "memory_type", brief=False),
        Figure(
            "Memory bandwidth",
            "memory_bandwidth_bytes_per_second",
            lambda rate: f"{rate / 1e9:,.0f} GB/s",
        ),
        Figure("Link", "link", brief=False),
        Figure(
            "Link rate, one way",
            "link_bytes_per_second",
            lambda rate: f"{rate / 1e9:,.0f} GB/s",
            brief=False,
        ),
        Figure("Power", "power_watts", lambda watts: f"{watts:g} W"),
    )

    @property
    def peak_tflops(self) -> Mapping[str, float]:
        """Dense peak by precision, in 10^12 operations a second; only those that are known."""
        rates = (self.fp32_tflops, self.tf32_tflops, self.fp16_tflops, self.bf16_tflops,
                 self.fp8_tflops, self.int8_tops)  # fmt: skip
        known = zip(PRECISIONS, rates, strict=True)
        return MappingProxyType({precision: rate for precision, rate in known if rate})

    def peak_flops(self, precision: str) -> float:
        """Dense peak in FLOP/s; InvalidValueError lists the precisions the chip has."""
        peaks = self.peak_tflops
        if not isinstance(precision, str) or precision.casefold() not in peaks:
            raise InvalidValueError(
                f"No {precision!r} rate of the {self.name} is known.",
                f"Choose one of: {', '.join(peaks)}.",
            )
        return peaks[precision.casefold()] * TERA


@cache
def _all() -> dict[str, Accelerator]:
    return {row.name: row for row in read(DATA / "accelerators.csv", Accelerator)}


def accelerator(name: str) -> Accelerator:
    """Look up an accelerator: `accelerator("a100 80gb sxm")`.

    Raises UnknownNameError or AmbiguousNameError, both listing near names.
    """
    return _all()[names.find("accelerator", name, _all())]


def accelerators(
    text: str = "",
    vendor: str | None = None,
    precision: str | None = None,
    minimum_memory_bytes: float | None = None,
) -> Listing[Accelerator]:
    """List the accelerators that mention `text` and meet the rest.

    Raises UnknownNameError for a vendor or precision of no accelerator.
    """
    rows = [row for row in _all().values() if names.mentions(text, row.name, row.vendor)]
    if vendor is not None:
        vendor = names.find("vendor", vendor, {row.vendor for row in _all().values()})
        rows = [row for row in rows if row.vendor == vendor]
    if precision is not None:
        precision = names.find("precision", precision, PRECISIONS)
        rows = [row for row in rows if precision in row.peak_tflops]
    if minimum_memory_bytes is not None:
        require_not_negative(minimum_memory_bytes=minimum_memory_bytes)
        rows = [row for row in rows if row.memory_bytes >= minimum_memory_bytes]
    return Listing(rows)
