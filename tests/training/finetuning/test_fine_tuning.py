"""A fine-tuning learns what it should, repeats itself, resumes to the bit, and refuses mistakes."""

from dataclasses import replace

import numpy as np
import peft
import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.evaluation.metrics import macro_f1
from enterprise_lab.training.finetuning import run
from enterprise_lab.training.finetuning.classifier import load_classifier, tokenised
from enterprise_lab.training.finetuning.encoder import build, quiet_transformers
from enterprise_lab.training.finetuning.progress import lines
from enterprise_lab.training.finetuning.recipe import METHODS, FineTuning
from enterprise_lab.training.finetuning.run import fine_tune
from enterprise_lab.training.finetuning.trainer import FineTuner

QUICK = FineTuning(batch=8, learning_rate=1e-3, head_learning_rate=5e-3, sequence_length=48)
SAME_LOSS = 1e-5
"""Relative: 2e-7 was seen between losses of fp32 summed up in another order."""


class KilledError(Exception):
    """Stands for a kill: nothing handles it."""


@pytest.fixture
def killed(monkeypatch):
    """Return a function that lets the next training die after a step."""

    def kill(step):
        end_step, done = FineTuner.end_step, 0

        def end(self):
            nonlocal done
            end_step(self)
            done += 1
            if done == step:
                monkeypatch.setattr(FineTuner, "end_step", end_step)
                raise KilledError

        monkeypatch.setattr(FineTuner, "end_step", end)

    return kill


def weights_of(tuned):
    return dict(tuned.classifier.network.named_parameters())


def same_weights(one, other):
    ours, theirs = weights_of(one), weights_of(other)
    return ours.keys() == theirs.keys() and all(torch.equal(w, theirs[n]) for n, w in ours.items())


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_and_the_classes_are_learnt(weights, texts, method):
    epochs = {"full": 4, "lora": 8, "head": 20}[method]
    rate = 1e-2 if method == "lora" else 1e-3
    recipe = replace(QUICK, method=method, epochs=epochs, learning_rate=rate)
    test = texts(60, seed=2)
    tuned = fine_tune(weights, texts(160), texts(40, seed=1), recipe, device="cpu")
    assert [point.epoch for point in tuned.curve] == list(range(1, epochs + 1))
    assert tuned.curve[-1].training_loss < 0.9 * tuned.curve[0].training_loss
    assert len(tuned.losses) == epochs * 20
    assert np.mean(tuned.losses[-20:]) == pytest.approx(tuned.curve[-1].training_loss)
    logits = tuned.logits(test.texts)
    assert logits.shape == (60, 3)
    assert macro_f1(test.labels, logits.argmax(axis=1)) > (0.8 if method == "full" else 0.5)
    names = [test.classes[i] for i in logits.argmax(axis=1)]
    assert tuned.predict(test.texts) == names
    assert not tuned.messages


def test_a_point_of_the_curve_is_what_the_weights_then_give(weights, texts):
    validation = texts(30, seed=1)
    tuned = fine_tune(weights, texts(40), validation, replace(QUICK, epochs=1), device="cpu")
    logits = tuned.logits(validation.texts)
    loss = cross_entropy(torch.tensor(logits), torch.tensor(validation.labels))
    assert tuned.curve[-1].validation_loss == pytest.approx(float(loss))
    guesses = logits.argmax(axis=1)
    assert tuned.curve[-1].validation_macro_f1 == macro_f1(validation.labels, guesses)


def test_the_same_call_gives_the_same_weights_and_another_seed_others(weights, texts):
    recipe = replace(QUICK, epochs=1, dropout=0.1, deterministic=True)
    runs = [
        fine_tune(weights, texts(40), texts(20, 1), replace(recipe, seed=seed), device="cpu")
        for seed in (0, 0, 1)
    ]
    assert same_weights(runs[0], runs[1])
    assert runs[0].losses == runs[1].losses
    assert not same_weights(runs[0], runs[2])
    assert not torch.are_deterministic_algorithms_enabled()


def test_what_algorithms_pytorch_may_use_is_afterwards_as_it_was_set():
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with run._deterministic(True):
            assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_accumulated_steps_are_those_of_one_large_batch(weights, texts):
    recipe = replace(QUICK, epochs=2, batch=12)
    parts = replace(recipe, batch=4, accumulation=3)
    given = texts(60), texts(20, 1)
    whole, cut = (fine_tune(weights, *given, r, device="cpu") for r in (recipe, parts))
    assert cut.losses == pytest.approx(whole.losses, rel=SAME_LOSS)
    for name, weight in weights_of(whole).items():
        torch.testing.assert_close(weights_of(cut)[name], weight, rtol=1e-3, atol=2e-4)


def test_class_weights_are_the_inverse_of_how_common_a_class_is(weights, texts, monkeypatch):
    """They weigh what is trained on; the losses that are kept compare with the validation's."""
    trained_on, loss_of = [], FineTuner._loss

    def loss(self, *given, **named):
        trained_on.append(loss_of(self, *given, **named))
        return trained_on[-1]

    monkeypatch.setattr(FineTuner, "_loss", loss)
    some = texts(24)
    few = some.take([*np.flatnonzero(some.labels != 1), *np.flatnonzero(some.labels == 1)[:2]])
    recipe = replace(QUICK, batch=len(few), epochs=1, class_weights=True)
    tuned = fine_tune(weights, few, few, recipe, device="cpu")
    network = build(weights, recipe, 3).eval()
    words = transformers.AutoTokenizer.from_pretrained(weights)
    weighted, plain = [], []
    for text, label in zip(few.texts, few.labels, strict=True):
        ids = torch.tensor(tokenised(words, [text], 48)[0])[None]
        logits = network(ids, torch.ones_like(ids))[0].detach().double()
        weight = len(few) / (3 * np.count_nonzero(few.labels == label))
        plain.append(float(logits.logsumexp(0) - logits[label]))
        weighted.append(weight * plain[-1])
    assert [one.item() for one in trained_on] == pytest.approx([np.mean(weighted)], rel=SAME_LOSS)
    assert tuned.losses == pytest.approx([np.mean(plain)], rel=SAME_LOSS)
    assert abs(np.mean(weighted) - np.mean(plain)) > 1e-3
    unweighted = fine_tune(weights, few, few, replace(recipe, class_weights=False), device="cpu")
    assert unweighted.losses == tuned.losses
    assert not same_weights(unweighted, tuned)


def test_early_stopping_keeps_the_best_weights(weights, texts):
    validation = texts(20, seed=1)
    recipe = replace(QUICK, epochs=30, patience=2, head_learning_rate=5e-2)
    tuned = fine_tune(weights, texts(60), validation, recipe, device="cpu")
    scores = [point.validation_macro_f1 for point in tuned.curve]
    assert len(scores) == int(np.argmax(scores)) + 1 + recipe.patience < recipe.epochs
    found = macro_f1(validation.labels, tuned.logits(validation.texts).argmax(axis=1))
    assert found == max(scores)


@pytest.mark.parametrize(
    ("method", "precision", "accumulation", "kill", "save_every"),
    [
        ("full", "fp32", 1, 10, 3),  # in the middle of an epoch
        ("full", "bf16", 2, 5, 2),
        ("lora", "fp32", 2, 6, 4),  # after an epoch's last step
        ("head", "fp32", 1, 8, 3),
        ("full", "fp32", 1, 21, 7),  # the checkpoint comes at an epoch's end
    ],
)
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(
    weights, texts, tmp_path, killed, caplog, method, precision, accumulation, kill, save_every
):
    recipe = replace(
        QUICK, method=method, precision=precision, accumulation=accumulation, epochs=4,
        dropout=0.1, patience=3,
    )  # fmt: skip
    given = weights, texts(53), texts(20, seed=1), recipe
    whole = fine_tune(*given, device="cpu")
    killed(kill)
    with pytest.raises(KilledError):
        fine_tune(*given, device="cpu", folder=tmp_path, save_every=save_every)
    resumed = fine_tune(*given, device="cpu", folder=tmp_path, save_every=save_every)
    last = (kill - 1) // save_every * save_every
    assert resumed.messages == (f"The training goes on from checkpoint-{last}.",)
    assert tuple(caplog.messages) == resumed.messages
    assert resumed.losses == whole.losses
    assert resumed.curve == whole.curve
    assert same_weights(resumed, whole)
    assert resumed.figures.work == whole.figures.work
    assert resumed.figures.steps.n == whole.figures.steps.n


@pytest.mark.parametrize("save_every", [5, 1000])  # at the end of every epoch, and never by itself
def test_a_run_that_is_over_is_not_trained_again(weights, texts, tmp_path, save_every):
    recipe = replace(QUICK, epochs=30, patience=1, head_learning_rate=5e-2)
    given = weights, texts(40), texts(20, seed=1), recipe
    steps = []
    first, again = (
        fine_tune(
            *given, folder=tmp_path, save_every=save_every, device="cpu",
            on_step=lambda step, _: steps.append(step),
        )
        for _ in range(2)
    )  # fmt: skip
    assert len(first.curve) < recipe.epochs
    assert steps == list(range(1, len(first.losses) + 1))
    assert again.messages == (f"The training goes on from checkpoint-{len(first.losses)}.",)
    assert again.curve == first.curve
    assert again.losses == first.losses
    assert same_weights(first, again)


def test_what_a_run_is_counts_only_where_checkpoints_are_kept(
    weights, texts, tmp_path, monkeypatch
):
    def unknown(*_, **__):
        raise LookupError

    monkeypatch.setattr(run, "identity_of", unknown)
    given = weights, texts(20), texts(10, seed=1), replace(QUICK, epochs=1)
    assert fine_tune(*given, device="cpu").losses
    with pytest.raises(LookupError):
        fine_tune(*given, folder=tmp_path, device="cpu")


def test_another_runs_folder_is_refused(weights, texts, tmp_path):
    given = weights, texts(20), texts(10, seed=1)
    recipe = replace(QUICK, epochs=1)
    fine_tune(*given, recipe, folder=tmp_path, save_every=1, device="cpu")
    with pytest.raises(LabError, match="pretrained True instead of False"):
        fine_tune(*given, recipe, folder=tmp_path, pretrained=False, device="cpu")


def test_a_folder_that_cannot_be_made_is_told(weights, texts, tmp_path):
    (tmp_path / "file").write_text("here")
    given = weights, texts(20), texts(10, seed=1), QUICK
    with pytest.raises(LabError, match=r"can.t be written to .*Not a directory"):
        fine_tune(*given, folder=tmp_path / "file" / "inner", device="cpu")
    with pytest.raises(LabError, match="folder"):
        fine_tune(*given, folder=str(tmp_path), device="cpu")


@pytest.mark.parametrize("method", METHODS)
def test_what_is_exported_is_loaded_again(weights, texts, tmp_path, method):
    recipe = replace(QUICK, method=method, epochs=1)
    test = texts(10, seed=2)
    tuned = fine_tune(weights, texts(30), texts(10, seed=1), recipe, device="cpu")
    written = tuned.export(tmp_path / "model")
    loaded = load_classifier(tmp_path / "model", None if method == "full" else weights)
    np.testing.assert_array_equal(loaded.logits(test.texts), tuned.logits(test.texts))
    assert loaded.classes == tuned.classifier.classes
    assert written == sum(file.stat().st_size for file in (tmp_path / "model").iterdir())
    assert tuned.figures.stored_bytes < written


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # by peft
@pytest.mark.parametrize("method", ["full", "lora"])
def test_others_tools_load_what_is_exported(weights, texts, tmp_path, method):
    recipe = replace(QUICK, method=method, epochs=1)
    tuned = fine_tune(weights, texts(30), texts(10, seed=1), recipe, device="cpu")
    tuned.export(tmp_path)
    with quiet_transformers():
        folder = tmp_path if method == "full" else weights
        encoder = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False)
    if method == "lora":
        encoder = peft.PeftModel.from_pretrained(encoder, tmp_path)
    ids = torch.arange(5, 20)[None]
    with torch.no_grad():
        theirs = encoder.eval()(ids).last_hidden_state.mean(dim=1)
        ours = tuned.classifier.network.pooled(ids, torch.ones_like(ids))
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_what_was_trained_on_another_encoder_is_refused(weights, texts, tmp_path):
    recipe = replace(QUICK, method="head", epochs=1)
    tuned = fine_tune(weights, texts(10), texts(10, seed=1), recipe, device="cpu")
    tuned.export(tmp_path / "model")
    with pytest.raises(LabError, match="none is not that one"):
        load_classifier(tmp_path / "model")
    with pytest.raises(LabError, match="no classifier"):
        load_classifier(tmp_path)


def test_a_log_gets_a_line_for_each_tenth(weights, texts):
    written = []
    tell = lines(written.append)
    fine_tune(weights, texts(10), texts(10, 1), replace(QUICK, epochs=1), tell=tell, device="cpu")
    assert written[-1].startswith("100% epoch 1 of 1")
    for share in np.linspace(0, 1, 101):
        tell("words", share)
    assert len(written) <= 1 + 12


def test_every_step_is_told_with_its_loss(weights, texts):
    told = []
    recipe = replace(QUICK, epochs=1, accumulation=2)
    tuned = fine_tune(
        weights, texts(40), texts(10, 1), recipe, device="cpu",
        on_step=lambda *step: told.append(step),
    )  # fmt: skip
    assert told == list(enumerate(tuned.losses, start=1))


def test_nothing_is_printed(weights, texts, capfd):
    fine_tune(weights, texts(20), texts(10, seed=1), replace(QUICK, epochs=1), device="cpu")
    assert capfd.readouterr() == ("", "")


def test_what_cant_be_trained_is_refused(weights, texts, monkeypatch):
    some, none = texts(10), texts(0)

    def refused(*given, said, kind=LabError, **how):
        with pytest.raises(kind, match=said):
            fine_tune(weights, *given, **how)

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(some.texts, some, QUICK, said="training texts can't be")
    refused(some, some, None, said="recipe can't be")
    refused(none, some, QUICK, said="no training texts")
    refused(some, none, QUICK, said="no validation texts")
    refused(some, texts(10, classes=2), QUICK, said="different classes")
    refused(texts(9, classes=1), texts(9, classes=1), QUICK, said="fewer than two classes")
    refused(some, some, replace(QUICK, sequence_length=99), said="99 is more than the model's")
    refused(some, some, QUICK, said="finds no CUDA", device="cuda")
    refused(some, some, QUICK, said="device must be", device="gpu", kind=InvalidValueError)
    refused(some, some, replace(QUICK, precision="fp16"), said="fp16", device="cpu")
    refused(some, some, QUICK, said="save_every", save_every=0, kind=InvalidValueError)
