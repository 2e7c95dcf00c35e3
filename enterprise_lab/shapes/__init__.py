"""The dimensions of a model, from which everything else follows."""

from enterprise_lab.shapes.convolutional import ConvolutionalShape, Operation
from enterprise_lab.shapes.hf_config import shape_from_hf_config
from enterprise_lab.shapes.transformer import TransformerShape

Shape = TransformerShape | ConvolutionalShape

__all__ = [
    "ConvolutionalShape",
    "Operation",
    "Shape",
    "TransformerShape",
    "shape_from_hf_config",
]
