"""A training that is cut off and resumed: to the bit as if it had never been."""

import errno
import os
import resource
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from enterprise_lab.training.finetuning import checkpoints
from enterprise_lab.training.finetuning.checkpoints import LOCK, SET_ASIDE, Checkpoints
from enterprise_lab.training.finetuning.resuming import ResumingTrainer

MINE = {"learning_rate": "0.01"}


@pytest.fixture(autouse=True)
def _no_disk_is_waited_for(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)


ROWS = [
    {"input_ids": torch.randint(0, 50, (12,), generator=torch.Generator().manual_seed(row)),
     "labels": row % 3}
    for row in range(36)
]  # fmt: skip


class Run:
    """A tiny training with dropout, accumulation and evaluations, 15 steps long."""

    def __init__(self, folder: Path, *callbacks: TrainerCallback, **arguments: object) -> None:
        set_seed(0)
        shape = BertConfig(
            vocab_size=50,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            num_labels=3,
        )
        usual = {
            "per_device_train_batch_size": 4,
            "gradient_accumulation_steps": 2,
            "num_train_epochs": 3,
            "learning_rate": 1e-2,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": 2,
            "eval_strategy": "epoch",
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
            "dataloader_pin_memory": False,
            "seed": 3,
        }
        self.said: list[str] = []
        self.trainer = ResumingTrainer(
            BertForSequenceClassification(shape),
            TrainingArguments(output_dir=str(folder), **{**usual, **arguments}),
            train_dataset=ROWS,
            eval_dataset=ROWS[:8],
            callbacks=list(callbacks),
            checkpoints=Checkpoints(folder, MINE),
            say=self.said.append,
        )
        self.trainer.remove_callback(PrinterCallback)

    def outcome(self) -> tuple[list[object], bytes]:
        """Train to the end: all losses and the weights."""
        self.trainer.resume()
        kept = ("loss", "eval_loss", "grad_norm", "learning_rate")
        losses = [
            [entry["step"], *(entry.get(key) for key in kept)]
            for entry in self.trainer.state.log_history
            if "train_loss" not in entry
        ]
        weights = self.trainer.model.state_dict().values()
        return losses, b"".join(weight.numpy().tobytes() for weight in weights)


class Cut(TrainerCallback):
    """Does something at an event of a step, by default ending all as a kill would."""

    class Kill(BaseException):
        """What no one expects."""

    def __init__(self, event: str, step: int, act: Callable[[], object] | None = None) -> None:
        self.step, self.act, self.acted = step, act, False
        setattr(self, event, self._at)

    def _at(self, _: object, state: object, __: object, **___: object) -> None:
        if state.global_step == self.step and not self.acted:
            self.acted = True
            if self.act is None:
                raise Cut.Kill
            self.act()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[list[object], bytes]:
    return Run(tmp_path_factory.mktemp("whole")).outcome()


class TestResuming:
    @pytest.mark.parametrize(
        ("event", "step"),
        [
            *[("on_step_begin", step) for step in (1, 5, 9, 14)],
            # Steps 5 and 10 are the last of their epochs; 10 is one to save after.
            *[("on_step_end", 10), ("on_epoch_end", 10), ("on_evaluate", 10), ("on_save", 10)],
            *[("on_epoch_begin", 10), ("on_epoch_end", 5), ("on_train_end", 15)],
        ],
    )
    def test_resumed_is_as_if_never_cut_off(self, tmp_path, whole, event, step):
        with pytest.raises(Cut.Kill):
            Run(tmp_path, Cut(event, step)).outcome()
        resumed = Run(tmp_path)
        assert resumed.outcome() == whole
        assert bool(resumed.said) == (step >= 2)

    def test_many_cuts_change_nothing(self, tmp_path, whole):
        for step in (3, 8):
            with suppress(Cut.Kill):
                Run(tmp_path, Cut("on_step_begin", step)).outcome()
        assert Run(tmp_path).outcome() == whole

    def test_other_random_numbers_would_be_noticed(self, tmp_path, whole):
        """The comparison is one that can fail."""
        with pytest.raises(Cut.Kill):
            Run(tmp_path, Cut("on_step_begin", 14)).outcome()
        before, newest = tmp_path / "checkpoint-12", tmp_path / "checkpoint-14"
        with Checkpoints(tmp_path, MINE).writing(14) as hidden:
            shutil.copytree(newest, hidden, dirs_exist_ok=True)
            shutil.copy(before / "rng_state.pth", hidden)
        losses, weights = Run(tmp_path).outcome()
        assert losses[:14] == whole[0][:14]
        assert losses != whole[0]
        assert weights != whole[1]

    def test_a_truncated_checkpoint_is_passed_over_and_set_aside(self, tmp_path, whole):
        with pytest.raises(Cut.Kill):
            Run(tmp_path, Cut("on_step_begin", 7)).outcome()
        os.truncate(tmp_path / "checkpoint-6" / "optimizer.pt", 1000)
        resumed = Run(tmp_path)
        assert resumed.outcome() == whole
        assert "checkpoint-6: optimizer.pt has 1,000 bytes" in resumed.said[0]
        assert "goes on from checkpoint-4" in resumed.said[1]
        assert (tmp_path / SET_ASIDE / "checkpoint-6").is_dir()

    def test_without_a_sound_checkpoint_it_starts_anew_and_says_so(self, tmp_path, whole):
        with pytest.raises(Cut.Kill):
            Run(tmp_path, Cut("on_step_begin", 7)).outcome()
        for path in tmp_path.glob("checkpoint-*"):
            (path / "rng_state.pth").unlink()
        resumed = Run(tmp_path)
        assert resumed.outcome() == whole
        assert "starts anew" in resumed.said[2]

    def test_a_run_stopped_early_stays_stopped(self, tmp_path):
        def early(folder: Path, *callbacks: TrainerCallback) -> Run:
            return Run(
                folder,
                EarlyStoppingCallback(1, early_stopping_threshold=10.0),
                *callbacks,
                save_strategy="epoch",
                metric_for_best_model="loss",
            )

        run = early(tmp_path / "whole")
        expected = run.outcome()
        assert run.trainer.state.global_step == 10
        with pytest.raises(Cut.Kill):
            early(tmp_path / "cut", Cut("on_save", 10)).outcome()
        resumed = early(tmp_path / "cut")
        assert resumed.outcome() == expected
        assert resumed.trainer.state.global_step == 10

    def test_a_folder_may_be_moved_and_the_last_weights_are_kept(self, tmp_path, whole):
        best = {
            "load_best_model_at_end": True,
            "metric_for_best_model": "loss",
            "greater_is_better": True,
            "save_strategy": "epoch",
        }
        with pytest.raises(Cut.Kill):
            Run(tmp_path / "cut", Cut("on_step_begin", 8), **best).outcome()
        (tmp_path / "cut").rename(tmp_path / "moved")
        assert Run(tmp_path / "moved", **best).outcome() == whole

    def test_another_processor_is_told_of(self, tmp_path):
        with pytest.raises(Cut.Kill):
            Run(tmp_path, Cut("on_step_begin", 7)).outcome()
        threads = torch.get_num_threads()
        torch.set_num_threads(threads + 1)
        try:
            resumed = Run(tmp_path)
            resumed.outcome()
        finally:
            torch.set_num_threads(threads)
        goes_on, otherwise = resumed.said
        assert "goes on from checkpoint-6" in goes_on
        assert f"threads: {threads})" in otherwise
        assert f"threads: {threads + 1}): their last bits may differ" in otherwise


def room(size_bytes: int) -> Callable[[], None]:
    """Return what lets no file be larger, as on a disk or under a quota that is used up."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))


class TestFullDisks:
    @pytest.mark.parametrize("size_bytes", [0, 5000])
    def test_the_training_goes_on_and_the_next_save_is_tried(self, tmp_path, whole, size_bytes):
        before = room(resource.getrlimit(resource.RLIMIT_FSIZE)[0])
        full, empty = Cut("on_step_begin", 3, room(size_bytes)), Cut("on_step_begin", 9, before)
        kept: list[set[str]] = []
        look = Cut("on_step_begin", 8, lambda: kept.append({p.name for p in tmp_path.iterdir()}))
        run = Run(tmp_path, look, full, empty)
        try:
            assert run.outcome() == whole
        finally:
            before()
        assert kept == [{"checkpoint-2", LOCK}]
        (said,) = run.said
        assert "checkpoint of step 4 couldn't be written" in said
        assert Checkpoints(tmp_path, MINE).last_good().path == tmp_path / "checkpoint-15"

    def test_a_full_disk_is_called_so_whatever_pytorch_calls_it(self, tmp_path, monkeypatch):
        def full(*_: object) -> None:
            raise RuntimeError("[enforce fail at inline_container.cc:672]")

        none_left = SimpleNamespace(total=1, used=1, free=0)
        monkeypatch.setattr(torch, "save", full)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: none_left)
        run = Run(tmp_path, max_steps=2)
        run.outcome()
        (said,) = run.said
        assert "(No space left on device; 0.0 MB are free)" in said

    @pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
    def test_whatever_the_disk_says_is_said(self, tmp_path, whole, monkeypatch, error):
        def full(_: Path) -> None:
            raise OSError(error, os.strerror(error))

        monkeypatch.setattr(checkpoints, "_flush", full)
        run = Run(tmp_path)
        assert run.outcome() == whole
        (said,) = run.said
        assert os.strerror(error) in said
        assert {path.name for path in tmp_path.iterdir()} == {LOCK}

    def test_it_is_said_once_each_time_the_disk_fills_up(self, tmp_path, monkeypatch):
        flush = checkpoints._flush

        def full(_: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        def becomes(kind: Callable[[Path], None]) -> Callable[[], None]:
            return lambda: monkeypatch.setattr(checkpoints, "_flush", kind)

        kinds = {0: full, 5: flush, 7: full}
        run = Run(tmp_path, *(Cut("on_step_begin", at, becomes(kinds[at])) for at in kinds))
        run.outcome()
        assert ["step 2 " in run.said[0], "step 8 " in run.said[1]] == [True, True]
        assert len(run.said) == 2

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (OSError(errno.EIO, "Input/output error"), "(Input/output error)"),
            (RuntimeError(), "(RuntimeError)"),
            (OSError(" \n"), "(OSError)"),
        ],
    )
    def test_a_disk_that_is_gone_stops_no_training(self, tmp_path, whole, monkeypatch, error, said):
        def gone(*_: object) -> None:
            raise OSError(errno.ESTALE, "Stale file handle")

        def failing(_: Path) -> None:
            raise error

        monkeypatch.setattr(shutil, "disk_usage", gone)
        monkeypatch.setattr(checkpoints, "_flush", failing)
        run = Run(tmp_path)
        assert run.outcome() == whole
        assert [said in message for message in run.said] == [True]

    def test_what_a_gpu_raises_late_is_no_trouble_of_the_disk(self, tmp_path, monkeypatch):
        def late() -> None:
            raise RuntimeError("an illegal memory access")

        monkeypatch.setattr(torch.cuda, "synchronize", late)
        on_gpu = partial(monkeypatch.setattr, TrainingArguments, "device", torch.device("cuda"))
        run = Run(tmp_path, Cut("on_step_end", 2, on_gpu))
        with pytest.raises(RuntimeError, match="illegal memory access"):
            run.outcome()
        assert not run.said

    def test_a_mistake_in_the_code_is_no_full_disk(self, tmp_path, monkeypatch):
        def wrong(_: Path) -> None:
            raise TypeError

        monkeypatch.setattr(checkpoints, "_flush", wrong)
        with pytest.raises(TypeError):
            Run(tmp_path).outcome()


class TestInterruptions:
    @pytest.mark.parametrize(
        ("event", "step", "saved"),
        [("on_step_begin", 2, 3), ("on_step_begin", 4, 5), ("on_evaluate", 5, 5)],
    )
    def test_ctrl_c_waits_for_a_checkpoint(self, tmp_path, whole, event, step, saved):
        cut = Run(tmp_path, Cut(event, step, lambda: signal.raise_signal(signal.SIGINT)))
        before = signal.getsignal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match=f"after step {saved}"):
            cut.outcome()
        assert signal.getsignal(signal.SIGINT) is before
        assert f"after step {saved}" in cut.said[-1]
        assert Checkpoints(tmp_path, MINE).last_good().path == tmp_path / f"checkpoint-{saved}"
        assert Run(tmp_path).outcome() == whole

    def test_a_termination_signal_does_what_it_would_have_done(self, tmp_path, whole):
        before = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
        try:
            with pytest.raises(SystemExit):
                Run(tmp_path, Cut("on_step_begin", 6, terminate)).outcome()
        finally:
            signal.signal(signal.SIGTERM, before)
        assert (tmp_path / "checkpoint-7").is_dir()
        assert Run(tmp_path).outcome() == whole

    def test_a_handler_that_goes_on_lets_the_training_go_on(self, tmp_path, whole):
        notices: list[int] = []
        before = signal.signal(signal.SIGTERM, lambda number, _: notices.append(number))
        try:
            acts = Cut("on_step_begin", 6, terminate), Cut("on_step_begin", 8, terminate)
            run = Run(tmp_path, *acts)
            assert run.outcome() == whole
        finally:
            signal.signal(signal.SIGTERM, before)
        assert ["step 7:" in run.said[0], "step 9:" in run.said[1]] == [True, True]
        assert notices == [signal.SIGTERM] * 2

    def test_a_full_disk_holds_no_interruption_back(self, tmp_path, monkeypatch):
        def full(_: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(checkpoints, "_flush", full)
        run = Run(tmp_path, Cut("on_step_begin", 2, lambda: signal.raise_signal(signal.SIGINT)))
        with pytest.raises(KeyboardInterrupt):
            run.outcome()


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)
