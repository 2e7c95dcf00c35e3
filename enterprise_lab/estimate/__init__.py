"""Shapes to FLOPs, memory and time: arithmetic only, the same on every machine."""

from enterprise_lab.estimate.efficiency import (
    GATHERED_SHARE,
    Efficiency,
    published_efficiency,
    run_efficiency,
)
from enterprise_lab.estimate.flops import forward_flops, rule_of_thumb_flops, training_flops
from enterprise_lab.estimate.memory import (
    StateBytes,
    activation_bytes,
    largest_micro_batch,
    training_memory,
)
from enterprise_lab.estimate.training import Plan, TrainingEstimate, training
from enterprise_lab.estimate.value import Estimate
from enterprise_lab.shapes import TransformerShape

__all__ = [
    "GATHERED_SHARE",
    "Efficiency",
    "Estimate",
    "Plan",
    "StateBytes",
    "TrainingEstimate",
    "TransformerShape",
    "activation_bytes",
    "forward_flops",
    "largest_micro_batch",
    "published_efficiency",
    "rule_of_thumb_flops",
    "run_efficiency",
    "training",
    "training_flops",
    "training_memory",
]
