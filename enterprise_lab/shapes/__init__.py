"""The dimensions of a model, from which everything else follows."""

from enterprise_lab.shapes.hf_config import shape_from_hf_config
from enterprise_lab.shapes.transformer import TransformerShape

__all__ = ["TransformerShape", "shape_from_hf_config"]
