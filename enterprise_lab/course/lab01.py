"""The exercises of lab 01, compute estimation: references, random cases, common mistakes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from enterprise_lab import estimate
from enterprise_lab.course.exercise import Case, Exercise, Mistake
from enterprise_lab.estimate.memory import StateBytes
from enterprise_lab.shapes import TransformerShape
from enterprise_lab.units import DAY, GB, GIB, HOUR, TERA

_HEAD = 64
_TINY = {"layers": 1, "hidden": 2, "ffn": 4, "vocabulary": 10}


def _pick(rng: np.random.Generator, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _dimensions(rng: np.random.Generator) -> dict[str, int]:
    hidden = _HEAD * _pick(rng, 2, 32)
    return {
        "layers": _pick(rng, 2, 48),
        "hidden": hidden,
        "ffn": hidden * _pick(rng, 2, 5) + 8 * _pick(rng, 1, 20),
        "vocabulary": _pick(rng, 5_000, 60_000),
    }


# 1. Parameters


def _parameters(
    layers: int, hidden: int, ffn: int, vocabulary: int, positions: int, token_types: int
) -> int:
    return TransformerShape(
        "encoder",
        layers=layers,
        hidden=hidden,
        heads=1,
        kv_heads=1,
        ffn=ffn,
        vocabulary=vocabulary,
        max_positions=positions,
        token_types=token_types,
        pooler=True,
    ).parameters


def _parameters_case(rng: np.random.Generator) -> Case:
    positions = {"positions": 64 * _pick(rng, 2, 32), "token_types": _pick(rng, 1, 4)}
    return _dimensions(rng) | positions


def _off_by(amount: Callable[..., int]) -> Callable[..., int]:
    return lambda **case: _parameters(**case) - amount(**case)


parameters = Exercise(
    "count_parameters",
    _parameters,
    _parameters_case,
    example=_TINY | {"positions": 3, "token_types": 2},
    mistakes=(
        Mistake(
            _off_by(lambda layers, hidden, **_: layers * hidden * hidden),
            "Attention has four square matrices: queries, keys, values, and one more on the way"
            " out.",
        ),
        Mistake(
            _off_by(lambda layers, hidden, ffn, **_: layers * (5 * hidden + ffn) + hidden),
            "Every linear layer also has a bias, as long as its output: look at the matrices"
            " again, the pooler's too.",
        ),
        Mistake(
            _off_by(lambda layers, hidden, **_: 2 * layers * hidden),
            "A layer norms twice: once after attention, once after the MLP.",
        ),
        Mistake(
            lambda layers, hidden, ffn, vocabulary, positions, token_types: (
                (vocabulary + positions + token_types) * hidden
                + layers * (4 * hidden * hidden + 2 * hidden * ffn)
                + hidden * hidden
            ),
            "The matrices are all there; biases and norms have parameters too.",
        ),
        Mistake(
            _off_by(lambda hidden, **_: 2 * hidden),
            "The embeddings are normalised too, once, before the first layer.",
        ),
        Mistake(
            _off_by(lambda layers, hidden, **_: (1 - layers) * (hidden * hidden + hidden)),
            "The pooler sits on top of the encoder, once; it isn't part of a layer.",
        ),
        Mistake(
            _off_by(lambda hidden, **_: hidden * hidden + hidden),
            "One square linear layer sits on top of the whole encoder: the pooler.",
        ),
        Mistake(
            _off_by(lambda hidden, positions, token_types, **_: (positions + token_types) * hidden),
            "A token's embedding is the sum of three look-ups; you have counted one table.",
        ),
        Mistake(
            _off_by(
                lambda layers, hidden, ffn, **_: (
                    (layers - 1) * (4 * hidden * hidden + 2 * hidden * ffn + 9 * hidden + ffn)
                )
            ),
            "How many layers does the encoder have? You have counted one.",
        ),
    ),
)


# 2. FLOPs


def _training_flops(
    layers: int, hidden: int, ffn: int, vocabulary: int, sequence_length: int, sequences: int
) -> int:
    shape = TransformerShape(
        "decoder",
        layers=layers,
        hidden=hidden,
        heads=1,
        kv_heads=1,
        ffn=ffn,
        vocabulary=vocabulary,
    )
    return sequences * sum(estimate.training_flops(shape, sequence_length=sequence_length).values())


def _flops_case(rng: np.random.Generator) -> Case:
    size = {"sequence_length": 64 * _pick(rng, 1, 32), "sequences": _pick(rng, 2, 4096)}
    return _dimensions(rng) | size


def _scores(layers: int, hidden: int, sequence_length: int, sequences: int, **_: int) -> int:
    return 12 * layers * sequence_length**2 * hidden * sequences


training_flops = Exercise(
    "training_flops",
    _training_flops,
    _flops_case,
    example=_TINY | {"sequence_length": 3, "sequences": 1},
    mistakes=(
        Mistake(
            lambda **case: _training_flops(**case) / 2,
            "A multiply-add is two operations: one multiplication and one addition.",
        ),
        Mistake(
            lambda **case: _training_flops(**case) / 3,
            "That is the forward pass. Training also runs backward.",
        ),
        Mistake(
            lambda **case: _training_flops(**case) * 2 / 3,
            "Backward makes two products for each one forward: which two gradients are they?",
        ),
        Mistake(
            lambda **case: _training_flops(**case) - _scores(**case),
            "The weights are all there, but attention also multiplies activations with each other:"
            " queries with keys, scores with values.",
        ),
        Mistake(
            lambda **case: _training_flops(**case) - _scores(**case) / 2,
            "Attention has two products without weights; you have counted one of them.",
        ),
        Mistake(
            lambda **case: (
                _training_flops(**case) - _scores(**case) * (1 - 1 / case["sequence_length"])
            ),
            "Every token attends to every token of its sequence: the scores of one sequence are a"
            " square, not a row.",
        ),
        Mistake(
            lambda **case: (
                _training_flops(**case)
                - 6 * case["hidden"] * case["vocabulary"]
                * case["sequence_length"] * case["sequences"]
            ),
            "The output head is a product as well: from the hidden width to the vocabulary.",
        ),
        Mistake(
            lambda **case: _training_flops(**case) - _scores(**case) * 2 / 3,
            "The products of activations have gradients as well: both of their factors.",
        ),
        Mistake(
            lambda **case: _training_flops(**case) + _scores(**case) * (case["sequences"] - 1),
            "A token attends to the tokens of its own sequence, not to those of the others.",
        ),
        Mistake(
            lambda **case: _training_flops(**case) / case["sequences"],
            "That is one sequence; how many are there?",
        ),
        Mistake(
            lambda **case: _training_flops(**case) / case["sequence_length"],
            "Count the tokens again: a sequence has more than one.",
        ),
    ),
)  # fmt: skip


# 3. Memory of the states


def _state_gib(parameters: int) -> float:
    return parameters * StateBytes.of("fp16").total / GIB


state_memory = Exercise(
    "state_memory_gib",
    _state_gib,
    lambda rng: {"parameters": _pick(rng, 10**7, 10**10)},
    example={"parameters": 2**30},
    mistakes=(
        Mistake(
            lambda parameters: _state_gib(parameters) * GIB / GB,
            "Close: are these gigabytes or gibibytes? A gibibyte is 2**30 bytes.",
        ),
        Mistake(
            lambda parameters: _state_gib(parameters) * GIB,
            "The figure is in bytes; the task asks for GiB.",
        ),
        Mistake(
            lambda parameters: _state_gib(parameters) / 8,
            "Weights alone are enough to run a model, not to train one.",
        ),
        Mistake(
            lambda parameters: _state_gib(parameters) * 12 / 16,
            "One of the states is missing four bytes a parameter's worth: besides Adam's two"
            " moments, which other fp32 copy does mixed precision keep?",
        ),
        Mistake(
            lambda parameters: _state_gib(parameters) * 14 / 16,
            "A state of two bytes is missing: backward leaves something behind for each weight.",
        ),
        Mistake(
            lambda parameters: _state_gib(parameters) / 2,
            "Adam keeps two moments for each parameter, and in fp32.",
        ),
    ),
)


# 4. Activations


def _activation_gib(
    layers: int, hidden: int, heads: int, sequence_length: int, micro_batch: int
) -> float:
    shape = TransformerShape(
        "encoder",
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        ffn=4 * hidden,
        vocabulary=1,
    )
    parts = estimate.activation_bytes(
        shape, sequence_length=sequence_length, micro_batch=micro_batch
    )
    return (sum(parts.values()) - parts["head"]) / GIB


def _activation_case(rng: np.random.Generator) -> Case:
    heads = _pick(rng, 2, 32)
    return {
        "layers": _pick(rng, 2, 48),
        "hidden": _HEAD * heads,
        "heads": heads,
        "sequence_length": _pick(rng, 50, 2000),
        "micro_batch": _pick(rng, 2, 64),
    }


def _tokens_times_width(hidden: int, sequence_length: int, micro_batch: int, **_: int) -> int:
    return sequence_length * micro_batch * hidden


activations = Exercise(
    "activation_gib",
    _activation_gib,
    _activation_case,
    example={
        "layers": 2, "hidden": 64, "heads": 4, "sequence_length": 32, "micro_batch": 8,
    },
    mistakes=(
        Mistake(
            lambda **case: _activation_gib(**case) * GIB / GB,
            "Close: are these gigabytes or gibibytes? A gibibyte is 2**30 bytes.",
        ),
        Mistake(
            lambda **case: _activation_gib(**case) * GIB,
            "The figure is in bytes; the task asks for GiB.",
        ),
        Mistake(
            lambda **case: _activation_gib(**case) / case["layers"],
            "That is what one layer keeps.",
        ),
        Mistake(
            lambda **case: _activation_gib(**case) / case["micro_batch"],
            "That is what one sequence keeps; several are in flight at once.",
        ),
        Mistake(
            lambda **case: 34 * case["layers"] * _tokens_times_width(**case) / GIB,
            "The second term of the bracket, the one of the attention scores, is missing.",
        ),
        Mistake(
            lambda **case: (
                case["layers"] * _tokens_times_width(**case)
                * (34 + 5 * case["sequence_length"] / case["hidden"]) / GIB
            ),
            "Every head has its own table of scores.",
        ),
        Mistake(
            lambda **case: 2 * _activation_gib(**case),
            "The formula already counts bytes, two for each 16-bit number.",
        ),
    ),
)  # fmt: skip


# 5. Time


def _training_days(flops: float, devices: int, peak_tflops: float, efficiency: float) -> float:
    return flops / (devices * peak_tflops * TERA * efficiency) / DAY


def _time_case(rng: np.random.Generator) -> Case:
    return {
        "flops": float(_pick(rng, 10, 900)) * 1e17,
        "devices": 2 ** _pick(rng, 1, 6),
        "peak_tflops": float(_pick(rng, 60, 1000)),
        "efficiency": _pick(rng, 10, 60) / 100,
    }


training_time = Exercise(
    "training_days",
    _training_days,
    _time_case,
    example={"flops": 8.64e18, "devices": 4, "peak_tflops": 100.0, "efficiency": 0.25},
    mistakes=(
        Mistake(
            lambda **case: _training_days(**case) * case["devices"],
            "Peak rates are per device: how many work at the same time?",
        ),
        Mistake(
            lambda **case: _training_days(**case) * case["efficiency"],
            "No real run reaches the peak; which share of it does this one?",
        ),
        Mistake(
            lambda **case: _training_days(**case) * case["efficiency"] ** 2,
            "A lower efficiency must make the run longer, and yours makes it shorter.",
        ),
        Mistake(
            lambda **case: _training_days(**case) * DAY,
            "These are seconds; the task asks for days.",
        ),
        Mistake(
            lambda **case: _training_days(**case) * DAY / HOUR,
            "These are hours; the task asks for days.",
        ),
        Mistake(
            lambda **case: _training_days(**case) * TERA,
            "A TFLOP/s is 1e12 operations a second.",
        ),
        Mistake(
            lambda **case: _training_days(**case) * 1000,
            "Is that tera or giga? A TFLOP/s is 1e12 operations a second.",
        ),
    ),
)


# 6. Cost


def _bill(days: float, instances: int, usd_per_hour: float, devices_per_instance: int) -> float:
    del devices_per_instance  # the price is for an instance whole
    return days * 24 * instances * usd_per_hour


bill = Exercise(
    "bill_usd",
    _bill,
    lambda rng: {
        "days": _pick(rng, 1, 400) / 10,
        "instances": _pick(rng, 2, 16),
        "usd_per_hour": _pick(rng, 50, 6000) / 100,
        "devices_per_instance": 2 ** _pick(rng, 1, 3),
    },
    example={"days": 0.5, "instances": 2, "usd_per_hour": 10.0, "devices_per_instance": 8},
    mistakes=(
        Mistake(
            lambda **case: _bill(**case) * case["devices_per_instance"],
            "What is the price for: one GPU, or an instance with all its GPUs?",
        ),
        Mistake(
            lambda **case: _bill(**case) / case["devices_per_instance"],
            "The price is for an instance whole; it can't be rented by the GPU.",
        ),
        Mistake(
            lambda **case: _bill(**case) / 24,
            "The price is per hour, the time in days.",
        ),
        Mistake(
            lambda **case: _bill(**case | {"instances": 1}),
            "Every instance sends its own bill.",
        ),
    ),
)


# 7. All together

Phases = list[tuple[int, int]]


def _whole_bill(
    layers: int,
    hidden: int,
    ffn: int,
    vocabulary: int,
    phases: Phases,
    devices: int,
    peak_tflops: float,
    efficiency: float,
    usd_per_hour: float,
) -> float:
    flops = sum(
        _training_flops(layers, hidden, ffn, vocabulary, length, sequences)
        for length, sequences in phases
    )
    days = _training_days(flops, devices, peak_tflops, efficiency)
    return _bill(days, 1, usd_per_hour, devices)


def _whole_case(rng: np.random.Generator) -> Case:
    phases = [
        (64 * _pick(rng, 1, 4), 1000 * _pick(rng, 50, 900)),
        (64 * _pick(rng, 5, 32), 1000 * _pick(rng, 10, 90)),
    ]
    chip = {
        "devices": 2 ** _pick(rng, 1, 3),
        "peak_tflops": float(_pick(rng, 60, 1000)),
        "efficiency": _pick(rng, 10, 60) / 100,
        "usd_per_hour": _pick(rng, 50, 6000) / 100,
    }
    return _dimensions(rng) | {"phases": phases} | chip


def _with_phases(change: Callable[[Phases], Phases]) -> Callable[..., float]:
    return lambda phases, **case: _whole_bill(phases=change(phases), **case)


whole = Exercise(
    "whole_bill_usd",
    _whole_bill,
    _whole_case,
    example=_TINY
    | {
        "phases": [(3, 10**15)],
        "devices": 8,
        "peak_tflops": 100.0,
        "efficiency": 0.2,
        "usd_per_hour": 10.0,
    },
    mistakes=(
        Mistake(
            _with_phases(lambda phases: phases[:1]),
            "The run has more than one phase; you have paid for the first.",
        ),
        Mistake(
            _with_phases(
                lambda phases: [(phases[0][0], sum(sequences for _, sequences in phases))]
            ),
            "Not all sequences are of the first length.",
        ),
        Mistake(
            lambda phases, **case: sum(
                _whole_bill(phases=[phase], **case) for phase in phases
            ) / len(phases),
            "One phase follows another: their times add up.",
        ),
        Mistake(
            lambda **case: _whole_bill(**case) * case["devices"],
            "The devices work at the same time, and share one instance's price.",
        ),
    ),
)  # fmt: skip


# 8. Choice


Options = list[dict[str, Any]]


def _choose(options: Options, deadline_hours: float, budget_usd: float) -> str | None:
    return _best(_allowed(options, deadline_hours, budget_usd), _usd)


def _allowed(options: Options, deadline_hours: float, budget_usd: float) -> Options:
    return [
        o
        for o in options
        if o["needed_gib"] <= o["device_gib"]
        and o["hours"] <= deadline_hours
        and _usd(o) <= budget_usd
    ]


def _usd(option: dict[str, Any]) -> float:
    return float(option["hours"] * option["usd_per_hour"])


def _best(options: Options, key: Callable[[dict[str, Any]], float]) -> str | None:
    return str(min(options, key=key)["name"]) if options else None


def _under(limit: float) -> float:
    return limit * (1 - 1e-9)


def _cheapest_then_checked(
    options: Options, deadline_hours: float, budget_usd: float
) -> str | None:
    return _choose([min(options, key=_usd)], deadline_hours, budget_usd)


def _choice_case(rng: np.random.Generator) -> Case:
    options = [
        {
            "name": f"{letter}.{_pick(rng, 2, 48)}xlarge",
            "device_gib": float(rng.choice([16, 24, 40, 80])),
            "needed_gib": round(float(rng.uniform(10, 60)), 1),
            "hours": round(float(rng.uniform(5, 200)), 1),
            "usd_per_hour": round(float(rng.uniform(0.5, 50)), 2),
        }
        for letter in "abcdef"
    ]
    return {
        "options": options,
        "deadline_hours": round(float(rng.uniform(40, 220)), 1),
        "budget_usd": round(float(rng.uniform(100, 6000)), 2),
    }


_CHOICE_EXAMPLE: Case = {
    "options": [
        {"name": "slow", "device_gib": 16, "needed_gib": 12, "hours": 300, "usd_per_hour": 1.0},
        {"name": "small", "device_gib": 16, "needed_gib": 30, "hours": 50, "usd_per_hour": 2.0},
        {"name": "right", "device_gib": 40, "needed_gib": 40, "hours": 60, "usd_per_hour": 12.0},
        {"name": "fast", "device_gib": 80, "needed_gib": 30, "hours": 20, "usd_per_hour": 55.0},
    ],
    "deadline_hours": 60,
    "budget_usd": 720,
}

choice = Exercise(
    "choose_instance",
    _choose,
    _choice_case,
    example=_CHOICE_EXAMPLE,
    mistakes=(
        Mistake(
            lambda options, **limits: _choose([o | {"needed_gib": 0} for o in options], **limits),
            "One of your choices would stop with an out-of-memory error in its first step.",
        ),
        Mistake(
            lambda **case: _best(_allowed(**case), lambda o: float(o["usd_per_hour"])),
            "Cheap by the hour is not cheap for the job: a slow instance is rented longer.",
        ),
        Mistake(
            lambda **case: _best(_allowed(**case), lambda o: float(o["hours"])),
            "That is the fastest of those allowed; which one costs least?",
        ),
        Mistake(
            lambda **case: _choose(**case | {"budget_usd": math.inf}),
            "Somebody has to approve this bill: is it within the budget?",
        ),
        Mistake(
            lambda **case: _choose(**case | {"deadline_hours": math.inf}),
            "Some of these arrive after the deadline.",
        ),
        *(
            Mistake(strict, "Just in time, just enough memory and all of the budget will do.")
            for strict in (
                lambda **case: _choose(**case | {"deadline_hours": _under(case["deadline_hours"])}),
                lambda **case: _choose(**case | {"budget_usd": _under(case["budget_usd"])}),
                lambda options, **limits: _choose(
                    [o | {"device_gib": _under(o["device_gib"])} for o in options], **limits
                ),
            )
        ),
        Mistake(
            _cheapest_then_checked,
            "When the cheapest of all can't do it, another may: first sort out, then compare.",
        ),
    ),
)
