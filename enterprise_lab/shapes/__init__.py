"""The dimensions of a model, from which everything else follows."""

from enterprise_lab.shapes.transformer import TransformerShape

__all__ = ["TransformerShape"]
