"""The share of a chip's peak that training reaches, taken from published runs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from enterprise_lab import catalog
from enterprise_lab.catalog import PublishedRun
from enterprise_lab.errors import InvalidValueError, LabError, require_whole
from enterprise_lab.estimate.flops import LONGEST_SEQUENCE, training_flops

GATHERED_SHARE = 20 / 128
"""Share of positions for which BERT recipes run the output head: at most 20 in 128 tokens.

Source: google-research/bert README, `max_predictions_per_seq`; 80 in 512 is the same share.
"""
_SIXTEEN_BITS = ("fp16", "bf16")


@dataclass(frozen=True)
class Efficiency:
    """Achieved over peak FLOP/s: a value, the range it was seen in, and where it was seen."""

    value: float
    source: str
    low: float | None = None
    high: float | None = None
    borrowed: bool = False
    """Whether it was seen on other chips only."""

    def __post_init__(self) -> None:
        low = self.value if self.low is None else self.low
        high = self.value if self.high is None else self.high
        if not 0 < low <= self.value <= high <= 1:
            raise InvalidValueError(
                f"An efficiency lies above 0 and at most at 1, its low below its high; not"
                f" {low:g}, {self.value:g}, {high:g}.",
                "Give the share of peak as a fraction such as 0.4.",
            )


def run_efficiency(run: PublishedRun) -> float:
    """Model FLOP/s of a published BERT pre-training run over its chips' peak.

    The output head is counted for the gathered positions only, as those recipes run it.
    """
    flops = training_flops(
        catalog.model(run.model).shape,
        sequence_length=run.sequence_length,
        predicted_share=GATHERED_SHARE,
    )
    peak = catalog.accelerator(run.accelerator).peak_flops(run.precision) * run.devices
    return sum(flops.values()) * run.sequences_per_second / peak


def published_efficiency(
    accelerator: str,
    precision: str,
    sequence_length: int,
    runs: Iterable[PublishedRun] | None = None,
) -> Efficiency:
    """Median efficiency of published BERT pre-training, with the range of the rows behind it.

    The rows of the nearest sequence length and the same number of bits are used: those of the
    same chip generation where there are any, otherwise those of every chip, a weaker guess, which
    the source says. Suspect rows are never used. Give `runs` to leave some out, for example the
    ones you are about to compare with.

    Raises LabError for a precision the chip lacks, and when no row is left to learn from.
    """
    require_whole("sequence_length", sequence_length, LONGEST_SEQUENCE)
    it = catalog.accelerator(accelerator)
    it.peak_flops(precision)
    chip = _generation(it.name)
    bits = _SIXTEEN_BITS if precision in _SIXTEEN_BITS else (precision,)
    known = [
        run
        for run in (catalog.published_pretraining() if runs is None else runs)
        if run.precision in bits and not run.suspect
    ]
    same = [run for run in known if _generation(run.accelerator) == chip]
    used = same or known
    if not used:
        raise LabError(
            f"No published BERT pre-training run in {precision} is known.",
            "Give an efficiency of your own with its source: estimate.Efficiency(0.4, 'why').",
        )
    distance = min(_distance(run, sequence_length) for run in used)
    shares = [run_efficiency(run) for run in used if _distance(run, sequence_length) == distance]
    where = chip if same else f"other chips (none published for {chip})"
    return Efficiency(
        value=statistics.median(shares),
        low=min(shares),
        high=max(shares),
        source=f"median and range of {len(shares)} published BERT-large runs on {where}",
        borrowed=not same,
    )


def _distance(run: PublishedRun, sequence_length: int) -> float:
    return abs(math.log(run.sequence_length / sequence_length))


def _generation(accelerator: str) -> str:
    return accelerator.split("-")[0]
