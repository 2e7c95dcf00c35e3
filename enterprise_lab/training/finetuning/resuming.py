"""A Hugging Face Trainer that resumes exactly where it was cut off: on a like CPU to the bit."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
)
from transformers.trainer_utils import TrainOutput

from enterprise_lab.training.finetuning.checkpoints import Checkpoints
from enterprise_lab.training.finetuning.interruption import Interruption

_TROUBLE = OSError, RuntimeError, SafetensorError
"""What writing raises: PyTorch and safetensors don't raise the system's own error."""
_FULL_BYTES = 1_000_000
"""A disk with less is full."""
_COMPUTED_BY = "processor.txt"


class ResumingTrainer(Trainer):
    """Trainer whose checkpoints are sealed, in the folder and to the number `checkpoints` says.

    TrainingArguments say when to save; its `output_dir`, `save_total_limit` and
    `load_best_model_at_end` count for nothing. For one process. `say` is given a sentence for each
    thing a person should know.
    """

    def __init__(
        self, *arguments: Any, checkpoints: Checkpoints, say: Callable[[str], None], **named: Any
    ) -> None:
        super().__init__(*arguments, **named)
        self.args.save_total_limit = None
        self.args.load_best_model_at_end = False
        self._checkpoints = checkpoints
        self._say = say
        self._interruption = Interruption()
        self._writing: Path | None = None
        self._failing = False
        self.add_callback(_WhenToSave(self._interruption))

    def resume(self) -> TrainOutput:
        """Train to the end, from the last good checkpoint where there is one.

        Ctrl-C and a termination signal are passed on after the step's checkpoint was written.
        Raises CheckpointError for a folder that can't be used or is that of another run.
        """
        with self._checkpoints.in_use(), self._interruption.held():
            found = self._checkpoints.last_good()
            for why in found.passed_over.values():
                self._say(f"A checkpoint is passed over: {why}.")
            self._checkpoints.set_aside(found.passed_over)
            if found.path:
                self._say(f"The training goes on from {found.path.name}.")
                self._compare_processors((found.path / _COMPUTED_BY).read_text())
            elif found.passed_over:
                self._say("No checkpoint is sound: the training starts anew.")
            return self.train(resume_from_checkpoint=str(found.path) if found.path else None)

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002
        return str(self._writing or self._checkpoints.folder)

    def _run_epoch(self, *arguments: Any, **named: Any) -> None:
        # A run that had come to its end, such as by early stopping, trains no further step.
        if not self.control.should_training_stop:
            super()._run_epoch(*arguments, **named)  # type: ignore[no-untyped-call]

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a sealed checkpoint; a disk that takes none stops no training."""
        step = self.state.global_step
        if self.args.device.type == "cuda":
            torch.cuda.synchronize()  # what it raises is no trouble of the disk
        try:
            with self._checkpoints.writing(step) as hidden:
                self._writing = hidden.parent
                with _in_the_systems_words(hidden.parent):
                    super()._save_checkpoint(model, trial)
                (hidden / _COMPUTED_BY).write_text(_processor())
            self._failing = False
        except _TROUBLE as error:
            self._tell_of(error)
        finally:
            self._writing = None
        if self._interruption.asked:
            from_where = "the last checkpoint" if self._failing else "there"
            said = f"Interrupted after step {step}: the same call goes on from {from_where}."
            self._say(said)
            try:
                self._interruption.pass_on()
            except KeyboardInterrupt:
                raise KeyboardInterrupt(said) from None

    def _compare_processors(self, before: str) -> None:
        if self.args.device.type == "cpu" and before != _processor():
            self._say(
                f"The steps up to there were computed with {before}, those to come with "
                f"{_processor()}: their last bits may differ."
            )

    def _tell_of(self, error: Exception) -> None:
        if not self._failing:
            self._say(
                f"The checkpoint of step {self.state.global_step} couldn't be written "
                f"({_reason(error)}{_room(self._checkpoints.folder)}): the training goes on, "
                "and tries again at the next."
            )
        self._failing = True


class _WhenToSave(TrainerCallback):
    """Saves where an interruption waits, and never between an epoch's last step and its end.

    What an epoch's end does, such as an evaluation, would be left out by a run resumed from there.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self._postponed = False

    def on_train_begin(
        self,
        args: Any,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Keep to a decision to stop that was made before the checkpoint."""
        if state.global_step:
            saved: Any = state.stateful_callbacks
            control.should_training_stop = saved["TrainerControl"]["args"]["should_training_stop"]

    def on_step_end(
        self,
        args: Any,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Save for an interruption; at an epoch's last step, only after its end."""
        control.should_save |= self._interruption.asked
        self._postponed = control.should_save and float(state.epoch).is_integer()
        control.should_save &= not self._postponed

    def on_evaluate(
        self,
        args: Any,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Save for an interruption that came during an evaluation."""
        control.should_save |= self._interruption.asked

    def on_epoch_end(
        self,
        args: Any,  # noqa: ARG002
        state: TrainerState,  # noqa: ARG002
        control: TrainerControl,
        **_: Any,
    ) -> None:
        """Save what was postponed."""
        control.should_save |= self._postponed
        self._postponed = False


@contextmanager
def _in_the_systems_words(folder: Path) -> Iterator[None]:
    try:
        yield
    except _TROUBLE as error:
        if shutil.disk_usage(folder).free < _FULL_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def _reason(error: Exception) -> str:
    said = (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__
    return said.partition("\n")[0].rstrip(".")


def _room(folder: Path) -> str:
    try:
        return f"; {shutil.disk_usage(folder).free / 1e6:,.1f} MB are free"
    except OSError:
        return ""


def _processor() -> str:
    """Say what decides in which order a processor adds, and so the last bits of sums."""
    return f"{torch.backends.cpu.get_cpu_capability()} (threads: {torch.get_num_threads()})"
