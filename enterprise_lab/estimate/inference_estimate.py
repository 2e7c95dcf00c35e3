"""What serving needs, as predicted, and how it shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from enterprise_lab.catalog import Accelerator
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.intervals import Case, Family, memory_estimate, seconds_estimate
from enterprise_lab.estimate.value import Estimate, html_table
from enterprise_lab.shapes import Shape


@dataclass(frozen=True)
class InferenceEstimate:
    """Memory and time of serving, as predicted; made by `inference`."""

    shape: Shape
    accelerator: Accelerator
    precision: str
    batch: int
    input_length: int
    output_length: int
    tensor: int
    weight_bits: int
    prefill_terms: Mapping[str, float]
    """Seconds of the pass over the batch's inputs."""
    decode_terms: Mapping[str, float]
    """Seconds of each further token of every request, on average; empty for encoders."""
    memory_terms: Mapping[str, float]
    case: Case
    prefill_family: Family
    decode_family: Family
    memory_family: Family

    @property
    def parameters(self) -> int:
        """Exact number of parameters."""
        return self.shape.parameters

    @cached_property
    def prefill_seconds(self) -> Estimate:
        """Seconds until the whole batch is read: an encoder's latency, a decoder's first token."""
        return seconds_estimate(self.prefill_terms, self.prefill_family, self.case)

    @cached_property
    def decode_seconds_per_token(self) -> Estimate:
        """Seconds until each request has its next token; LabError when none is asked for."""
        if not self.decode_terms:
            raise LabError(
                "No tokens are generated here: output_length is 0.",
                "Give estimate.inference(..., output_length=...) of a decoder.",
            )
        return seconds_estimate(self.decode_terms, self.decode_family, self.case)

    @cached_property
    def batch_seconds(self) -> Estimate:
        """Seconds until every request of the batch is done."""
        first = self.prefill_seconds
        if self.output_length < 2:
            return first
        rest = self.decode_seconds_per_token.scaled(self.output_length - 1, "s", "tokens")
        return first.plus(rest, "prefill and every further token")

    @property
    def queries_per_second(self) -> Estimate:
        """Whole requests a second of one device group."""
        return self.batch_seconds.rate_of(self.batch, "query/s", "batch / seconds of a batch")

    @property
    def tokens_per_second(self) -> Estimate:
        """Generated tokens a second of one device group; LabError when none is asked for."""
        if not self.decode_terms:
            return self.decode_seconds_per_token
        made = self.batch * self.output_length
        return self.batch_seconds.rate_of(made, "token/s", "tokens / seconds of a batch")

    @cached_property
    def memory_bytes_per_device(self) -> Estimate:
        """Bytes on each device of the group."""
        return memory_estimate(self.memory_terms, self.memory_family, self.case)

    @property
    def fits(self) -> bool:
        """Whether the need is at most the device's memory."""
        return self.memory_bytes_per_device.value <= self.accelerator.memory_bytes

    def _repr_html_(self) -> str:
        rows: list[tuple[str, ...]] = [("parameters", f"{self.parameters:,}")]
        rows += [
            (f"memory: {name}", str(Estimate(size, "B", "")))
            for name, size in self.memory_terms.items()
        ]
        rows += [
            ("memory a device", str(self.memory_bytes_per_device)),
            ("prefill" if self.decode_terms else "latency", str(self.prefill_seconds)),
        ]
        if self.decode_terms:
            rows.append(("each further token", str(self.decode_seconds_per_token)))
            rows.append(("tokens a second", str(self.tokens_per_second)))
        rows.append(("requests a second", str(self.queries_per_second)))
        title = (
            f"{self.tensor} x {self.accelerator.name}, {self.precision}, batch {self.batch};"
            f" estimated, ranges hold four times in five."
            f" Time leans on {self.prefill_family.leans_on(self.case)}."
        )
        return html_table(rows, header=("", "figure"), caption=title)
