"""Hugging Face's Trainer, configured: all its settings are in `arguments`."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from enterprise_lab.evaluation.curves import Point
from enterprise_lab.evaluation.metrics import macro_f1
from enterprise_lab.training.finetuning.batching import Batches
from enterprise_lab.training.finetuning.checkpoints import Checkpoints
from enterprise_lab.training.finetuning.classifier import (
    TextClassifier,
    put_trained,
    trained_weights,
)
from enterprise_lab.training.finetuning.examples import Batch, Examples, as_it_is
from enterprise_lab.training.finetuning.ledger import Ledger
from enterprise_lab.training.finetuning.recipe import FineTuning
from enterprise_lab.training.finetuning.resuming import ResumingTrainer

_LEDGER, _BEST = "ledger.json", "best.safetensors"
_SOON = 10**9
Labels = NDArray[np.int64]


def arguments(
    recipe: FineTuning, kind: str, steps_an_epoch: int, save_every: int
) -> transformers.TrainingArguments:
    """Return every setting of the Trainer that isn't its default."""
    made = transformers.TrainingArguments(
        output_dir=tempfile.gettempdir(),  # made at once, though `Checkpoints` says where to write
        # The job. The batch is cut by `Batches`, the rates of the two groups are in the optimizer.
        num_train_epochs=recipe.epochs,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="linear",
        warmup_steps=int(recipe.warmup_share * recipe.epochs * steps_an_epoch),
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        seed=recipe.seed,
        # The device and what it computes in.
        use_cpu=kind == "cpu",
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        dataloader_pin_memory=kind == "cuda",
        # By steps, so that an epoch's evaluation comes before the checkpoint after its last step.
        eval_strategy="steps",
        eval_steps=steps_an_epoch,
        save_strategy="steps" if save_every else "no",
        save_steps=save_every or _SOON,
        # Nothing printed, nothing sent anywhere; losses are kept in the ledger, not waited for.
        logging_strategy="no",
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
    )
    made._n_gpu = min(made.n_gpu, 1)  # or several would share the batches
    return made


class FineTuner(ResumingTrainer):
    """The Trainer with this lab's batches, loss, rates, evaluation and checkpoints.

    A checkpoint holds the trained weights, the best ones where they are kept, and the ledger,
    beside what the Trainer writes (optimizer, schedule, random numbers, its own state).
    """

    def __init__(
        self,
        classifier: TextClassifier,
        train: Examples,
        validation: Examples,
        *,
        checkpoints: Checkpoints,
        save_every: int,
        say: Callable[[str], None],
    ) -> None:
        recipe, kind = classifier.recipe, classifier.kind
        self.recipe, self.classifier, self.validation = recipe, classifier, validation
        self.batches = Batches(train.lengths, train.labels, recipe)
        self.ledger = Ledger()
        self.clock = StepClock(kind)
        self.best: dict[str, torch.Tensor] = {}
        self._parts: list[torch.Tensor] = []
        self._losses: list[torch.Tensor] = []
        self._class_weights = _class_weights(train.labels, len(classifier.classes), recipe, kind)
        self._train = train
        super().__init__(
            classifier.network,
            arguments(recipe, kind, self.batches.steps, save_every),
            train_dataset=train,
            eval_dataset=validation,
            compute_loss_func=self._loss,
            callbacks=[_Moments(self)],
            checkpoints=checkpoints,
            say=say,
        )
        self.remove_callback(transformers.PrinterCallback)

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the epoch's micro-batches; the random numbers of the training aren't touched."""
        return DataLoader(
            self._train,
            batch_sampler=self.batches,
            collate_fn=as_it_is,
            pin_memory=self.args.dataloader_pin_memory,
            generator=torch.Generator(),
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:  # noqa: ARG002
        """Return AdamW with a rate for the head and one for the rest; biases don't decay."""
        if self.optimizer is None:
            network = self.classifier.network
            decaying = set(self.get_decay_parameter_names(network))
            kind, options = self.get_optimizer_cls_and_kwargs(self.args)
            groups: dict[tuple[bool, bool], list[torch.Tensor]] = {}
            for name, weight in network.trained().items():
                key = name.startswith("head."), name in decaying
                groups.setdefault(key, []).append(weight)
            self.optimizer = kind(
                [
                    {
                        "params": weights,
                        "lr": self.recipe.head_learning_rate if head else self.args.learning_rate,
                        "weight_decay": self.args.weight_decay if decays else 0.0,
                    }
                    for (head, decays), weights in groups.items()
                ],
                **options,
            )
        return self.optimizer

    def _loss(
        self, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: int
    ) -> torch.Tensor:
        """Return a micro-batch's share of the mean loss of all the texts of its step.

        Weighted where classes are; what is kept is the plain mean, as validation losses are.
        """
        plain = cross_entropy(logits, labels, reduction="sum") / num_items_in_batch
        self._parts.append(plain.detach())
        if self._class_weights is None:
            return plain
        weighted = cross_entropy(logits, labels, weight=self._class_weights, reduction="sum")
        return weighted / num_items_in_batch

    def _get_num_items_in_batch(self, batch_samples: list[Batch], device: Any) -> int:  # noqa: ARG002
        """Count the texts of a step on the processor, so that no GPU is waited for."""
        return sum(len(batch["labels"]) for batch in batch_samples)

    def _prepare_inputs(self, inputs: Batch) -> Batch:
        """Send a micro-batch to the device, which fetches it while the processor goes on."""
        return {name: one.to(self.args.device, non_blocking=True) for name, one in inputs.items()}

    def end_step(self) -> None:
        """Note that a step is done, without waiting for a GPU."""
        self._losses.append(torch.stack(self._parts).sum())
        self._parts = []
        self.clock.end()

    @property
    def last_loss(self) -> float:
        """The mean loss of a text in the last step; a GPU is waited for."""
        return float(self._losses[-1])

    def settle(self) -> None:
        """Put the losses and seconds that are still on the device into the ledger."""
        if self._losses:
            self.ledger.losses += torch.stack(self._losses).tolist()
        self._losses = []
        self.ledger.seconds += self.clock.read()

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Add a point to the curve, keep the weights if they are the best so far."""
        self.settle()
        labels = self.validation.labels
        logits = self._validation_logits()
        steps = self.batches.steps
        point = Point(
            epoch=self.state.global_step / steps,
            training_loss=float(np.mean(self.ledger.losses[-steps:])),
            validation_loss=float(
                cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
            ),
            validation_macro_f1=macro_f1(labels, logits.argmax(axis=1)),
        )
        self.ledger.points.append(point)
        if self.recipe.patience and self.ledger.best == len(self.ledger.points) - 1:
            self.best = trained_weights(self.classifier.network)
        self.control.should_training_stop |= self.ledger.is_over(self.recipe.patience)
        metrics = {
            "eval_loss": point.validation_loss,
            "eval_macro_f1": point.validation_macro_f1,
        }
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _validation_logits(self) -> NDArray[np.float32]:
        if self.validation.vectors is None:
            return self.classifier.logits_of(self.validation.ids)
        with torch.no_grad():
            vectors = torch.from_numpy(self.validation.vectors).to(self.classifier.kind)
            logits: NDArray[np.float32] = self.classifier.network(vectors=vectors).cpu().numpy()
        return logits

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:  # noqa: ARG002
        """Write the trained weights, the best of them, and the ledger."""
        self.settle()
        folder = Path(str(output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = trained_weights(self.classifier.network)
        save_file(weights, folder / transformers.utils.SAFE_WEIGHTS_NAME)
        if self.best:
            save_file(self.best, folder / _BEST)
        self.ledger.write(folder / _LEDGER)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:  # noqa: ARG002
        """Read what `_save` wrote."""
        folder = Path(resume_from_checkpoint)
        weights = load_file(folder / transformers.utils.SAFE_WEIGHTS_NAME)
        put_trained(self.classifier.network, weights)
        self.ledger = Ledger.read(folder / _LEDGER)
        if (folder / _BEST).is_file():
            self.best = load_file(folder / _BEST)

    def finish(self) -> None:
        """Leave the weights to be kept, in eval mode, and nothing that the Trainer put around."""
        self.settle()
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        if self.best:
            put_trained(self.classifier.network, self.best)
        self.classifier.network.eval()


class StepClock:
    """Takes the seconds of steps: from the end of one, or `begin`, to the end of the next.

    On a GPU those are its own, though nothing waits for it before they are read.
    """

    def __init__(self, kind: str) -> None:
        self._cuda = kind == "cuda"
        self._spans: list[tuple[Any, Any]] = []
        self.begin()

    def begin(self) -> None:
        """Count what was before, such as an evaluation, in no step."""
        self._since = self._now()

    def end(self) -> None:
        """Note that a step was done, or was given to the GPU."""
        now = self._now()
        self._spans.append((self._since, now))
        self._since = now

    def read(self) -> list[float]:
        """Return the seconds of each step since they were last read."""
        spans, self._spans = self._spans, []
        if self._cuda and spans:
            spans[-1][1].synchronize()
            return [since.elapsed_time(until) / 1000 for since, until in spans]
        return [until - since for since, until in spans]

    def _now(self) -> Any:
        if not self._cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


class _Moments(transformers.TrainerCallback):
    """Tells the batches which epoch it is and the tuner of steps, and has the end saved."""

    def __init__(self, tuner: FineTuner) -> None:
        self.tuner = tuner

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.tuner.batches.epoch = state.global_step // self.tuner.batches.steps
        self.tuner.clock.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.tuner.end_step()

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.tuner.clock.begin()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.tuner.clock.begin()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        # After an early stop the Trainer saves nothing, and the last steps would be trained again.
        control.should_save |= control.should_training_stop and args.save_strategy != "no"


def _class_weights(
    labels: Labels, classes: int, recipe: FineTuning, kind: str
) -> torch.Tensor | None:
    """Return n / (classes present x texts of the class), whose mean over the texts is 1."""
    if not recipe.class_weights:
        return None
    counts = np.bincount(labels, minlength=classes)
    present = np.count_nonzero(counts)
    weights = np.divide(len(labels), present * counts, out=np.ones(classes), where=counts > 0)
    return torch.tensor(weights, dtype=torch.float32, device=kind)
