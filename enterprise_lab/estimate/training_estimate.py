"""What a training run needs, as predicted, and how it shows itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from enterprise_lab.catalog import Accelerator
from enterprise_lab.errors import LabError
from enterprise_lab.estimate.intervals import Case, Family, memory_estimate, seconds_estimate
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.value import Estimate, html_table
from enterprise_lab.shapes import ConvolutionalShape, TransformerShape
from enterprise_lab.units import format_si


@dataclass(frozen=True)
class TrainingEstimate:
    """FLOPs, memory and time of a training run, as predicted; made by `training`."""

    shape: TransformerShape | ConvolutionalShape
    accelerator: Accelerator
    plan: Plan
    precision: str
    sequence_length: int
    """Tokens; 0 where batches count images."""
    global_batch: int
    tokens: float | None
    flop_terms: Mapping[str, int]
    """FLOPs of one step, forward and backward, by part of the model."""
    step_terms: Mapping[str, float]
    """Seconds of one step."""
    memory_terms: Mapping[str, float]
    """Bytes on the fullest device."""
    case: Case
    time_family: Family
    memory_family: Family

    @property
    def parameters(self) -> int:
        """Exact number of parameters."""
        return self.shape.parameters

    @cached_property
    def hardware_flops_per_step(self) -> int:
        """FLOPs of one step with what is computed a second time."""
        return sum(self.flop_terms.values())

    @property
    def model_flops_per_step(self) -> int:
        """FLOPs of one step, each counted once."""
        return self.hardware_flops_per_step - self.flop_terms.get("recomputation", 0)

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one global batch, or images."""
        return max(1, self.sequence_length) * self.global_batch

    @property
    def steps(self) -> float:
        """Optimizer steps of the whole run; LabError when the estimate is of one step only."""
        if self.tokens is None:
            raise LabError(
                "This estimate is of a single step: the number of tokens wasn't given.",
                "Give estimate.training(..., tokens=...) for the whole run.",
            )
        return self.tokens / self.tokens_per_step

    @property
    def peak_flops(self) -> float:
        """Peak FLOP/s of all devices together."""
        return self.accelerator.peak_flops(self.precision) * self.plan.devices

    @property
    def _seconds_at_peak(self) -> float:
        return self.model_flops_per_step / self.peak_flops

    @property
    def peak_is_unverified(self) -> bool:
        """Whether the chip's peak was recalled and not read in a source."""
        return f"{self.precision}_tflops" in self.accelerator.unverified

    @cached_property
    def step_seconds(self) -> Estimate:
        """Seconds of one optimizer step; the range ends where a chip's peak does."""
        at_peak = 0.0 if self.accelerator.is_processor else self._seconds_at_peak
        return seconds_estimate(self.step_terms, self.time_family, self.case, at_peak)

    @property
    def training_seconds(self) -> Estimate:
        """Seconds of the whole run; LabError when the estimate is of one step only."""
        return self.step_seconds.scaled(self.steps, "s", "steps x seconds a step")

    @property
    def tokens_per_second(self) -> Estimate:
        """Tokens, or images, all devices get through in a second."""
        unit = "token/s" if self.sequence_length else "image/s"
        return self.step_seconds.rate_of(self.tokens_per_step, unit, "a step's / seconds a step")

    @property
    def mfu(self) -> Estimate:
        """Model FLOP/s over peak (Chowdhery et al. 2022, appendix B)."""
        source = "model FLOPs / (peak x seconds a step)"
        return self.step_seconds.rate_of(self._seconds_at_peak, "1", source)

    @cached_property
    def memory_bytes_per_device(self) -> Estimate:
        """Bytes on the device that needs most, at its fullest moment."""
        return memory_estimate(self.memory_terms, self.memory_family, self.case)

    @property
    def fits(self) -> bool:
        """Whether the need is at most the device's memory."""
        return self.memory_bytes_per_device.value <= self.accelerator.memory_bytes

    def _repr_html_(self) -> str:
        chip = self.accelerator
        mark = " (unverified)" if self.peak_is_unverified else ""
        rows: list[tuple[str, ...]] = [
            ("parameters", f"{self.parameters:,}", "estimated, exact count"),
            *(
                (f"FLOPs a step: {name}", format_si(flops, "FLOP"), "")
                for name, flops in self.flop_terms.items()
                if flops
            ),
            (
                "FLOPs a step",
                format_si(self.hardware_flops_per_step, "FLOP"),
                "estimated, exact count",
            ),
            *(
                (f"memory: {name}", str(Estimate(size, "B", "")), "")
                for name, size in self.memory_terms.items()
            ),
            ("memory a device", str(self.memory_bytes_per_device), "estimated"),
            ("peak", format_si(self.peak_flops, "FLOP/s") + mark, "published"),
            *(
                (f"time: {name}", str(Estimate(seconds, "s", "")), "")
                for name, seconds in self.step_seconds.terms.items()
            ),
            ("time a step", str(self.step_seconds), "estimated"),
            ("share of peak", str(self.mfu), "estimated"),
        ]
        if self.tokens is not None:
            rows.append(("time in all", str(self.training_seconds), "estimated"))
        title = (
            f"{self.plan.devices} x {chip.name}, {self.precision}; ranges hold four times in five."
            f" Time leans on {self.time_family.leans_on(self.case)}."
        )
        return html_table(rows, header=("", "figure", "origin"), caption=title)
