"""Whether a fine-tuning survives its killing: `python benchmarks/fine_tuning_kills.py --kills 20`.

A process fine-tunes the embedded MiniLM on clauses of licences and is killed by SIGKILL at a random
moment: while it loads, while it trains, or while it writes a checkpoint. Another takes up the
training from the folder. One that comes to its end must have the weights and the losses, to the
bit, of one that nobody killed; then the next begins, until all kills are done and the last is over.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from enterprise_lab.data.legal import legal_texts
from enterprise_lab.data.store import at_hand
from enterprise_lab.data.texts import Texts
from enterprise_lab.training.finetuning.checkpoints import (
    SET_ASIDE,
    UNFINISHED,
    name_of,
    newest_first,
    step_of,
)
from enterprise_lab.training.finetuning.recipe import FineTuning

TEXTS, BATCH, EPOCHS, EVERY = 48, 4, 3, 4
MODULE = "enterprise_lab.training.finetuning.run"
END = "end.json"
LOADING_SECONDS, TRAINING_SECONDS, WRITING_SECONDS = 6.0, 3.0, 1.0
"""How long after a start, a checkpoint, or a checkpoint's first file a kill comes at the latest."""
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Kill:
    """What was killed, and what it left in its folder."""

    training: int
    doing: str
    checkpoint: int
    unfinished_bytes: int


def train(folder: Path, recipe: FineTuning, texts: Texts) -> None:
    """Train to the end in a process of its own, and say what came of it."""
    import torch

    from enterprise_lab.training.finetuning.run import fine_tune

    torch.set_num_threads(1)
    made = fine_tune(
        at_hand("minilm"),
        texts.take(range(TEXTS)),
        texts.take(range(TEXTS, len(texts))),
        recipe,
        folder=folder,
        save_every=EVERY,
        device="cpu",
    )
    weights = hashlib.sha256()
    for name, weight in sorted(made.classifier.network.state_dict().items()):
        weights.update(name.encode() + weight.numpy().tobytes())
    losses = [loss.hex() for loss in made.losses]
    curve = [[point.validation_loss.hex(), point.validation_macro_f1] for point in made.curve]
    aside = folder / f".{END}"
    aside.write_text(json.dumps([weights.hexdigest(), losses, curve, made.messages]))
    aside.rename(folder / END)


def kill(process: BaseProcess, folder: Path, number: int, chance: random.Random) -> Kill | None:
    """Kill a training at a random moment; None where it came to its end before."""
    doing = chance.choice(["loading", "training", "training", "writing", "writing"])
    before = newest(folder)
    try:
        if doing == "loading":
            process.join(chance.uniform(0, LOADING_SECONDS))
        else:
            wait(process, lambda: newest(folder) != before)
            if doing == "writing":
                written = folder / UNFINISHED / name_of(newest(folder) + EVERY)
                wait(process, written.exists)
            seconds = WRITING_SECONDS if doing == "writing" else TRAINING_SECONDS
            process.join(chance.uniform(0, seconds))
        if not process.is_alive():
            return None
    finally:
        process.kill()
        process.join()
    left = [file.stat().st_size for file in (folder / UNFINISHED).rglob("*") if file.is_file()]
    return Kill(number, doing, newest(folder), sum(left))


def wait(process: BaseProcess, until: Callable[[], bool]) -> None:
    """Wait until something has come about, or the process has ended; not for ever."""
    began = time.monotonic()
    while process.is_alive() and not until():
        assert time.monotonic() - began < PATIENCE_SECONDS, "a training hangs"
        time.sleep(0.002)


def newest(folder: Path) -> int:
    """Return the step of the newest checkpoint with a name, 0 where there is none."""
    return max(map(step_of, newest_first(folder)), default=0)


def outcome(process: BaseProcess, folder: Path) -> list[Any]:
    """Wait for a training that nobody kills: its weights, losses, curve and messages."""
    process.join(PATIENCE_SECONDS)
    process.kill()
    process.join()
    assert process.exitcode == 0, f"a training that nobody killed ended with {process.exitcode}"
    found: list[Any] = json.loads((folder / END).read_text())
    return found


def besiege(kills: int, seed: int, recipe: FineTuning, top: Path) -> list[str]:
    """Kill so many, print a line each, and list all that is wrong."""
    context: ForkServerContext = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([MODULE])
    drawn = legal_texts("licence-texts")
    texts = drawn.take(random.Random(0).sample(range(len(drawn)), TEXTS * 5 // 4))

    def start(folder: Path) -> BaseProcess:
        folder.mkdir(exist_ok=True)
        process = context.Process(target=train, args=(folder, recipe, texts))
        process.start()
        return process

    began = time.monotonic()
    wanted = outcome(start(top / "whole"), top / "whole")
    steps = len(wanted[1])
    say(f"never killed: {steps} steps, {time.monotonic() - began:.0f} s, weights {wanted[0][:16]}")
    say(f"{'kill':>4}  {'training':>8}  {'doing':<8}  {'checkpoint':>10}  {'half written':>12}")
    chance, wrong, done, number = random.Random(seed), [], 0, 0
    while done < kills:
        number += 1
        folder = top / f"{number}"
        while done < kills and (one := kill(start(folder), folder, number, chance)):
            done += 1
            half = f"{one.unfinished_bytes / 1e6:.1f} MB" if one.unfinished_bytes else "-"
            say(f"{done:>4}  {number:>8}  {one.doing:<8}  {one.checkpoint:>10}  {half:>12}")
        found = outcome(start(folder), folder)
        same = ["weights", "losses", "curve"]
        wrong += [
            f"training {number}: other {what}"
            for what, one, other in zip(same, found[:3], wanted[:3], strict=True)
            if one != other
        ]
        if (folder / SET_ASIDE).exists():
            wrong.append(f"training {number}: an unsound checkpoint had a name")
        say(f"training {number} ended: weights {found[0][:16]}; {' '.join(found[3])}")
    say(f"{done} kills, {number} trainings, {time.monotonic() - began:.0f} s")
    return wrong


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Kill as the command line says, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--method", default="full", choices=["full", "head", "lora"])
    asked = parser.parse_args()
    recipe = FineTuning(asked.method, epochs=EPOCHS, batch=BATCH, sequence_length=32, dropout=0.1)
    with tempfile.TemporaryDirectory() as top:
        wrong = besiege(asked.kills, asked.seed, recipe, Path(top))
    for fault in wrong:
        say(f"FAULT: {fault}")
    say(f"{len(wrong) or 'no'} faults")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
