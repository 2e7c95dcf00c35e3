"""Tokenised texts as a data set of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from enterprise_lab.data.texts import Texts
from enterprise_lab.training.finetuning.classifier import (
    Ids,
    TextClassifier,
    pad,
    tokenised,
)
from enterprise_lab.training.finetuning.recipe import FineTuning

Batch = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Examples(Dataset[Batch]):
    """Tokenised texts with labels; for a frozen encoder, with the vectors it makes of them.

    Texts are padded to `at_least` so many tokens, and never above the model's `positions`.
    """

    ids: Ids
    labels: NDArray[np.int64]
    positions: int
    at_least: int = 1
    vectors: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, texts: Texts, tokenizer: Any, recipe: FineTuning, positions: int) -> Examples:
        """Tokenise texts, cut off and padded as the recipe says."""
        ids = tokenised(tokenizer, texts.texts, recipe.sequence_length)
        return cls(ids, texts.labels, positions, recipe.padded_at_least)

    def seen_by(self, classifier: TextClassifier) -> Examples:
        """Return the same, with the vectors that the classifier's encoder makes if it is frozen."""
        if classifier.recipe.method != "head":
            return self
        return replace(self, vectors=classifier.vectors_of(self.ids))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        return np.array([len(one) for one in self.ids], dtype=np.int64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """What has to be padded of each text: its tokens, or a single vector."""
        return self.tokens if self.vectors is None else np.ones(len(self), dtype=np.int64)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Return what the network takes of some texts, and their labels: PyTorch's hook."""
        chosen = list(rows)
        labels = {"labels": torch.from_numpy(self.labels[chosen])}
        if self.vectors is not None:
            return labels | {"vectors": torch.from_numpy(self.vectors[chosen])}
        tokens, mask = pad([self.ids[i] for i in chosen], self.positions, self.at_least)
        return labels | {"input_ids": tokens, "attention_mask": mask}


def as_it_is(batch: Any) -> Any:
    """Collate what is a batch already."""
    return batch
