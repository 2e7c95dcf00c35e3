"""Estimates of `elab estimate` with titles, prices, and what to try where they don't fit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from enterprise_lab import estimate
from enterprise_lab.catalog.nodes import node_of
from enterprise_lab.commands import estimate_remedies as remedies
from enterprise_lab.commands.estimate_options import (
    Run,
    Spread,
    Waits,
    Workload,
    require_length,
)
from enterprise_lab.commands.estimate_place import Place
from enterprise_lab.commands.estimate_plans import as_options
from enterprise_lab.commands.estimate_tables import (
    SMALL,
    Sheet,
    inference_figures,
    leaning,
    sheet,
    training_figures,
)
from enterprise_lab.errors import LabError, require_whole
from enterprise_lab.estimate import InferenceEstimate, LowRank, Plan, TrainingEstimate
from enterprise_lab.estimate.legality import divisors
from enterprise_lab.estimate.plan import LARGEST_BATCH
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
    require_whole("--batch", workload.batch, LARGEST_BATCH)
    plan = spread.fields_of_plan(shape, place.devices)
    place.require_devices(Plan(**plan).devices)
    found = _fastest(again, plan, workload.batch)
    return _training_sheet(model, found, place, again, trainable)


def _fastest(
    again: Callable[..., TrainingEstimate], plan: dict[str, Any], batch: int
) -> TrainingEstimate:
    """Return the estimate with the given micro-batch, or with the fastest that fits."""
    first = Plan(**plan)
    if "micro_batch" in plan:
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
    whole, devices = found.tokens is not None, found.plan.devices
    seconds = found.training_seconds if whole else found.step_seconds.scaled(STEPS, "s", "steps")
    if bill := place.bill(seconds, devices):
        figures["training_usd" if whole else "usd_per_1000_steps"] = bill
    ways = [] if found.fits else remedies.for_training(found, again, trainable)
    what = f"of {found.sequence_length:,} tokens" if found.sequence_length else "images"
    title = (
        f"{model}, {_work(trainable)}: {devices_of(place, devices)}, {found.precision},"
        f" batch {found.global_batch:,} {what}, {found.plan.micro_batch:,} at once\n"
        f"Plan: {as_options(found.plan, found.shape)}"
    )
    remarks = [place.rental(devices), leaning("Time", found.time_family, found.case)]
    if trainable == "all" and found.memory_terms["gradients"] < SMALL * sum(
        found.memory_terms.values()
    ):
        remarks.insert(0, "Gradients come as activations go: at the fullest moment there are none.")
    return sheet(title, model, found, figures, remarks, ways)


def _work(trainable: Trainable) -> str:
    """Say which weights change."""
    if isinstance(trainable, LowRank):
        return (
            f"LoRA of rank {trainable.rank:,} on {', '.join(trainable.targets)} beside weights of"
            f" {trainable.base_bits} bits"
        )
    return "training" if trainable == "all" else "training the head only"


def inference(
    model: str,
    found: InferenceEstimate,
    place: Place,
    again: Callable[..., InferenceEstimate],
) -> Sheet:
    """Say what serving needs; `again` estimates it with other arguments."""
    figures = inference_figures(found)
    groups = _groups(found, place)
    seconds = found.batch_seconds.scaled(REQUESTS / (found.batch * groups), "s", "batches")
    if bill := place.bill(seconds, groups * found.tensor):
        figures["usd_per_million_requests"] = bill
    again = functools.partial(again, batch=found.batch)
    ways = [] if found.fits else remedies.for_inference(found, again, _node_devices(place))
    title = (
        f"{model}, serving: {devices_of(place, found.tensor)}, batch {found.batch:,},"
        f" {request(found)}"
    )
    rental = place.rental(groups * found.tensor)
    if rental and groups > 1:
        rental += f" {groups:,} such groups are at work on it."
    remarks = [rental, leaning("Time", found.prefill_family, found.case)]
    if found.decode_terms:
        remarks.append(leaning("Each further token", found.decode_family, found.case))
    return sheet(title, model, found, figures, remarks, ways)


def _groups(found: InferenceEstimate, place: Place) -> int:
    """Return how many such groups of devices the rented instances hold."""
    if place.instance is None:
        return 1
    return max(1, place.instances(found.tensor) * place.devices // found.tensor)


def _node_devices(place: Place) -> int:
    return (place.node or node_of(place.chip)).devices


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
