"""A training whose process is killed, and continued here: to the bit as if nothing had been."""

import json
import pickle
from contextlib import contextmanager
from types import SimpleNamespace

import psutil
import pytest

from enterprise_lab.errors import LabError
from enterprise_lab.training.finetuning import spot
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.training.finetuning.run import fine_tune
from enterprise_lab.training.finetuning.spot import fine_tune_until_killed

RECIPE = FineTuning(epochs=2, batch=4, sequence_length=16, dropout=0.1)


def test_a_killed_training_is_continued_to_the_bit(tmp_path, weights, texts):
    train, validation = texts(40), texts(12, seed=1)
    given = weights, train, validation, RECIPE
    told, before = [], psutil.Process().children()
    life = fine_tune_until_killed(
        *given, after=12, folder=tmp_path, save_every=5, tell=lambda *said: told.append(said)
    )
    assert psutil.Process().children() == before
    assert life.checkpoint == 10
    assert [step for step, _ in life.losses] == list(range(1, 13))
    assert told[-1][1] == 1

    whole = fine_tune(*given)
    resumed = fine_tune(*given, folder=tmp_path, save_every=5)
    assert any("checkpoint-10" in message for message in resumed.messages)
    assert resumed.losses == whole.losses
    assert resumed.curve == whole.curve
    assert [loss for _, loss in life.losses] == list(whole.losses[:12])
    assert (resumed.logits(validation.texts) == whole.logits(validation.texts)).all()


@pytest.mark.parametrize("after", [0, 1.5])
def test_a_step_is_a_whole_number_from_one(tmp_path, weights, texts, after):
    with pytest.raises(LabError, match="after"):
        fine_tune_until_killed(*(weights, texts(8), texts(8), RECIPE), after=after, folder=tmp_path)


@contextmanager
def ended(returncode, *lines):
    """Stand in for the process of a job."""
    yield SimpleNamespace(stdout=[json.dumps(line) for line in lines], returncode=returncode)


@pytest.mark.parametrize(("returncode", "steps"), [(0, 3), (-9, 2), (-9, 0), (-15, 3)])
def test_what_ended_otherwise_is_not_passed_off_as_killed(
    tmp_path, weights, texts, monkeypatch, returncode, steps
):
    lines = [[step, (1.0).hex()] for step in range(1, steps + 1)]
    monkeypatch.setattr(spot, "_process", lambda _: ended(returncode, *lines))
    with pytest.raises(LabError, match="was over before it could be killed after step 3"):
        fine_tune_until_killed(*(weights, texts(8), texts(8), RECIPE), after=3, folder=tmp_path)


def test_a_mistake_is_said_as_in_the_notebook(tmp_path, weights, texts, monkeypatch, capsys):
    def in_this_process(job):
        (tmp_path / "job").write_bytes(pickle.dumps(job))
        spot._train_until_killed(tmp_path / "job")
        return ended(0, json.loads(capsys.readouterr().out))

    monkeypatch.setattr(spot, "_process", in_this_process)
    with pytest.raises(LabError, match="device must be one of"):
        fine_tune_until_killed(
            *(weights, texts(8), texts(8), RECIPE), after=3, folder=tmp_path, device="tpu"
        )
