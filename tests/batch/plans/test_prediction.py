from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from enterprise_lab import catalog, estimate
from enterprise_lab.batch.attempt import Ended, Identity, Predicted, State, Status
from enterprise_lab.batch.plans.prediction import (
    RUNS_DIFFER,
    START_SECONDS,
    History,
    Place,
    predict_lab,
    predict_workload,
)
from enterprise_lab.errors import LabError
from enterprise_lab.labs import LABS, lab

T4 = catalog.accelerator("T4")
BERT: dict[str, Any] = {
    "model": "bert-base-uncased", "batch_size": 8, "sequence_length": 128, "precision": "fp16",
    "steps": 100,
}  # fmt: skip


@pytest.mark.parametrize("known", LABS, ids=lambda known: known.folder)
@pytest.mark.parametrize("profile", ["smoke", "full"])
def test_a_lab_takes_what_was_measured_of_it(known: Any, profile: str) -> None:
    needs = known.profile(profile)
    said = predict_lab(known, {"profile": profile}, T4)

    assert said.seconds == START_SECONDS + needs.seconds(T4.peak_flops("fp32"))
    assert said.memory_bytes == needs.memory_bytes + 0.12e9
    assert said.low_seconds == said.seconds / RUNS_DIFFER
    assert said.high_seconds == said.seconds * RUNS_DIFFER
    assert known.folder in said.source


def test_a_wider_network_takes_longer_in_what_the_processor_does() -> None:
    second = lab("02_hardware_comparison")
    usual, wide = (second.needs_with({"profile": "full", "width": width}) for width in (32, 128))

    assert usual == second.profile("full")
    assert wide.flops == 2 * usual.flops
    assert wide.fixed_seconds == usual.fixed_seconds


def test_training_is_what_the_estimator_says() -> None:
    said = predict_workload("training", BERT, Place(T4))
    whole = estimate.training(
        catalog.model("bert-base-uncased").shape, sequence_length=128, global_batch=8,
        accelerator=T4, precision="fp16", tokens=100 * 8 * 128,
    )  # fmt: skip

    assert said.seconds == pytest.approx(START_SECONDS + whole.training_seconds.value)
    assert said.low_seconds
    assert said.high_seconds
    assert said.low_seconds < said.seconds < said.high_seconds
    assert said.memory_bytes == whole.memory_bytes_per_device.value
    assert "T4" in said.source


def test_inference_is_what_the_estimator_says() -> None:
    said = predict_workload("inference", BERT, Place(T4))
    batch = estimate.inference(
        catalog.model("bert-base-uncased").shape, accelerator=T4, precision="fp16", batch=8,
        input_length=128,
    )  # fmt: skip

    assert said.seconds == pytest.approx(START_SECONDS + 100 * batch.batch_seconds.value)
    assert said.memory_bytes == batch.memory_bytes_per_device.value


def test_on_a_processor_what_python_holds_is_in_the_same_memory() -> None:
    processor = T4.model_copy(update={"is_processor": True, "name": "a processor"})
    model = estimate.training(
        catalog.model("bert-base-uncased").shape, sequence_length=128, global_batch=8,
        accelerator=processor, precision="fp16",
    )  # fmt: skip

    said = predict_workload("training", BERT, Place(processor))

    assert said.memory_bytes == pytest.approx(model.memory_bytes_per_device.value + 0.52e9)


def test_several_gpus_share_a_batch() -> None:
    alone, shared = (
        predict_workload("training", BERT | {"batch_size": 32}, Place(T4, n)) for n in (1, 4)
    )

    assert alone.memory_bytes
    assert shared.memory_bytes
    assert shared.memory_bytes < alone.memory_bytes


def test_without_steps_or_without_a_device_less_is_said() -> None:
    steps = predict_workload("training", BERT | {"steps": None}, Place(T4))

    assert steps.seconds is None
    assert steps.memory_bytes
    assert predict_workload("training", BERT, Place(None)) == Predicted()


@pytest.mark.parametrize(
    ("change", "told", "mend"),
    [
        ({"batch_size": 1024}, "which has 16 GB", "Use a batch of "),
        ({"model": "gpt2-xl", "sequence_length": 1024}, "which has", "Not even a batch of 1"),
        ({"batch_size": None}, "no parameters that say", "batch_size"),
        ({"model": 3}, "no parameters that say", "model"),
        ({"precision": "bf16"}, "bf16", ""),
        ({"batch_size": "many"}, "a batch must be a whole number", ""),
        ({"steps": 0.5}, "steps must be a whole number", ""),
        ({"precision": 16}, "precision can't be 16", ""),
        ({"sequence_length": "long"}, "sequence_length must be", ""),
    ],
)
def test_what_cannot_be_is_told(change: dict[str, Any], told: str, mend: str) -> None:
    with pytest.raises(LabError) as caught:
        predict_workload("training", BERT | change, Place(T4))

    assert told in caught.value.problem
    assert mend in caught.value.remedy


def test_the_batch_that_is_said_to_fit_fits() -> None:
    with pytest.raises(LabError) as caught:
        predict_workload("training", BERT | {"batch_size": 1024}, Place(T4))
    fitting = int(caught.value.remedy.removeprefix("Use a batch of ").split(",")[0])

    predict_workload("training", BERT | {"batch_size": fitting}, Place(T4))
    with pytest.raises(LabError):
        predict_workload("training", BERT | {"batch_size": 2 * fitting}, Place(T4))


def attempt(seconds: float, state: State = State.SUCCEEDED, **identity: Any) -> Status:
    whole: dict[str, Any] = {
        "notebook": "a.ipynb", "parameters": {"x": 1}, "code": "old", "lock": "", "package": "",
    }  # fmt: skip
    ended = Ended(
        state=state, started=datetime.now(UTC), run_seconds=seconds, host="h", device="d",
        peak_memory_bytes=seconds * 1e6,
    )  # fmt: skip
    return Status(
        run_id="r", attempt=1, runner="one", identity=Identity(**whole | identity), ended=ended
    )


def test_earlier_runs_of_the_same_parameters_go_before_others() -> None:
    history = History([attempt(10), attempt(30), attempt(14), attempt(99, parameters={"x": 2})])

    said = history.predict(attempt(0, code="new").identity)
    assert (said.low_seconds, said.seconds, said.high_seconds) == (10, 14, 30)
    assert said.memory_bytes == 30e6
    assert said.source == "3 earlier runs of the same parameters"

    said = history.predict(attempt(0, parameters={"x": 3}).identity)
    assert (said.low_seconds, said.seconds, said.high_seconds) == (None, 22, None)
    assert said.memory_bytes is None, "a smaller run may hold less than any of these"
    assert "other parameters" in said.source

    said = history.predict(attempt(0, parameters={"x": 2}).identity)
    assert (said.low_seconds, said.seconds, said.high_seconds) == (99 / 1.3, 99, 99 * 1.3)


@pytest.mark.parametrize(
    "other", [attempt(1, State.FAILED), attempt(1, notebook="b.ipynb"), attempt(1, device="L4")]
)
def test_of_failures_other_notebooks_and_other_devices_nothing_is_learnt(other: Status) -> None:
    assert History([other]).predict(attempt(0).identity) == Predicted()


def test_a_run_is_known_again_by_all_but_its_device() -> None:
    history = History([attempt(1, State.FAILED, device="2 x L4")])

    assert history.device(attempt(0, device="2 x GPU").identity) == "2 x L4"
    assert history.device(attempt(0, code="new").identity) is None
