"""A BERT of two narrow layers, and texts whose words give their class away."""

import gc
import os

import numpy as np
import pytest
import torch
import transformers

from enterprise_lab.data.texts import Texts
from enterprise_lab.training.finetuning.encoder import quiet_transformers

WORDS, CLASSES, LONGEST = 60, 3, 48


@pytest.fixture(scope="module", autouse=True)
def _quick():
    """Let no training look through the libraries' objects for garbage, or wait for a disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        gc.freeze()
        yield
        gc.unfreeze()


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Return the folder of a BERT with random weights and a tokenizer."""
    folder = tmp_path_factory.mktemp("bert")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = folder / "vocab.txt"
    words.write_text("\n".join([*special, *(f"w{i}" for i in range(WORDS))]))
    config = transformers.BertConfig(
        vocab_size=len(special) + WORDS,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LONGEST + 2,
    )
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
        transformers.BertTokenizer(str(words)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def texts():
    """Return a function that draws texts, half of whose words are those of their class."""

    def draw(count, seed=0, classes=CLASSES):
        rng = np.random.default_rng(seed)
        labels = np.sort(rng.integers(0, classes, count))
        rng.shuffle(labels)
        drawn = []
        for label in labels:
            length = int(rng.integers(3, LONGEST + 10))
            any_words = rng.integers(0, WORDS, length)
            own = rng.integers(0, WORDS // classes, length) + WORDS // classes * label
            words = np.where(rng.random(length) < 0.5, any_words, own)
            drawn.append(" ".join(f"w{word}" for word in words))
        names = tuple("abcdefgh"[:classes])
        return Texts(tuple(drawn), labels, names, tuple(map(str, range(count))))

    return draw
