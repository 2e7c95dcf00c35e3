"""Which weights training changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from enterprise_lab.errors import InvalidValueError, keep_whole, require_kind, require_one_of
from enterprise_lab.shapes import ConvolutionalShape, Shape, TransformerShape

Projection = Literal["query", "key", "value", "output", "mlp"]
PROJECTIONS: tuple[Projection, ...] = ("query", "key", "value", "output", "mlp")


@dataclass(frozen=True)
class LowRank:
    """LoRA adapters of a rank beside some projections, whose own weights stay frozen.

    `base_bits` is what a frozen weight is stored in: 16, or 8 or 4 for QLoRA.
    Source: Hu et al. 2021, section 4; Dettmers et al. 2023, section 3.
    """

    rank: int = 8
    targets: tuple[Projection, ...] = ("query", "value")
    base_bits: int = 16

    def __post_init__(self) -> None:
        keep_whole(self, "rank", 1_000_000)
        require_kind("targets", self.targets, tuple | list, "('query', 'value')")
        object.__setattr__(self, "targets", tuple(self.targets))
        if not self.targets:
            raise InvalidValueError(
                "No projection is given for LoRA to adapt.",
                f"Name some of {', '.join(PROJECTIONS)}.",
            )
        for target in self.targets:
            require_one_of("each of the targets", target, PROJECTIONS)
        require_one_of("base_bits", self.base_bits, (4, 8, 16, 32))

    def parameters(self, shape: TransformerShape) -> int:
        """Adapter parameters: `rank` times the inputs and outputs of every adapted projection.

        A decoder layer's cross attention is adapted as its self-attention is, and every expert.
        """
        return sum(
            number * self.rank * (inputs + outputs)
            for number, inputs, outputs in self._adapted(shape, max(1, shape.experts))
        )

    def moved_elements(self, shape: TransformerShape) -> tuple[float, float]:
        """Elements that the adapters of a layer move for each token, forward and backward.

        Beside a projection of `a` inputs and `b` outputs the input is read; the adapter's output
        is written, scaled (2 b) and added (3 b): a + 6 b, where no kernel fuses them, as in peft.
        Backward the gradient is scaled (2 b) and read for both factors (2 b), the input read, its
        gradient written and added to the projection's (3 a): 5 a + 4 b. What has the size of the
        rank is left out. The mean of all layers.
        """
        each = self._adapted(shape, shape.mlps_per_token)
        layers = shape.layers + shape.decoder_layers
        forward = sum(number * (inputs + 6 * outputs) for number, inputs, outputs in each)
        backward = sum(number * (5 * inputs + 4 * outputs) for number, inputs, outputs in each)
        return forward / layers, backward / layers

    def _adapted(self, shape: TransformerShape, mlps: int) -> list[tuple[int, int, int]]:
        """Return how many projections are adapted, with their inputs and outputs, kind by kind."""
        d, q, kv = shape.hidden, shape.query_hidden, shape.kv_hidden
        both = shape.layers + shape.decoder_layers
        attentions, mlps = both + shape.decoder_layers, both * mlps
        kinds = {
            "query": [(attentions, d, q)],
            "key": [(attentions, d, kv)],
            "value": [(attentions, d, kv)],
            "output": [(attentions, q, d)],
            "mlp": [(mlps * (shape.mlp_matrices - 1), d, shape.ffn), (mlps, shape.ffn, d)],
        }
        return [kind for target in set(self.targets) for kind in kinds[target]]


Trainable = Literal["all", "head"] | LowRank
"""Everything, only what sits on a frozen model's output, or low-rank adapters."""


def require_trainable(trainable: Trainable, shape: Shape) -> None:
    """Raise InvalidValueError for what is none of the three, and for adapters that can't be.

    Images have no projections to adapt, and a rank beyond a model's width is no low one.
    """
    named = isinstance(trainable, str) and trainable in ("all", "head")
    if not (named or isinstance(trainable, LowRank)):
        raise InvalidValueError(
            f"trainable must be 'all', 'head' or LowRank(...), not {trainable!r}.",
            "Give one of the three.",
        )
    if isinstance(trainable, LowRank) and isinstance(shape, ConvolutionalShape):
        raise InvalidValueError(
            "LoRA adapts the projections of Transformers; a convolutional network has none.",
            "Use trainable='all' or 'head'.",
        )
    if isinstance(trainable, LowRank) and isinstance(shape, TransformerShape):
        rank, width = trainable.rank, shape.hidden
        if rank > width:
            raise InvalidValueError(
                f"A rank of {rank:,} is no low one: the model is only {width:,} wide.",
                f"Use a rank of at most {width:,}; 8 to 64 are usual.",
            )
