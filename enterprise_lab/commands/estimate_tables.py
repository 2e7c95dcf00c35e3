"""Estimates as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import typer
from rich.markup import escape

from enterprise_lab.catalog import Accelerator
from enterprise_lab.estimate import Estimate, InferenceEstimate, TrainingEstimate
from enterprise_lab.estimate.intervals import Case, Family
from enterprise_lab.units import (
    TERA,
    format_bytes,
    format_figure,
    format_range,
    format_seconds,
    format_si,
)

EXACT = "exact count"
SMALL = 1e-3
"""Share of a figure below which a term isn't shown."""
SOURCES = 3
"""Sources of a family that are named; --json has all."""


@dataclass(frozen=True)
class Sheet:
    """What is printed of one estimate: a title, figures by name, and remarks below."""

    title: str
    figures: Mapping[str, Estimate]
    remarks: Sequence[str] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else programs are told."""

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON's own types."""
        return {"title": self.title, **self.facts, "figures": in_json(self.figures)}

    def print_as(self, as_json: bool = False) -> None:
        """Print for people, or for programs."""
        if as_json:
            write_json(self.as_json())
        else:
            self._print()

    def _print(self) -> None:
        """Print the figures, each with its range and its terms with their shares, and remarks."""
        from rich.table import Table

        table = Table(pad_edge=False)
        table.add_column("")
        for title in ("estimate", "80 % range", "share"):
            table.add_column(title, justify="right")
        for name, figure in self.figures.items():
            if figure.terms:
                table.add_section()
            title = self._title_of(name)
            table.add_row(
                title, f"[bold]{written(figure.value, figure.unit)}", range_of(figure), ""
            )
            for term, part in figure.terms.items():
                if figure.value and part / figure.value >= SMALL:
                    share = f"{100 * part / figure.value:.1f} %"
                    table.add_row(f"  {term}", written(part, figure.unit), "", share)
            if figure.terms:
                table.add_section()
        show(f"[bold]{escape(self.title)}", table, *self.remarks)

    def _title_of(self, name: str) -> str:
        if name == "prefill_seconds" and "batch_seconds" not in self.figures:
            name = "batch_seconds"
        return TITLES.get(name, name)


def show(*parts: Any) -> None:
    """Print to a terminal, or to a file or pipe in the width that tables need."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=160)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str) and not console.is_terminal)


def write_json(what: Any) -> None:
    """Write what programs read."""
    typer.echo(json.dumps(what, indent=2, allow_nan=False))


def in_json(figures: Mapping[str, Estimate]) -> dict[str, Any]:
    """Return figures as JSON's own types, each with value, low, high, unit, source and terms."""
    return {
        name: {
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "unit": figure.unit,
            "source": figure.source,
            "terms": dict(figure.terms),
        }
        for name, figure in figures.items()
    }


def written(value: float, unit: str) -> str:
    """Write a figure; requests, tokens and images a second as plain numbers: titles name them."""
    if unit.endswith("/s") and not unit.startswith("FLOP"):
        return _plain(value)
    if not unit:
        return f"{value:,.2f}".removesuffix("0").removesuffix(".0")
    return f"{100 * value:.3g} %" if unit == "1" else format_figure(value, unit)


def _plain(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def range_of(figure: Estimate) -> str:
    """Write a figure's range; "exact" where there is no doubt, nothing where it isn't known."""
    if figure.low is None or figure.high is None:
        return ""
    if figure.low == figure.high:
        return "exact"
    if figure.unit == "1" or figure.unit.endswith("/s"):
        return f"{written(figure.low, figure.unit)} to {written(figure.high, figure.unit)}"
    if format_seconds(figure.value).endswith(" s") and figure.unit == "s":
        return f"{format_si(figure.low, 's')} to {format_si(figure.high, 's')}"
    return format_range(figure.value, figure.low, figure.high, figure.unit)


def exact(value: float, unit: str, terms: Mapping[str, float] | None = None) -> Estimate:
    """Return a count as a figure without doubt."""
    return Estimate(value, unit, EXACT, value, value, terms or {})


def training_figures(found: TrainingEstimate) -> dict[str, Estimate]:
    """Return the figures of a training step, and of the run where its length is known."""
    flops = {name: float(part) for name, part in found.flop_terms.items()}
    figures = {
        "step_seconds": found.step_seconds,
        "memory_bytes_per_device": found.memory_bytes_per_device,
        "hardware_flops_per_step": exact(found.hardware_flops_per_step, "FLOP", flops),
        "model_flops_per_step": exact(found.model_flops_per_step, "FLOP"),
        "parameters": exact(found.parameters, ""),
        "mfu": found.mfu,
        "samples_per_second" if not found.sequence_length else "tokens_per_second": (
            found.tokens_per_second
        ),
    }
    if found.tokens is not None:
        figures["steps"] = exact(found.steps, "")
        figures["training_seconds"] = found.training_seconds
    return figures


def inference_figures(found: InferenceEstimate) -> dict[str, Estimate]:
    """Return the figures of serving one batch after the other."""
    figures = {"prefill_seconds": found.prefill_seconds}
    if found.decode_terms:
        figures["decode_seconds_per_token"] = found.decode_seconds_per_token
        figures["batch_seconds"] = found.batch_seconds
        figures["tokens_per_second"] = found.tokens_per_second
    figures["queries_per_second"] = found.queries_per_second
    figures["memory_bytes_per_device"] = found.memory_bytes_per_device
    figures["parameters"] = exact(found.parameters, "")
    return figures


TITLES = {
    "step_seconds": "time of a step",
    "memory_bytes_per_device": "memory of a device",
    "hardware_flops_per_step": "FLOPs a step, hardware",
    "model_flops_per_step": "FLOPs a step, model",
    "mfu": "share of peak (MFU)",
    "training_seconds": "time in all",
    "training_usd": "cost in all",
    "usd_per_1000_steps": "cost of 1,000 steps",
    "prefill_seconds": "time to read the batch",
    "decode_seconds_per_token": "time of each further token",
    "batch_seconds": "time of the batch",
    "queries_per_second": "requests a second",
    "tokens_per_second": "tokens a second",
    "samples_per_second": "images a second",
    "usd_per_million_requests": "cost of a million requests",
}


def curve(rows: Sequence[InferenceEstimate], usd: Sequence[Estimate | None]) -> Any:
    """Return the table of several batch sizes."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    generates = bool(rows[0].decode_terms)
    table = Table(box=SIMPLE_HEAD, padding=(0, 0 if generates else 1, 0, 1))
    columns = ["batch", "latency"]
    columns += ["first\ntoken", "further\ntoken", "tokens\na second"] if generates else []
    columns += ["requests\na second", "memory", *(["a million\nrequests"] if usd[0] else [])]
    for column in columns:
        table.add_column(column, justify="right")
    for one, price in zip(rows, usd, strict=True):
        ranged = narrow if generates else two_lines
        cells = [f"{one.batch:,}", ranged(one.batch_seconds)]
        if generates:
            cells += [
                format_seconds(one.prefill_seconds.value),
                format_seconds(one.decode_seconds_per_token.value),
                _plain(one.tokens_per_second.value),
            ]
        memory = format_bytes(one.memory_bytes_per_device.value)
        too_much = "" if one.fits else "\n[red]too much"
        cells += [ranged(one.queries_per_second), memory + too_much]
        cells += [format_figure(price.value, "USD")] if price else []
        table.add_row(*cells)
    return table


def two_lines(figure: Estimate) -> str:
    """Write a figure and, below, its range."""
    return f"[bold]{written(figure.value, figure.unit)}[/]\n{range_of(figure)}"


def narrow(figure: Estimate) -> str:
    """Write a figure and, below, its range on two lines."""
    return two_lines(figure).replace(" to ", " to\n")


def whether_it_fits(found: TrainingEstimate | InferenceEstimate) -> str:
    """Say in a sentence whether the memory suffices, and how sure that is."""
    need, has = found.memory_bytes_per_device, found.accelerator.memory_bytes
    which = f"of the {format_bytes(has)} of {escape(found.accelerator.name)}"
    if not found.fits:
        over = f"{format_bytes(need.value)} needed {which}"
        return f"[bold red]Does not fit[/]: {over}. Times are as if it did."
    if need.high is not None and need.high > has:
        return (
            f"[bold yellow]Fits narrowly[/]: {format_bytes(need.value)} {which};"
            f" the range reaches {format_bytes(need.high)}."
        )
    return f"[bold green]Fits[/]: {format_bytes(need.value)} {which}."


def _measured(chip: Accelerator) -> str:
    rates = ", ".join(f"{name} {format_si(rate * TERA, 'FLOP/s')}"
                      for name, rate in chip.peak_tflops.items())  # fmt: skip
    copied = format_si(chip.memory_bandwidth_bytes_per_second, "B/s")
    return f"{escape(chip.name)}: {rates}, memory {copied}; {chip.source}."


def leaning(what: str, family: Family, case: Case) -> str:
    """Say which rows a range leans on, naming a few of their sources."""
    rows = "row" if family.rows == 1 else "rows"
    named = "; ".join(family.sources[:SOURCES])
    more = len(family.sources) - SOURCES
    sources = f"{named}; and {more} more" if more > 0 else named
    wider = "; ".join(family.beyond(case))
    beyond = f" Wider, as it extrapolates: {wider}." if wider else ""
    return f"{what} leans on {family.rows} {rows} of {family.name} ({sources}).{beyond}"


def described(found: TrainingEstimate | InferenceEstimate) -> dict[str, Any]:
    """Return what programs are told about an estimate beside its figures."""
    facts: dict[str, Any] = {
        "shape": {"kind": found.shape.kind, **asdict(found.shape)},
        "accelerator": found.accelerator.name,
        "precision": found.precision,
        "fits": found.fits,
        "memory_bytes_available": found.accelerator.memory_bytes,
    }
    if isinstance(found, TrainingEstimate):
        facts |= {"plan": asdict(found.plan), "devices": found.plan.devices}
    else:
        facts |= {"batch": found.batch, "devices": found.tensor}
    return facts


def sheet(
    title: str,
    model: str,
    found: TrainingEstimate | InferenceEstimate,
    figures: Mapping[str, Estimate],
    remarks: Sequence[str],
    ways: Sequence[str],
) -> Sheet:
    """Return what is printed of an estimate, with what to try where it doesn't fit."""
    said = [whether_it_fits(found)]
    if found.accelerator.is_processor:
        said.append(_measured(found.accelerator))
    if ways:
        said.append("It would with one of:\n" + "\n".join(f"  {escape(way)}" for way in ways))
    elif not found.fits:
        said.append("Nothing tried here makes it fit: take a smaller model, or shorter input.")
    said += [escape(remark) for remark in remarks if remark]
    facts = {"model": model, **described(found), "would_fit_with": list(ways)}
    return Sheet(title, figures, said, facts)
