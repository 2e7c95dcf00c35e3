"""Shapes of live PyTorch modules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from enterprise_lab.errors import InvalidValueError, LabError, UnknownNameError
from enterprise_lab.shapes import Shape, TransformerShape, shape_from_hf_config

IMAGE_SIZE = 224


def shape_of(module: Any, *, image_size: int = IMAGE_SIZE) -> Shape:
    """Return the shape of a torch.nn.Module; its parameter count is the module's own.

    A Transformer of the transformers library is read from its config: encoders bare (BertModel),
    decoders and encoder-decoders with their language-model head. A convolutional network, such as
    torchvision's, is followed while it classifies one image of `image_size` pixels, in which no
    weight is read, as only sizes are computed.

    Raises LabError for what isn't a module, for a kind of module or an operation that a shape
    can't describe, and where a parameter is not accounted for.
    """
    try:
        import torch

        from enterprise_lab.measure.tracing import traced_shape
    except ImportError as error:
        raise LabError(
            "Reading a module needs PyTorch, which is not installed.",
            "Install torch, or make the shape with shape_from_hf_config or by hand.",
        ) from error
    if not isinstance(module, torch.nn.Module):
        raise InvalidValueError(
            f"A torch.nn.Module is needed, not {type(module).__name__}.",
            "Give the module itself, such as torchvision.models.resnet50().",
        )
    parameters = sum(parameter.numel() for parameter in module.parameters())
    config = getattr(module, "config", None)
    convolutional = any(isinstance(part, torch.nn.Conv2d) for part in module.modules())
    if config is not None and hasattr(config, "to_dict"):
        try:
            return _with_parameters(
                shape_from_hf_config(config.to_dict()), parameters, type(module).__name__
            )
        except UnknownNameError:
            if not convolutional:
                raise
    if not convolutional:
        raise LabError(
            f"{type(module).__name__} is neither a convolutional network nor a Transformer of the"
            " transformers library.",
            "Give its shape by hand: TransformerShape(...).",
        )
    return traced_shape(module, image_size, parameters)


def _with_parameters(shape: TransformerShape, parameters: int, name: str) -> TransformerShape:
    """Return the shape, without a pooler where only that makes it the module's."""
    for candidate in (shape, replace(shape, pooler=False)):
        if candidate.parameters == parameters:
            return candidate
    whole = "the bare model, such as its base_model" if shape.kind == "encoder" else (
        "the model with its language-model head and nothing else"
    )  # fmt: skip
    raise LabError(
        f"{name} has {parameters:,} parameters, and its config describes {shape.parameters:,}.",
        f"Give {whole}.",
    )
