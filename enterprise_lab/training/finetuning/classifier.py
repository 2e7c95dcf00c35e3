"""A fine-tuned network that takes texts: to be asked, stored and loaded again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from enterprise_lab.data.digests import listing
from enterprise_lab.errors import LabError, require_kind, require_one_of
from enterprise_lab.estimate.trainable import Projection
from enterprise_lab.training.finetuning.batching import width
from enterprise_lab.training.finetuning.encoder import Network, build, quiet_transformers
from enterprise_lab.training.finetuning.recipe import (
    FineTuning,
    Method,
    Precision,
    require_cuda,
)

AT_A_TIME = 32
"""Texts classified together: enough to keep a device busy, with little memory."""
_CARD = "classifier.json"
_FILES: dict[Method, str] = {
    "full": "model.safetensors",
    "lora": "adapter_model.safetensors",
    "head": "head.safetensors",
}
"""Where weights are stored: there transformers looks for an encoder's, peft for adapters."""
_READ = (
    *("config.json", "model*.safetensors*", "pytorch_model.bin"),
    *("tokenizer*.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json"),
)
"""What is read of a folder of weights: the encoder's and its tokenizer's files."""
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}

Ids = list[NDArray[np.int64]]
Logits = NDArray[np.float32]


class Card(BaseModel):
    """What a stored classifier says of itself beside its weights."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[str, ...]
    method: Method
    precision: Precision
    sequence_length: int
    rank: int
    targets: tuple[Projection, ...]
    base_sha256: str
    """Of the encoder before training and its tokenizer, which "head" and "lora" need again."""


@dataclass(frozen=True)
class TextClassifier:
    """A network, its tokenizer and the names of its classes."""

    network: Network
    tokenizer: Any
    classes: tuple[str, ...]
    recipe: FineTuning
    base: Path

    @property
    def kind(self) -> str:
        """The device it is on."""
        return self.network.head.weight.device.type

    def logits(self, texts: Sequence[str]) -> Logits:
        """Return the logits of texts: texts x classes."""
        return self.logits_of(tokenised(self.tokenizer, texts, self.recipe.sequence_length))

    def predict(self, texts: Sequence[str]) -> list[str]:
        """Return the name of the likeliest class of each text."""
        return [self.classes[i] for i in self.logits(texts).argmax(axis=1)]

    def logits_of(self, ids: Ids) -> Logits:
        """Return the logits of tokenised texts: texts x classes."""
        return self._by_length(ids, self.network, len(self.classes))

    def vectors_of(self, ids: Ids) -> NDArray[np.float32]:
        """Return what the head sees of tokenised texts: texts x hidden."""
        return self._by_length(ids, self.network.pooled, self.network.shape.hidden)

    @torch.no_grad()
    def _by_length(self, ids: Ids, ask: Any, figures: int) -> NDArray[np.float32]:
        found = np.empty((len(ids), figures), dtype=np.float32)
        positions = self.network.shape.max_positions
        training = self.network.training
        self.network.eval()
        with self.autocast():
            for rows in by_length(np.array([len(one) for one in ids], dtype=np.int64)):
                together = [ids[i] for i in rows]
                tokens, mask = (part.to(self.kind) for part in pad(together, positions))
                found[rows] = ask(tokens, mask).float().cpu().numpy()
        self.network.train(training)
        return found

    def autocast(self) -> torch.autocast:
        """Return the context in which the network computes in the recipe's precision."""
        dtype = _DTYPES.get(self.recipe.precision)
        return torch.autocast(self.kind, dtype, enabled=dtype is not None)

    @property
    def stored_bytes(self) -> int:
        """Bytes of the weights that have to be stored for this task."""
        return sum(w.numel() * w.element_size() for w in self.network.trained().values())

    def export(self, folder: Path) -> int:
        """Store what was trained, all that `load_classifier` needs; return the bytes written.

        Of "full" that is the whole model with its tokenizer, of which transformers can load the
        encoder. Of "lora" and "head" it is the trained weights alone: the encoder they belong to is
        needed again. Adapters can be loaded by peft.

        Raises LabError for a folder that can't be made or isn't empty.
        """
        _make_new(folder)
        weights = trained_weights(self.network).items()
        save_file({_stored(name): w for name, w in weights}, folder / _FILES[self.recipe.method])
        card = Card(
            classes=self.classes,
            method=self.recipe.method,
            precision=self.recipe.precision,
            sequence_length=self.recipe.sequence_length,
            rank=self.recipe.rank,
            targets=self.recipe.targets,
            base_sha256=weights_digest(self.base),
        )
        (folder / _CARD).write_text(card.model_dump_json(indent=1), encoding="utf-8")
        encoder: Any = self.network.encoder
        with quiet_transformers():
            if self.recipe.method == "full":
                self.tokenizer.save_pretrained(folder)
                encoder.config.save_pretrained(folder)
            elif self.recipe.method == "lora":
                encoder.peft_config["default"].save_pretrained(folder)
        return sum(file.stat().st_size for file in folder.iterdir())


def load_classifier(folder: Path, base: Path | None = None, *, kind: str = "cpu") -> TextClassifier:
    """Load a classifier that `export` stored; `base` is the encoder of "head" and "lora".

    Raises LabError for a folder that holds none, for another encoder than it was trained on, and
    for a device that isn't there.
    """
    require_kind("folder", folder, Path, 'Path("classifier")')
    require_kind("base", base, Path | None, 'data.fetch("minilm")')
    require_one_of("kind", kind, ("cpu", "cuda"))
    if kind == "cuda":
        require_cuda()
    try:
        card = Card.model_validate_json((folder / _CARD).read_text(encoding="utf-8"))
        weights = load_file(folder / _FILES[card.method])
    except (OSError, ValueError, SafetensorError) as error:
        raise LabError(
            f"{folder} holds no classifier that can be read.",
            "Give a folder that export() wrote, or export it again.",
        ) from error
    if card.method != "full" and (base is None or weights_digest(base) != card.base_sha256):
        raise LabError(
            f"{folder} holds what was trained on an encoder, and {base or 'none'} is not that one.",
            "Give as base the folder of the weights it was fine-tuned from.",
        )
    known = base if card.method != "full" and base is not None else folder
    recipe = FineTuning(
        card.method,
        precision=card.precision,
        sequence_length=card.sequence_length,
        rank=card.rank,
        targets=card.targets,
    )
    network = build(known, recipe, len(card.classes), kind=kind, pretrained=card.method != "full")
    own = {_stored(name): name for name in network.trained()}
    put_trained(network, {own.get(name, name): weight for name, weight in weights.items()})
    network.eval()
    return TextClassifier(network, tokenizer(known), card.classes, recipe, known)


def trained_weights(network: Network) -> dict[str, torch.Tensor]:
    """Return a copy of the weights that are trained, on the processor."""
    return {name: w.detach().cpu().clone().contiguous() for name, w in network.trained().items()}


def put_trained(network: Network, weights: Mapping[str, torch.Tensor]) -> None:
    """Put weights that `trained_weights` returned where they belong.

    Raises LabError where they are of another network.
    """
    own = network.trained()
    if {name: w.shape for name, w in own.items()} != {n: w.shape for n, w in weights.items()}:
        raise LabError(
            "These weights are not those of the network they are put into.",
            "Give the weights of a training with the same model, method and classes.",
        )
    with torch.no_grad():
        for name, weight in weights.items():
            own[name].copy_(weight)


def tokenizer(folder: Path) -> Any:
    """Return the tokenizer in a folder; LabError where there is none."""
    with quiet_transformers():
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise LabError(
                f"{folder} holds no tokenizer.",
                'Give the folder of a BERT with its tokenizer, such as data.fetch("minilm").',
            ) from error


def tokenised(tokenizer: Any, texts: Sequence[str], most: int) -> Ids:
    """Return the token ids of each text, cut off after `most`."""
    if len(texts) == 0:  # which transformers doesn't take
        return []
    found = tokenizer(list(texts), truncation=True, max_length=most)["input_ids"]
    return [np.array(ids, dtype=np.int64) for ids in found]


def by_length(lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the rows of texts that are classified together, of about one length each."""
    order = np.argsort(lengths, kind="stable")
    return [order[start : start + AT_A_TIME] for start in range(0, len(order), AT_A_TIME)]


def pad(ids: Ids, positions: int, at_least: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids padded to one length, and their mask: both texts x length.

    The length is that of the longest, or `at_least`, rounded up, but never above the model's
    `positions`.
    """
    lengths = np.array([len(one) for one in ids])
    places = np.arange(width(lengths, positions, at_least))
    tokens = np.zeros((len(ids), len(places)), dtype=np.int64)
    mask = places < lengths[:, None]
    tokens[mask] = np.concatenate(ids)
    return torch.from_numpy(tokens), torch.from_numpy(mask.astype(np.int64))


def weights_digest(weights: Path) -> str:
    """Return the sha256 of what is read of a folder: config, weights, tokenizer, all together."""
    return listing(weights, [file for name in _READ for file in weights.glob(name)])[2]


def _make_new(folder: Path) -> None:
    require_kind("folder", folder, Path, 'Path("classifier")')
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = any(folder.iterdir())
    except OSError as error:
        raise LabError(
            f"A classifier can't be stored in {folder}: {error.strerror}.",
            "Give a folder that you may write to.",
        ) from error
    if there:
        raise LabError(
            f"{folder} isn't empty: its files would be taken for the classifier's.",
            "Give a new folder, or empty this one.",
        )


def _stored(name: str) -> str:
    """Return what transformers and peft call a weight of the network."""
    return name.removeprefix("encoder.").replace(".default.", ".")
