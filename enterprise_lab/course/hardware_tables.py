"""The tables of lab 02: layers under their roofs, trainings, steps, and what to choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from IPython.display import Markdown

from enterprise_lab import catalog
from enterprise_lab.catalog import Accelerator
from enterprise_lab.course import lab02
from enterprise_lab.course.bills import Bill, smallest_instance
from enterprise_lab.course.hardware_pictures import Roof
from enterprise_lab.course.text import say
from enterprise_lab.estimate import Estimate
from enterprise_lab.measure.energy import Energy
from enterprise_lab.measure.records import Record, measurement_of
from enterprise_lab.training.figures import STEP_SECONDS
from enterprise_lab.training.layers import LayerRate
from enterprise_lab.training.run import Run
from enterprise_lab.training.sweep import Skipped
from enterprise_lab.units import (
    HOUR,
    format_bytes,
    format_figure,
    format_seconds,
    format_si,
    format_usd,
)


def layers(found: Sequence[LayerRate], here: Roof, elsewhere: Mapping[str, Roof]) -> Markdown:
    """Show each layer's intensity and rate here, and what would limit it under every roof."""
    names = ["here", *elsewhere]
    header = ["layer", "FLOP/byte", "attainable here", "measured here", "share"]
    rows = []
    for one in found:
        limit = min(here.flops_per_second, one.flops_per_byte * here.bytes_per_second)
        share = "" if one.rate.doubt else f"{100 * one.rate.value / limit:.0f} %"
        limits = [_limit(one, roof) for roof in (here, *elsewhere.values())]
        rows.append(
            [
                one.name,
                f"{one.flops_per_byte:.1f}",
                format_si(limit, "FLOP/s"),
                str(one.rate),
                share,
                *limits,
            ]
        )
    return _table([*header, *(f"{name}: limited by" for name in names)], rows)


def _limit(layer: LayerRate, roof: Roof) -> str:
    ridge = roof.flops_per_second / roof.bytes_per_second
    return "memory" if layer.flops_per_byte < ridge else "arithmetic"


def trainings(
    runs: Mapping[str, Run],
    used: Mapping[str, tuple[Energy, int]],
    missing: Mapping[str, str],
    *,
    image_flops: float,
    peak: float,
) -> Markdown:
    """Show what each framework's training took; `used` is its energy and its bytes."""
    header = ["framework", "first step", "images/s", "share of peak", "epochs", "to the target",
              "energy", "memory"]  # fmt: skip
    rows = []
    notes = [f"{framework} is left out: {why}" for framework, why in missing.items()]
    for framework, run in runs.items():
        energy, size = used[framework]
        rate = run.samples_per_second or 0.0
        rows.append(
            [
                framework + "?" * bool(run.doubt),
                format_seconds(run.first_step_seconds),
                f"{rate:,.0f}",
                f"{100 * rate * image_flops / peak:.0f} %",
                str(len(run.curve)),
                format_seconds(run.seconds) + ("" if run.reached else ", not reached"),
                f"{format_figure(energy.joules, 'J')} ({energy.origin})",
                format_bytes(size),
            ]
        )
        notes += [f"? {framework}: {run.doubt}."] * bool(run.doubt)
        source = f"Energy: {energy.source}."
    notes = [source, "Memory: on a processor what it grew by, on a GPU all in use.", *notes]
    return _table(header, rows, notes)


def steps(
    found: Sequence[Record],
    skipped: Sequence[Skipped],
    expected: Mapping[tuple[str, int], Estimate],
    rates: Mapping[str, float],
    *,
    framework: str,
    image_flops: float,
) -> Markdown:
    """Show a framework's measured steps beside those expected by format and batch."""
    header = ["batch", "format", "measured", "images/s", "share of peak", "predicted",
              "measured / predicted"]  # fmt: skip
    rows = []
    own = [r for r in found if r.metric == STEP_SECONDS and r.parameters["framework"] == framework]
    for one in own:
        batch, precision = int(one.parameters["batch"]), str(one.parameters["precision"])
        guess, per_second = expected[precision, batch], batch / one.value
        judged = (
            ["", "", str(guess), ""]
            if one.doubt
            else [
                f"{per_second:,.0f}",
                f"{100 * per_second * image_flops / rates[precision]:.0f} %",
                str(guess),
                f"{one.value / guess.value:.2f}",
            ]
        )
        rows.append([str(batch), precision, str(measurement_of(one)), *judged])
    noisy = sum(bool(one.doubt) for one in own)
    note = (
        f"**{noisy} of {len(own)} figures can't be relied on, nor what follows from them: let"
        " nothing else run, and run the sweep again.**"
    )
    left_out = dict.fromkeys(f"{s.framework}, {s.precision}: {s.reason}" for s in skipped)
    return _table(header, rows, [*[note] * bool(noisy), *left_out])


def chips(found: Sequence[Accelerator]) -> Markdown:
    """Show what data sheets say of chips, and what the smallest EC2 instance with one costs."""
    header = ["chip", "fp32", "16 bits", "memory", "bandwidth", "power", "rented in", "an hour"]
    rows = []
    for chip in found:
        peaks, instance = chip.peak_tflops, smallest_instance(chip)
        wide, narrow = peaks.get("fp32"), peaks.get("bf16") or peaks.get("fp16")
        price = catalog.price(instance.name).usd_per_hour if instance else None
        rows.append(
            [
                chip.name,
                f"{wide:g} TFLOP/s" if wide else "–",
                f"{narrow:g} TFLOP/s" if narrow else "–",
                format_bytes(chip.memory_bytes),
                f"{format_bytes(chip.memory_bandwidth_bytes_per_second)}/s",
                f"{chip.power_watts:g} W" if chip.power_watts else "–",
                f"{instance.name}, {instance.accelerator_count:g} of them" if instance else "–",
                format_usd(price) if price else "not in EC2",
            ]
        )
    return _table(header, rows, ["Published."])


def payback(runs: Mapping[str, Run], reference: str) -> Markdown:
    """Say of each compiled framework after how many steps compiling has paid for itself."""
    base = runs[reference]
    said = []
    for framework, run in runs.items():
        if framework == reference or not (base.samples_per_second and run.samples_per_second):
            continue
        gain = base.batch / base.samples_per_second - run.batch / run.samples_per_second
        later = run.first_step_seconds - base.first_step_seconds
        said += [
            f"{framework}'s steps are quicker by {format_seconds(gain)}: its first step is paid"
            f" back after {later / gain:,.0f} more."
            if gain > 0
            else f"{framework}'s steps are not quicker here: compiling never pays."
        ]
    return say(" ".join(said))


Option = Mapping[str, Any]


def options(bills: Sequence[Bill], start_up_seconds: float) -> list[Option]:
    """List bills as exercise 7 has its options."""
    return [
        {
            "name": f"{bill.device} ({bill.instance.name})",
            "seconds": bill.seconds.value,
            "start_up_seconds": start_up_seconds,
            "usd_per_hour": catalog.price(bill.instance.name).usd_per_hour,
        }
        for bill in bills
        if bill.instance
    ]


def decisions(tasks: Mapping[str, tuple[Sequence[Option], Sequence[float]]]) -> Markdown:
    """Show what to choose for each task by its deadlines, when it is done and what it costs."""
    rows = []
    for task, (choices, deadlines) in tasks.items():
        for deadline in deadlines:
            best = lab02.choose_hardware.reference(options=choices, deadline_seconds=deadline)
            row = [task, format_seconds(deadline), str(best or "none of these"), "", ""]
            for one in (one for one in choices if one["name"] == best):
                seconds = one["seconds"] + one["start_up_seconds"]
                bill = max(lab02.MINIMUM_SECONDS, seconds) / HOUR * one["usd_per_hour"]
                row[3:] = [format_seconds(seconds), format_usd(bill) if bill >= 0.01 else
                           f"{100 * bill:.2g} cents"]  # fmt: skip
            rows.append(row)
    return _table(["task", "deadline", "choose", "done after", "for"], rows)


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> Markdown:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return say("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n" + " ".join(notes))
