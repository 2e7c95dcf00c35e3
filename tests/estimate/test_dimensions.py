"""Plans as arrays, and back."""

import numpy as np
import pytest

from enterprise_lab.estimate.dimensions import PlanDimensions
from enterprise_lab.estimate.plan import Plan


@pytest.mark.parametrize(
    "plan",
    [
        Plan(),
        Plan(data=2, tensor=4, pipeline=8, context=16, micro_batch=3, sequence_parallel=True,
             recompute="selective", flash_attention=True, interleave=5),
        Plan(data=7, zero=3, recompute="full", offload="parameters"),
    ],
)  # fmt: skip
def test_a_plan_survives_the_round_trip(plan):
    dimensions = PlanDimensions.of(plan)
    assert dimensions.plan(0) == plan
    assert dimensions.devices == plan.devices


def test_an_index_counts_over_the_broadcast_arrays():
    grid = PlanDimensions(data=np.array([[1], [2]]), micro_batch=np.array([1, 2, 4]), zero=1)
    assert grid.plan(4) == Plan(data=2, micro_batch=2, zero=1)
