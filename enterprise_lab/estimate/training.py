"""What a training run needs: FLOPs, memory, time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator
from enterprise_lab.errors import InvalidValueError, LabError, require_positive, require_whole
from enterprise_lab.estimate.efficiency import Efficiency
from enterprise_lab.estimate.flops import Causal, Recompute, training_flops
from enterprise_lab.estimate.memory import LARGEST_BATCH, StateBytes, training_memory
from enterprise_lab.estimate.value import Estimate, html_table
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.units import format_si


@dataclass(frozen=True)
class Plan:
    """How a step is spread: data-parallel devices, sequences at once on each, recomputation."""

    data: int = 1
    micro_batch: int = 1
    recompute: Recompute = "none"

    def __post_init__(self) -> None:
        for name in ("data", "micro_batch"):
            require_whole(name, getattr(self, name), LARGEST_BATCH)


@dataclass(frozen=True)
class TrainingEstimate:
    """FLOPs, memory and time of a training run, as predicted; made by `training`."""

    shape: TransformerShape
    accelerator: Accelerator
    plan: Plan
    precision: str
    sequence_length: int
    global_batch: int
    tokens: float | None
    efficiency: Efficiency
    flop_terms: Mapping[str, int]
    """FLOPs of one step, forward and backward, by part of the model."""
    memory_terms: Mapping[str, int]

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
        return self.hardware_flops_per_step - self.flop_terms["recomputation"]

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one global batch."""
        return self.sequence_length * self.global_batch

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
        return self.accelerator.peak_flops(self.precision) * self.plan.data

    @property
    def peak_is_unverified(self) -> bool:
        """Whether the chip's peak was recalled and not read in a source."""
        return f"{self.precision}_tflops" in self.accelerator.unverified

    @cached_property
    def step_seconds(self) -> Estimate:
        """Seconds of one optimizer step: hardware FLOPs over peak times efficiency."""
        ideal = self.hardware_flops_per_step / self.peak_flops
        share = self.efficiency
        return Estimate(
            value=ideal / share.value,
            low=None if share.high is None else ideal / share.high,
            high=None if share.low is None else ideal / share.low,
            unit="s",
            source=f"FLOPs / (devices x peak x efficiency); efficiency: {share.source}",
        )

    @property
    def training_seconds(self) -> Estimate:
        """Seconds of the whole run; LabError when the estimate is of one step only."""
        return self.step_seconds.scaled(self.steps, "s", "steps x seconds a step")

    @property
    def tokens_per_second(self) -> Estimate:
        """Tokens all devices get through in a second."""
        step = self.step_seconds
        return Estimate(
            value=self.tokens_per_step / step.value,
            low=None if step.high is None else self.tokens_per_step / step.high,
            high=None if step.low is None else self.tokens_per_step / step.low,
            unit="token/s",
            source="tokens a step / seconds a step",
        )

    @property
    def mfu(self) -> Estimate:
        """Model FLOP/s over peak (Chowdhery et al. 2022, appendix B)."""
        once = self.model_flops_per_step / self.hardware_flops_per_step
        share = self.efficiency
        return Estimate(
            value=share.value * once,
            low=None if share.low is None else share.low * once,
            high=None if share.high is None else share.high * once,
            unit="1",
            source=share.source,
        )

    @property
    def memory_bytes_per_device(self) -> Estimate:
        """Bytes of weights, gradients, optimizer states and activations on each device."""
        return Estimate(
            value=sum(self.memory_terms.values()),
            unit="B",
            source="tensors only; the framework's own memory and fragmentation come on top",
            terms=self.memory_terms,
        )

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
            ("efficiency", str(self.mfu), "published"),
            ("time a step", str(self.step_seconds), "estimated"),
        ]
        if self.tokens is not None:
            rows.append(("time in all", str(self.training_seconds), "estimated"))
        title = f"{self.plan.data} x {chip.name}, {self.precision}; {self.efficiency.source}"
        return html_table(rows, header=("", "figure", "origin"), caption=title)


def training(
    shape: TransformerShape,
    *,
    sequence_length: int,
    global_batch: int,
    accelerator: str,
    efficiency: Efficiency,
    plan: Plan | None = None,
    precision: str = "fp16",
    causal: Causal = "full",
    tokens: float | None = None,
    predicted_share: float = 1.0,
    states: StateBytes | None = None,
) -> TrainingEstimate:
    """Predict the FLOPs, memory and time of training.

    `sequence_length` in tokens, `global_batch` in sequences over all devices, `tokens` in all
    (None: one step only). fp16 and bf16 are mixed precision with fp32 states unless `states` says
    otherwise. `efficiency` is the share of peak the hardware's FLOPs reach; see
    `published_efficiency`. `causal` and `predicted_share` as in `flops.forward_flops`.

    Raises LabError for an unknown chip, a precision it lacks, a batch the plan doesn't divide,
    and for sizes that can't be.
    """
    for given, kind, what in (
        (shape, TransformerShape, "a shape, such as catalog.model('bert-base-uncased').shape"),
        (efficiency, Efficiency, "an efficiency with its source: estimate.Efficiency(0.4, 'why')"),
        (plan, Plan | None, "a plan, such as estimate.Plan(data=8)"),
    ):
        if not isinstance(given, kind):
            raise InvalidValueError(f"{given!r} is not what is needed here.", f"Give {what}.")
    require_whole("global_batch", global_batch, LARGEST_BATCH)
    if tokens is not None:
        require_positive(tokens=tokens)
    plan = plan or Plan(micro_batch=global_batch)
    at_once = plan.data * plan.micro_batch
    if global_batch % at_once:
        raise InvalidValueError(
            f"A global batch of {global_batch} can't be split over {plan.data} devices with"
            f" {plan.micro_batch} sequences at once on each.",
            f"The nearest batch that can: {max(at_once, round(global_batch / at_once) * at_once)}.",
        )
    chip = catalog.accelerator(accelerator)
    chip.peak_flops(precision)
    per_sequence = training_flops(
        shape,
        sequence_length=sequence_length,
        causal=causal,
        predicted_share=predicted_share,
        recompute=plan.recompute,
    )
    return TrainingEstimate(
        shape=shape,
        accelerator=chip,
        plan=plan,
        precision=precision,
        sequence_length=sequence_length,
        global_batch=global_batch,
        tokens=tokens,
        efficiency=efficiency,
        flop_terms={name: global_batch * flops for name, flops in per_sequence.items()},
        memory_terms=training_memory(
            shape,
            sequence_length=sequence_length,
            micro_batch=plan.micro_batch,
            precision=precision,
            recompute=plan.recompute,
            predicted_share=predicted_share,
            states=states,
        ),
    )
