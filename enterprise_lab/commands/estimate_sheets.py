"""Estimates of `elab estimate` with titles, prices, and what to try where they don't fit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from enterprise_lab import costing, estimate
from enterprise_lab.commands import estimate_remedies as remedies
from enterprise_lab.commands.estimate_options import (
    Run,
    Spread,
    Waits,
    Workload,
    require_length,
)
from enterprise_lab.commands.estimate_place import Place
from enterprise_lab.commands.estimate_tables import (
    Sheet,
    inference_figures,
    leaning,
    sheet,
    training_figures,
)
from enterprise_lab.errors import LabError
from enterprise_lab.estimate import Estimate, InferenceEstimate, Plan, TrainingEstimate
from enterprise_lab.estimate.legality import divisors
from enterprise_lab.estimate.plan_table import STEPS
from enterprise_lab.estimate.trainable import Trainable
from enterprise_lab.shapes import Shape

REQUESTS = 1e6
"""Requests that are priced."""


def training(
    model: str,
    shape: Shape,
    place: Place,
    workload: Workload,
    run: Run,
    spread: Spread,
    waits: Waits,
    trainable: Trainable,
) -> Sheet:
    """Estimate a training as options say."""
    require_length(shape, workload.sequence_length)
    again = functools.partial(
        estimate.training,
        shape,
        accelerator=place.chip,
        precision=place.precision,
        node=place.node,
        tokens=run.total(shape, workload.sequence_length),
        trainable=trainable,
        **workload.arguments(),
        **waits.arguments(),
    )
    found = _fastest(again, spread.fields_of_plan(shape, place.devices), workload.batch)
    return _training_sheet(model, found, place, again, trainable)


def _fastest(
    again: Callable[..., TrainingEstimate], plan: dict[str, Any], batch: int
) -> TrainingEstimate:
    """Return the estimate with the given micro-batch, or with the fastest that fits."""
    first = Plan(**plan)
    if "micro_batch" in plan or batch < 1:
        return again(plan=first)
    possible, refused = [], None
    for size in divisors(max(1, batch // first.data)):
        try:
            possible.append(again(plan=Plan(**plan, micro_batch=size)))
        except LabError as error:
            refused = refused or error
    if refused and not possible:
        raise refused
    fitting = [one for one in possible if one.fits]
    return min(fitting or possible[:1], key=lambda one: one.step_seconds.value)


def _training_sheet(
    model: str,
    found: TrainingEstimate,
    place: Place,
    again: Callable[..., TrainingEstimate],
    trainable: Trainable,
) -> Sheet:
    figures = training_figures(found)
    if place.instance:
        rented = place.instances(found.plan.devices)
        whole = found.tokens is not None
        seconds = (
            found.training_seconds if whole else found.step_seconds.scaled(STEPS, "s", "steps")
        )
        bill = costing.on_demand(seconds, place.instance.name, instances=rented)
        figures["training_usd" if whole else "usd_per_1000_steps"] = bill
    ways = [] if found.fits else remedies.for_training(found, again, trainable == "all")
    what = f"of {found.sequence_length:,} tokens" if found.sequence_length else "images"
    title = (
        f"{model}, training: {devices_of(place, found.plan.devices)}, {found.precision},"
        f" batch {found.global_batch:,} {what}, {found.plan.micro_batch:,} at once"
    )
    text = leaning("Time", found.time_family, found.step_seconds.source)
    return sheet(title, model, found, figures, text, ways)


def inference(
    model: str,
    found: InferenceEstimate,
    place: Place,
    again: Callable[..., InferenceEstimate],
) -> Sheet:
    """Say what serving needs; `again` estimates it with other arguments."""
    figures = inference_figures(found)
    if place.instance:
        figures["usd_per_million_requests"] = _usd_of_requests(found, place)
    again = functools.partial(again, batch=found.batch)
    ways = [] if found.fits else remedies.for_inference(found, again)
    title = (
        f"{model}, serving: {devices_of(place, found.tensor)}, batch {found.batch:,},"
        f" {request(found)}"
    )
    text = leaning("Time", found.prefill_family, found.prefill_seconds.source)
    if found.decode_terms:
        tokens = found.decode_seconds_per_token.source
        text += "\n" + leaning("Each further token", found.decode_family, tokens)
    return sheet(title, model, found, figures, text, ways)


def _usd_of_requests(found: InferenceEstimate, place: Place) -> Estimate:
    """Dollars for a million requests, with every device of the instances at work."""
    assert place.instance
    rented = place.instances(found.tensor)
    groups = max(1, rented * place.devices // found.tensor)
    seconds = found.batch_seconds.scaled(REQUESTS / (found.batch * groups), "s", "batches")
    return costing.on_demand(seconds, place.instance.name, instances=rented)


def request(found: InferenceEstimate) -> str:
    """Say what a request is."""
    if not found.input_length:
        return f"{found.precision}, images"
    new = f" and {found.output_length:,} new ones" if found.output_length else ""
    weights = f", weights of {found.weight_bits} bits"
    return f"{found.precision}{weights}, {found.input_length:,} tokens{new}"


def devices_of(place: Place, devices: int) -> str:
    """Say how many of which chips, and which instances they are."""
    text = f"{devices:,} x {place.chip.name}"
    if place.instance:
        text += f" ({place.instances(devices):,} x {place.instance.name})"
    return text
