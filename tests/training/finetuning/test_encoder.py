"""What of a BERT is trained, and what its head sees."""

import itertools

import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from enterprise_lab import data
from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.estimate import LowRank
from enterprise_lab.estimate.trainable import PROJECTIONS
from enterprise_lab.training.finetuning.classifier import pad
from enterprise_lab.training.finetuning.encoder import build, read_shape
from enterprise_lab.training.finetuning.recipe import FineTuning

CLASSES = 3
RECIPES = {
    "full": FineTuning(sequence_length=48),
    "head": FineTuning("head", sequence_length=48),
    "lora": FineTuning("lora", targets=("query", "value"), sequence_length=48),
}


def parameters(network):
    return sum(w.numel() for w in network.trained().values())


def some(lengths, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(5, 60, n) for n in lengths]


def test_everything_is_trained_but_what_the_method_freezes(weights):
    shape = read_shape(weights)
    head = (shape.hidden + 1) * CLASSES
    found = {m: parameters(build(weights, r, CLASSES)) for m, r in RECIPES.items()}
    adapters = LowRank(8, ("query", "value")).parameters(shape)
    assert found == {
        "full": shape.parameters + head,
        "head": head,
        "lora": adapters + head,
    }


def test_adapters_of_any_projections_are_as_many_as_the_estimator_says(weights):
    shape = read_shape(weights)
    head = (shape.hidden + 1) * CLASSES
    for count in range(1, len(PROJECTIONS) + 1):
        for targets in itertools.combinations(PROJECTIONS, count):
            recipe = FineTuning("lora", rank=4, targets=targets, sequence_length=48)
            network = build(weights, recipe, CLASSES)
            assert parameters(network) == LowRank(4, targets).parameters(shape) + head, targets


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("method", RECIPES)
def test_gradients_reach_what_is_trained_and_nothing_else(weights, method, recompute):
    recipe = FineTuning(method, sequence_length=48, recompute=recompute)
    network = build(weights, recipe, CLASSES).train()
    tokens, mask = pad(some([5, 9]), 50)
    logits = network(tokens, mask)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    reached = {name for name, w in network.named_parameters() if w.grad is not None}
    assert reached == set(network.trained())


def test_a_frozen_encoder_drops_nothing_out(weights):
    recipe = FineTuning("head", sequence_length=48, dropout=0.5)
    network = build(weights, recipe, CLASSES).train()
    tokens, mask = pad(some([5, 9]), 50)
    assert torch.equal(network(tokens, mask), network(tokens, mask))
    changing = build(weights, FineTuning(sequence_length=48, dropout=0.5), CLASSES).train()
    assert not torch.equal(changing(tokens, mask), changing(tokens, mask))


def test_the_head_sees_the_mean_over_the_tokens_without_padding(weights):
    network = build(weights, RECIPES["full"], CLASSES).eval()
    reference = transformers.BertModel.from_pretrained(weights).eval()
    texts = some([3, 30, 17])
    with torch.no_grad():
        found = network.pooled(*pad(texts, 50))
        expected = [reference(torch.tensor(t)[None]).last_hidden_state[0].mean(0) for t in texts]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_texts_are_padded_to_a_multiple_but_not_beyond_the_positions():
    tokens, mask = pad(some([3, 10]), 50)
    assert tokens.shape == (2, 16)
    assert mask.sum(1).tolist() == [3, 10]
    assert pad(some([49]), 50)[0].shape == (1, 50)


def test_adapters_change_nothing_at_first_and_the_seed_draws_the_head(weights):
    tokens, mask = pad(some([5, 9]), 50)
    made = {m: build(weights, r, CLASSES).eval() for m, r in RECIPES.items()}
    with torch.no_grad():
        vectors = [network.pooled(tokens, mask) for network in made.values()]
    for one in vectors[1:]:
        torch.testing.assert_close(one, vectors[0], rtol=1e-5, atol=1e-6)
    again = build(weights, RECIPES["lora"], CLASSES)
    for name, w in made["lora"].named_parameters():
        assert torch.equal(w, dict(again.named_parameters())[name])
    other = build(weights, FineTuning("lora", sequence_length=48, seed=1), CLASSES)
    assert not torch.equal(other.head.weight, again.head.weight)


def test_without_pre_training_the_weights_are_random_and_the_shape_is_the_same(weights):
    made = [build(weights, RECIPES["full"], CLASSES, pretrained=p) for p in (True, False)]
    embeddings = [dict(m.named_parameters())["encoder.embeddings.word_embeddings.weight"]
                  for m in made]  # fmt: skip
    assert embeddings[0].shape == embeddings[1].shape
    assert not torch.equal(*embeddings)


def test_building_leaves_the_random_numbers_and_the_logging_alone(weights):
    log = transformers.utils.logging
    before = torch.get_rng_state(), log.get_verbosity(), log.is_progress_bar_enabled()
    build(weights, RECIPES["lora"], CLASSES)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == before[1:]


def test_building_touches_no_gpus_random_numbers(weights, monkeypatch):
    def touched(*_):
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "device_count", touched)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", touched)
    build(weights, RECIPES["lora"], CLASSES)


def test_the_real_minilm_is_read(capfd):
    folder = data.fetch("minilm")
    recipe = FineTuning("lora")
    network = build(folder, recipe, 22)
    assert isinstance(network.encoder, peft.PeftModel)
    shape = read_shape(folder)
    assert parameters(network) == LowRank(8, PROJECTIONS).parameters(shape) + 385 * 22
    assert parameters(network) < 0.02 * shape.parameters
    assert capfd.readouterr() == ("", "")


def test_what_is_no_bert_is_refused(tmp_path, weights):
    with pytest.raises(LabError, match=r"no config\.json"):
        build(tmp_path, RECIPES["full"], CLASSES)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(LabError, match="type 'gpt2', not a BERT"):
        build(tmp_path, RECIPES["full"], CLASSES)
    (tmp_path / "config.json").write_bytes((weights / "config.json").read_bytes())
    with pytest.raises(LabError, match="no weights"):
        build(tmp_path, RECIPES["full"], CLASSES)
    file = tmp_path / "model.safetensors"
    file.write_bytes((weights / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(LabError, match="can't be read"):
        build(tmp_path, RECIPES["full"], CLASSES)
    some = load_file(weights / "model.safetensors")
    some.pop("encoder.layer.1.output.dense.bias")
    save_file(some, file, {"format": "pt"})
    with pytest.raises(LabError, match=r"lack 1 of the model's, such as encoder\.layer\.1\.output"):
        build(tmp_path, RECIPES["full"], CLASSES)


def test_what_the_model_has_not_is_refused(weights):
    with pytest.raises(InvalidValueError, match="51 is more than the model's 50 positions"):
        build(weights, FineTuning(sequence_length=51), CLASSES)
    with pytest.raises(InvalidValueError, match="no low one"):
        build(weights, FineTuning("lora", rank=33, sequence_length=48), CLASSES)
