"""A classifier that is asked, stored and loaded: what it is given may be wrong."""

import pytest
import torch

from enterprise_lab.errors import LabError
from enterprise_lab.training.finetuning.classifier import (
    TextClassifier,
    load_classifier,
    tokenizer,
    weights_digest,
)
from enterprise_lab.training.finetuning.encoder import build
from enterprise_lab.training.finetuning.recipe import METHODS, FineTuning

CLASSES = ("a", "b", "c")


@pytest.fixture
def classifier(weights):
    """Return a function that makes an untrained classifier."""

    def make(method="full"):
        recipe = FineTuning(method, sequence_length=16)
        network = build(weights, recipe, len(CLASSES))
        return TextClassifier(network, tokenizer(weights), CLASSES, recipe, weights)

    return make


def test_of_no_texts_there_are_no_answers(classifier):
    asked = classifier()
    assert asked.logits([]).shape == (0, len(CLASSES))
    assert asked.predict([]) == []
    assert asked.predict(()) == []


@pytest.mark.parametrize("method", METHODS)
def test_the_bytes_written_are_those_of_the_folder(classifier, tmp_path, method):
    written = classifier(method).export(tmp_path / "inner" / "model")
    files = (tmp_path / "inner" / "model").iterdir()
    assert written == sum(file.stat().st_size for file in files)


def test_nothing_is_stored_where_something_else_is(classifier, weights, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LabError, match="folder can't be '"):
        classifier().export(str(tmp_path / "model"))
    with pytest.raises(LabError, match=r"can't be stored in .*file: File exists"):
        classifier().export(tmp_path / "file")
    classifier("lora").export(tmp_path / "model")
    before = weights_digest(tmp_path / "model"), sorted((tmp_path / "model").iterdir())
    with pytest.raises(LabError, match="isn't empty"):
        classifier("full").export(tmp_path / "model")
    assert before == (weights_digest(tmp_path / "model"), sorted((tmp_path / "model").iterdir()))
    assert load_classifier(tmp_path / "model", weights).recipe.method == "lora"


def test_an_encoder_with_another_tokenizer_is_another(classifier, weights, tmp_path):
    classifier("head").export(tmp_path / "model")
    for file in weights.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    load_classifier(tmp_path / "model", tmp_path)
    (tmp_path / "README.md").touch()
    load_classifier(tmp_path / "model", tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]")
    with pytest.raises(LabError, match="is not that one"):
        load_classifier(tmp_path / "model", tmp_path)


def test_what_cannot_be_loaded_is_said(classifier, tmp_path, monkeypatch):
    classifier().export(tmp_path / "model")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LabError, match="folder can't be '"):
        load_classifier(str(tmp_path / "model"))
    with pytest.raises(LabError, match="base can't be '"):
        load_classifier(tmp_path / "model", str(tmp_path))
    with pytest.raises(LabError, match="finds no CUDA"):
        load_classifier(tmp_path / "model", kind="cuda")
    with pytest.raises(LabError, match="kind must be one of"):
        load_classifier(tmp_path / "model", kind="gpu")
