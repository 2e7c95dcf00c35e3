"""The dimensions of a model, from which everything else follows."""

from enterprise_lab.errors import require_kind
from enterprise_lab.shapes.convolutional import LARGEST_IMAGE, ConvolutionalShape, Operation
from enterprise_lab.shapes.hf_config import shape_from_hf_config
from enterprise_lab.shapes.transformer import TransformerShape

Shape = TransformerShape | ConvolutionalShape


def require_shape(shape: object) -> None:
    """Raise InvalidValueError for what is no shape."""
    require_kind("shape", shape, Shape, "catalog.model('bert-base-uncased').shape")


__all__ = [
    "LARGEST_IMAGE",
    "ConvolutionalShape",
    "Operation",
    "Shape",
    "TransformerShape",
    "require_shape",
    "shape_from_hf_config",
]
