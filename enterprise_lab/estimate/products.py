"""The matrix products of a model, forward and backward, counted as automatic differentiation does.

One multiply-add is two FLOPs. Look-ups, norms, softmax and activation functions are left out, as
PyTorch's FLOP counter leaves them out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from enterprise_lab.estimate.trainable import LowRank, Projection, Trainable
from enterprise_lab.shapes import ConvolutionalShape, TransformerShape

Terms = dict[str, int]


@dataclass(frozen=True)
class Span:
    """Who looks at what: `rows` positions at `keys`, of which `projected` are new."""

    rows: int
    projected: int
    keys: int
    half: bool = False
    """Whether a causal mask hides half of the scores, and they are not computed."""

    @classmethod
    def of(cls, length: int, half: bool = False) -> Span:
        """Return a sequence that looks at itself."""
        return cls(length, length, length, half)


@dataclass
class Count:
    """FLOPs by term, forward and backward, of a part of a model.

    A product's backward pass is one more product for each factor whose gradient is asked for: a
    weight's where it is trained, an input's where anything before it is trained. So gradients
    pass through frozen weights, and nothing is passed back below the first trained one. The
    methods take and return whether a value's gradient is asked for.
    """

    trainable: Trainable = "all"
    forward: Terms = field(default_factory=dict)
    backward: Terms = field(default_factory=dict)

    def product(self, term: str, flops: int, gradients: int) -> None:
        """Count a product and as many of its size backward as there are gradients asked for."""
        self.forward[term] = self.forward.get(term, 0) + flops
        self.backward[term] = self.backward.get(term, 0) + gradients * flops

    def linear(
        self,
        term: str,
        rows: float,
        inputs: int,
        outputs: int,
        asked: bool,
        *,
        projection: Projection | None = None,
        trained: bool | None = None,
    ) -> bool:
        """Count `rows` vectors of `inputs` times a weight, and its adapter if it has one."""
        if trained is None:
            trained = self.trainable == "all"
        self.product(term, round(2 * inputs * outputs * rows), asked + trained)
        if not isinstance(self.trainable, LowRank) or projection not in self.trainable.targets:
            return asked or trained
        rank = self.trainable.rank
        self.product("adapters", round(2 * inputs * rank * rows), asked + 1)
        self.product("adapters", round(2 * rank * outputs * rows), 2)
        return True

    def attention(self, shape: TransformerShape, span: Span, asked: bool, memory: bool) -> bool:
        """Count attention of `span`; `memory` is asked of what keys and values are made from."""
        d, q, kv = shape.hidden, shape.query_hidden, shape.kv_hidden
        term = "attention projections"
        query = self.linear(term, span.rows, d, q, asked, projection="query")
        key = self.linear(term, span.projected, d, kv, memory, projection="key")
        value = self.linear(term, span.projected, d, kv, memory, projection="value")
        scores = 2 * span.rows * span.keys * q // (2 if span.half else 1)
        self.product("attention scores", scores, query + key)
        self.product("attention scores", scores, (query or key) + value)
        return self.linear(term, span.rows, q, d, query or key or value, projection="output")

    def mlp(self, shape: TransformerShape, rows: int, asked: bool) -> bool:
        """Count the MLPs that each of `rows` positions passes, and the router's choice of them."""
        d, ffn = shape.hidden, shape.ffn
        if shape.experts:
            self.linear("mlp", rows, d, shape.experts, asked)
        routed = rows * shape.mlps_per_token
        inner = [
            self.linear("mlp", routed, d, ffn, asked, projection="mlp")
            for _ in range(shape.mlp_matrices - 1)
        ]
        return self.linear("mlp", routed, ffn, d, any(inner), projection="mlp")

    def layer(
        self, shape: TransformerShape, own: Span, cross: Span | None, asked: bool, memory: bool
    ) -> bool:
        """Count a layer: attention, cross attention to a `memory`, MLP, each beside a residual."""
        mixed = self.attention(shape, own, asked, asked) or asked
        if cross:
            mixed = self.attention(shape, cross, mixed, memory) or mixed
        return self.mlp(shape, own.rows, asked if shape.parallel_block else mixed) or mixed


def stack(
    shape: TransformerShape,
    trainable: Trainable,
    layers: int,
    own: Span,
    cross: Span | None = None,
    memory: bool = False,
) -> tuple[list[Count], bool]:
    """Count each of `layers` layers; say whether the gradient of their output is asked for.

    Below the first layer only trained embeddings ask for one; from the second on all are alike.
    """
    asked, counts = trainable == "all", list[Count]()
    for _ in range(min(2, layers)):
        counts.append(Count(trainable))
        asked = counts[-1].layer(shape, own, cross, asked, memory)
    return counts[:1] + counts[1:] * (layers - 1), asked


def ends(
    shape: TransformerShape,
    trainable: Trainable,
    *,
    embedded: int,
    pooled: int,
    predicted: float,
    asked: bool,
) -> Count:
    """Count what is before and after the layers.

    `embedded` positions are projected where embeddings are narrower than the model, `pooled` ones
    pass an encoder's pooler, `predicted` ones the output head: an encoder's transforms, then all
    multiply with the vocabulary. Where the head alone is trained, the pooler is part of it.
    """
    count, d = Count(trainable), shape.hidden
    e = shape.embedding_size or d
    if e != d:
        count.linear("embeddings", embedded, e, d, trainable == "all")
    head = trainable in ("all", "head")
    count.linear("pooler", pooled if shape.pooler else 0, d, d, asked, trained=head)
    if shape.kind == "encoder" or e != d:
        asked = count.linear("head", predicted, d, e, asked, trained=head)
    count.linear("head", predicted, e, shape.vocabulary, asked, trained=head)
    return count


def convolution_counts(
    shape: ConvolutionalShape, image_size: int, trainable: Trainable = "all"
) -> list[Count]:
    """Count each convolution and fully connected layer on one image.

    Nobody asks for the gradient of the image, so the first layer's backward pass is one product.
    The head is the last fully connected layer.
    """
    terms = {"conv": "convolutions", "linear": "fully connected"}
    weighty = [one for one in shape.operations(image_size) if one.kind in terms]
    counts = []
    for number, operation in enumerate(weighty):
        count = Count(trainable)
        trained = trainable == "all" or number == len(weighty) - 1
        count.product(
            terms[operation.kind],
            operation.flops,
            trained + (trainable == "all" and number > 0),
        )
        counts.append(count)
    return counts


def total(terms: Iterable[Terms], *, first: Iterable[str] = ()) -> Terms:
    """Add FLOPs up by term, with `first` among the terms even where there are none."""
    added = dict.fromkeys(first, 0)
    for one in terms:
        for name, flops in one.items():
            added[name] = added.get(name, 0) + flops
    return added
