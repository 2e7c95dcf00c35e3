"""Shapes to FLOPs, memory and time, with intervals: arithmetic only, the same on every machine."""

from enterprise_lab.estimate.activations import Implementation, activation_bytes
from enterprise_lab.estimate.flops import (
    forward_flops,
    layer_flops,
    rule_of_thumb_flops,
    training_flops,
)
from enterprise_lab.estimate.inference import inference
from enterprise_lab.estimate.inference_estimate import InferenceEstimate
from enterprise_lab.estimate.inference_flops import InferenceFlops, inference_flops
from enterprise_lab.estimate.inference_memory import inference_memory
from enterprise_lab.estimate.memory import largest_micro_batch, training_memory
from enterprise_lab.estimate.padding import PaddedFlops, padded_flops
from enterprise_lab.estimate.plan import Plan
from enterprise_lab.estimate.plan_table import Plans
from enterprise_lab.estimate.search import plans
from enterprise_lab.estimate.states import StateBytes
from enterprise_lab.estimate.trainable import LowRank
from enterprise_lab.estimate.training import GATHERED_SHARE, Checkpoints, training
from enterprise_lab.estimate.training_estimate import TrainingEstimate
from enterprise_lab.estimate.value import Estimate
from enterprise_lab.shapes import ConvolutionalShape, TransformerShape, shape_from_hf_config

__all__ = [
    "GATHERED_SHARE",
    "Checkpoints",
    "ConvolutionalShape",
    "Estimate",
    "Implementation",
    "InferenceEstimate",
    "InferenceFlops",
    "LowRank",
    "PaddedFlops",
    "Plan",
    "Plans",
    "StateBytes",
    "TrainingEstimate",
    "TransformerShape",
    "activation_bytes",
    "forward_flops",
    "inference",
    "inference_flops",
    "inference_memory",
    "largest_micro_batch",
    "layer_flops",
    "padded_flops",
    "plans",
    "rule_of_thumb_flops",
    "shape_from_hf_config",
    "training",
    "training_flops",
    "training_memory",
]
