"""A spot machine that is taken away, for real: a training whose process is killed after a step.

The process kills itself by SIGKILL, so that it is after a certain step each time; the kernel runs
nothing more of it then, as if its machine were gone. `python -m` of this module is that process.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import LabError, require_whole
from enterprise_lab.training.finetuning.checkpoints import newest_first, step_of
from enterprise_lab.training.finetuning.progress import Tell
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.training.finetuning.run import fine_tune


@dataclass(frozen=True)
class Life:
    """What a training did until it was killed."""

    losses: tuple[tuple[int, float], ...]
    """Steps, and the mean loss of a text in each, in nats."""
    checkpoint: int
    """The step that the same training goes on from; 0: from the beginning."""


def fine_tune_until_killed(
    weights: Path,
    train: Texts,
    validation: Texts,
    recipe: FineTuning,
    *,
    after: int,
    folder: Path,
    save_every: int = 50,
    device: str = "auto",
    tell: Tell | None = None,
) -> Life:
    """Begin a fine-tuning in a process of its own, which is killed after the step `after`.

    `fine_tune` with the same arguments continues it. Raises LabError where `fine_tune` does, and
    for a training that is over before.
    """
    require_whole("after", after, 1_000_000_000)
    given = {"folder": folder, "save_every": save_every, "device": device}
    job = after, torch.get_num_threads(), (weights, train, validation, recipe), given
    losses: list[tuple[int, float]] = []
    with _process(job) as process:
        for line in process.stdout:
            said = json.loads(line)
            if isinstance(said, dict):
                raise LabError(**said)
            losses.append((said[0], float.fromhex(said[1])))
            if tell:
                tell(f"step {said[0]:,}, to be killed after {after:,}", min(1.0, said[0] / after))
    last = losses[-1][0] if losses else 0
    if process.returncode != -signal.SIGKILL or last != after:
        raise LabError(
            f"The training was over before it could be killed after step {after:,}.",
            "Kill it after an earlier step, in a folder without its checkpoints.",
        )
    return Life(tuple(losses), max(map(step_of, newest_first(folder)), default=0))


@contextmanager
def _process(job: tuple[Any, ...]) -> Iterator[Any]:
    """Start the process of a job, and leave none of it behind."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "job"
        file.write_bytes(pickle.dumps(job))
        with (
            (Path(name) / "errors").open("w+b") as errors,
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            try:
                yield process
                process.wait()
            finally:
                process.kill()
            if process.returncode > 0:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
                raise RuntimeError(f"The process of a training ended by itself: {last}")


def _train_until_killed(file: Path) -> None:
    after, threads, texts, given = pickle.loads(file.read_bytes())

    def said(step: int, loss: float) -> None:
        _say([step, loss.hex()])
        if step == after:
            os.kill(os.getpid(), signal.SIGKILL)

    # Sums are split among threads: another number of them, and losses differ in their last bits.
    torch.set_num_threads(threads)
    try:
        fine_tune(*texts, **given, on_step=said)
    except LabError as error:
        _say({"problem": error.problem, "remedy": error.remedy})


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _train_until_killed(Path(sys.argv[1]))
