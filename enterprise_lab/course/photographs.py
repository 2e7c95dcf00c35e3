"""Preparing a photograph for a network, as input pipelines do."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.errors import LabError

SHORTER_SIDE, CUT = 256, 224
"""Pixels: what ImageNet's pictures are scaled to, and what is cut from their middle."""


def photograph() -> bytes:
    """Return a photograph as a JPEG file: 640 x 427 pixels, from scikit-learn.

    Raises LabError where scikit-learn isn't installed.
    """
    try:
        import sklearn.datasets
    except ImportError as error:
        raise LabError(
            "scikit-learn, which brings the photograph, is not installed.",
            "Install it with: pip install -e '.[labs]'",
        ) from error
    return (Path(sklearn.datasets.__file__).parent / "images" / "china.jpg").read_bytes()


def prepare(file: bytes) -> NDArray[np.float32]:
    """Decode a JPEG, scale its shorter side, cut the middle out: 3 x 224 x 224 numbers in 0..1."""
    from PIL import Image

    image = Image.open(io.BytesIO(file)).convert("RGB")
    scale = SHORTER_SIDE / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)))
    left, top = (image.width - CUT) // 2, (image.height - CUT) // 2
    cut = np.asarray(image.crop((left, top, left + CUT, top + CUT)), np.float32)
    return np.ascontiguousarray(cut.transpose(2, 0, 1)) / np.float32(255)
