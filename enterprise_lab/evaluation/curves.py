"""The curves that a training draws, which every diagnosis is made from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """Where a training was at one moment: losses in nats a text, macro-F1 from 0 to 1."""

    epoch: float
    training_loss: float
    validation_loss: float
    validation_macro_f1: float
