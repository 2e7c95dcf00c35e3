"""States against the ZeRO paper's table, DeepSpeed's printed figures and accelerate's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.errors import InvalidValueError
from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.plan import OFFLOAD
from enterprise_lab.estimate.states import StateBytes, state_bytes

UNITS = {"bytes": 1, "MB": 1e6, "GB": 1e9, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
FIGURES = {row.id: row for row in catalog.memory_figures()}
ZERO = [row for row in FIGURES.values() if "1910.02054" in row.source and row.devices]
DEEPSPEED = [
    row for row in FIGURES.values() if row.kind == "tool output" and row.zero and row.id != "mm109"
]
"""Without the row that its own note calls stale."""


def last_digit(value: float) -> float:
    """One in the last digit a figure is printed with: sources round some and cut others off."""
    return 10.0 ** -len(str(value).rstrip("0").partition(".")[2])


def held(parameters: float, states: StateBytes, row) -> float:
    plan = PlanDimensions(
        data=row.devices, zero=row.zero, offload=OFFLOAD.index(row.offload or "none")
    )
    return sum(state_bytes(parameters, states, plan))


def test_there_are_figures_to_hold_states_against():
    assert len(ZERO) == 58
    assert len(DEEPSPEED) == 7


@pytest.mark.parametrize("row", ZERO, ids=lambda row: row.id)
def test_states_of_the_zero_paper(row):
    mine = held(row.parameters, StateBytes(), row) / UNITS[row.unit]
    assert mine == pytest.approx(row.value, abs=last_digit(row.value))


@pytest.mark.parametrize("row", DEEPSPEED, ids=lambda row: row.id)
def test_states_of_deepspeeds_estimator(row):
    # At stage 3 it adds the largest layer, the embeddings, in 16 bits with its gradient.
    states = StateBytes.of("fp16", gradient_bits=32)
    shape = catalog.model({"t5-3b": "t5-3b", "t5-large": "t5-large"}[row.model]).shape
    gathered = 4 * shape.vocabulary * shape.hidden if row.zero == 3 else 0
    mine = (held(row.parameters, states, row) + gathered) / UNITS[row.unit]
    assert mine == pytest.approx(row.value, rel=0.01, abs=last_digit(row.value))


@pytest.mark.parametrize(("id_", "precision"), [("mm128", "fp32"), ("mm129", "fp16")])
def test_states_of_adam_as_accelerate_prints_them(id_, precision):
    row = FIGURES[id_]
    states = StateBytes.of(precision, masters="bf16")
    mine = states.total * catalog.model(row.model).shape.parameters / UNITS[row.unit]
    assert mine == pytest.approx(row.value, rel=1e-4, abs=last_digit(row.value))


@pytest.mark.parametrize(
    ("states", "total"),
    [
        (StateBytes.of("fp16"), 16),
        (StateBytes.of("bf16", gradient_bits=32), 18),
        (StateBytes.of("fp32"), 16),
        (StateBytes.of("fp32", "sgd"), 8),
        (StateBytes.of("fp32", "momentum"), 12),
        (StateBytes.of("bf16", masters="bf16"), 8),
        (StateBytes.of("bf16", "sgd", masters="bf16"), 4),
        (StateBytes.of("bf16", "adafactor"), 8),
        (StateBytes.of("bf16", "adam8bit"), 2 + 2 + 4 + 2 + 8 / 256),
    ],
)
def test_bytes_of_optimizers(states, total):
    assert states.total == total


@given(
    parameters=st.floats(1, 1e12),
    replicas=st.integers(1, 4096),
    offload=st.integers(0, 2),
)
def test_a_higher_stage_never_keeps_more_and_shares_add_up(parameters, replicas, offload):
    plan = PlanDimensions(data=replicas, zero=np.arange(4), offload=min(offload, 1))
    held_by_stage = sum(state_bytes(parameters, StateBytes(), plan))
    assert (np.diff(held_by_stage) <= 0).all()
    if not offload:
        assert held_by_stage[0] == pytest.approx(16 * parameters)
        assert held_by_stage[3] * replicas == pytest.approx(16 * parameters)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("int8",), {}),
        (("fp16", "lion"), {}),
        (("fp16",), {"masters": "fp8"}),
        (("fp16",), {"gradient_bits": 8}),
    ],
)
def test_states_that_are_not_known_are_refused(arguments, options):
    with pytest.raises(InvalidValueError):
        StateBytes.of(*arguments, **options)
