"""Runs to a target, and sweeps, with a trainer that only pretends and with a real one."""

from types import SimpleNamespace

import numpy as np
import pytest

from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.measure.records import Origin
from enterprise_lab.training import figures
from enterprise_lab.training.recipe import Recipe
from enterprise_lab.training.run import train
from enterprise_lab.training.small_cnn import SmallCNN
from enterprise_lab.training.sweep import Skipped, step_seconds, sweep
from enterprise_lab.training.trainer import trainer

SAMPLES = 130


class Pretender:
    """A trainer that notes what it is asked, and gets better by a tenth an epoch."""

    framework, kind, device = "PyTorch", "cuda", "a pretended GPU"
    versions = {"torch": "0"}  # noqa: RUF012

    def __init__(self, network=None, recipe=None):
        self.network, self.recipe = network or SmallCNN(), recipe or Recipe()
        self.asked = []
        self.right = 0.6

    def put(self, images, labels):
        self.asked.append("put")
        assert len(images) == len(labels) == self.recipe.batch
        return images, labels

    def step(self, batch):  # noqa: ARG002
        self.asked.append("step")
        return np.float32(1.5)

    def finish(self):
        self.asked.append("finish")

    def accuracy(self, images, labels):  # noqa: ARG002
        self.right += 0.1
        return self.right

    def weights(self):
        return {}


@pytest.fixture
def pictures():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=2 * SAMPLES)
    images = rng.random((2 * SAMPLES, 1, 8, 8), dtype=np.float32) / 2
    images += labels[:, None, None, None].astype(np.float32) / 8
    return SimpleNamespace(
        train_images=images[:SAMPLES], train_labels=labels[:SAMPLES],
        test_images=images[SAMPLES:], test_labels=labels[SAMPLES:],
    )  # fmt: skip


def test_a_run_ends_with_the_epoch_that_reaches_the_target(pictures):
    told = []
    run = train(Pretender(), pictures, target_accuracy=0.85, max_epochs=9, progress=told.append)
    assert tuple(told) == run.curve
    assert [epoch.number for epoch in run.curve] == [1, 2, 3]
    assert [epoch.accuracy for epoch in run.curve] == pytest.approx([0.7, 0.8, 0.9])
    assert {epoch.loss for epoch in run.curve} == {1.5}
    assert run.steps == 3 * (SAMPLES // 64)
    assert run.seconds_to_target == run.seconds == run.curve[-1].seconds
    assert 0 < run.first_step_seconds < run.curve[0].seconds < run.curve[1].seconds
    later = run.seconds - run.first_step_seconds
    assert run.samples_per_second == pytest.approx((run.steps - 1) * 64 / later)


def test_a_target_that_is_not_reached_has_no_seconds(pictures):
    run = train(Pretender(), pictures, target_accuracy=1.0, max_epochs=2)
    assert not run.reached
    assert run.seconds_to_target is None
    assert len(run.curve) == 2


def test_the_device_is_waited_for_after_the_first_step_and_each_epoch_only(pictures):
    one = Pretender()
    train(one, pictures, target_accuracy=1.0, max_epochs=2)
    first, other = ["put", "step"], ["put", "step"]
    assert one.asked == [*first, "finish", *other, "finish", *first, *other, "finish"]


@pytest.mark.parametrize("bad", [{"target_accuracy": 95}, {"max_epochs": 0}])
def test_a_run_that_cant_be_is_refused(bad, pictures):
    asked = {"target_accuracy": 0.9, "max_epochs": 2} | bad
    with pytest.raises(InvalidValueError):
        train(Pretender(), pictures, **asked)


def changed(pictures, **new):
    return SimpleNamespace(**(vars(pictures) | new))


BAD = {
    "labels beyond": lambda p: {"train_labels": p.train_labels + 9},
    "labels below": lambda p: {"test_labels": p.test_labels - 1},
    "channels": lambda p: {"train_images": np.repeat(p.train_images, 3, axis=1)},
    "size": lambda p: {"test_images": p.test_images[..., :6, :6]},
    "no tests": lambda p: {"test_images": p.test_images[:0], "test_labels": p.test_labels[:0]},
    "no training": lambda p: {"train_images": p.train_images[:0],
                              "train_labels": p.train_labels[:0]},
    "too few labels": lambda p: {"train_labels": p.train_labels[:-1]},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_images_that_arent_for_the_network_are_refused_before_a_step(name, pictures):
    one = Pretender()
    with pytest.raises(LabError):
        train(one, changed(pictures, **BAD[name](pictures)), target_accuracy=1, max_epochs=1)
    assert one.asked == []


@pytest.mark.parametrize("target", [0.0, 1.0])
@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_training_that_diverges_ends_in_doubt(loss, target, pictures):
    one, losses = Pretender(), iter([1.0, 1.0, 1.0, loss])
    one.step = lambda batch: np.float32(next(losses))  # noqa: ARG005
    one.accuracy = lambda images, labels: 0.5 if target else 0.0  # noqa: ARG005
    pictures = changed(pictures) if target else changed(
        pictures, train_images=np.tile(pictures.train_images, (2, 1, 1, 1)),
        train_labels=np.tile(pictures.train_labels, 2),
    )  # fmt: skip
    run = train(one, pictures, target_accuracy=target, max_epochs=9)
    assert (run.reached, run.seconds_to_target) == (False, None)
    assert len(run.curve) == (2 if target else 1)
    assert f"diverged in epoch {len(run.curve)}" in run.doubt
    assert {r.doubt for r in figures.of_run(one, run, source="a test")} == {run.doubt}


@pytest.mark.parametrize("framework", ["PyTorch", "JAX"])
def test_a_real_run_that_learns_too_fast_diverges(framework, pictures):
    made = trainer(framework, SmallCNN(width=8), Recipe(batch=26, learning_rate=1e20))
    run = train(made, pictures, target_accuracy=0.0, max_epochs=20)
    assert "diverged" in run.doubt
    assert not run.reached


def test_a_momentum_of_one_is_refused():
    with pytest.raises(InvalidValueError, match="momentum"):
        Recipe(momentum=1)


def test_a_run_of_one_step_has_no_rate(pictures):
    run = train(Pretender(recipe=Recipe(batch=SAMPLES)), pictures, target_accuracy=0, max_epochs=1)
    assert run.samples_per_second is None
    assert figures.SAMPLES_PER_SECOND not in {
        one.metric for one in figures.of_run(Pretender(), run, source="a test")
    }


@pytest.mark.parametrize("framework", ["PyTorch", "JAX"])
def test_a_real_run_learns(framework, pictures):
    made = trainer(framework, SmallCNN(width=8, classes=2), Recipe(batch=26))
    run = train(made, pictures, target_accuracy=1.0, max_epochs=20)
    assert run.reached
    assert len(run.curve) > 1
    assert run.curve[-1].loss < run.curve[0].loss
    records = {one.metric: one for one in figures.of_run(made, run, source="a test")}
    assert records["seconds_to_target"].value == run.seconds
    assert records["accuracy"].parameters["framework"] == framework
    assert {one.origin for one in records.values()} == {Origin.MEASURED}


def test_a_step_is_queued_on_an_accelerator_and_its_first_apart():
    one = Pretender()
    taken = step_seconds(one, 64, 1e-3)
    assert one.asked[:3] == ["put", "step", "finish"]
    assert one.asked.count("put") == 1
    assert one.asked.count("step") > one.asked.count("finish") - 6
    assert taken.first > 0


def test_a_sweep_records_what_runs_and_says_what_it_skips():
    told = []
    found = sweep(
        SmallCNN(width=4), Recipe(), (1, 4), ("fp32", "tf32"), ("PyTorch",), "cpu", 0.02,
        progress=lambda what, share: told.append((what, share)),
    )  # fmt: skip
    steps = [one for one in found.records if one.metric == "step_seconds"]
    assert [one.parameters["batch"] for one in steps] == [1, 4]
    assert {one.lab for one in found.records} == {"02_hardware_comparison"}
    assert len(found.records) == 4
    assert {(one.precision, one.batch) for one in found.skipped} == {("tf32", 1), ("tf32", 4)}
    assert "has no tf32" in found.skipped[0].reason
    assert told[0] == ("PyTorch, fp32, batches of 1", 0.0)
    assert told[-1] == ("done", 1.0)


@pytest.mark.parametrize(
    "words",
    ["CUDA out of memory. Tried to allocate 3 EiB.",
     "RESOURCE_EXHAUSTED: Out of memory",
     "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
     "[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."],
)  # fmt: skip
def test_a_sweep_goes_on_where_memory_runs_out(monkeypatch, words):
    def forgetful(framework, network, recipe, *, device):  # noqa: ARG001
        made = Pretender(network, recipe)
        if recipe.batch > 64:
            raise RuntimeError(words)
        return made

    monkeypatch.setattr("enterprise_lab.training.sweep.trainer", forgetful)
    found = sweep(SmallCNN(), Recipe(), (128, 64), ("fp32",), ("PyTorch",), "cuda", 1e-3)
    assert found.skipped == (Skipped("PyTorch", "fp32", 128, "there is not enough memory."),)
    assert found.records[0].device == "a pretended GPU"


def test_a_sweep_hides_no_other_error(monkeypatch):
    def broken(framework, network, recipe, *, device):  # noqa: ARG001
        raise RuntimeError("illegal memory access")

    monkeypatch.setattr("enterprise_lab.training.sweep.trainer", broken)
    with pytest.raises(RuntimeError, match="illegal"):
        sweep(SmallCNN(), Recipe(), (64,), ("fp32",), ("PyTorch",), "cuda", 1e-3)


def test_a_sweep_of_a_device_that_isnt_here_skips_it_all():
    found = sweep(SmallCNN(), Recipe(), (1,), ("fp32",), ("PyTorch", "JAX"), "tpu", 1e-3)
    assert not found.records
    assert len(found.skipped) == 2


@pytest.mark.parametrize(
    "bad",
    [{"budget_seconds": 0}, {"budget_seconds": -1}, {"frameworks": ("Keras",)}, {"device": "gpu"},
     {"frameworks": "JAX"}, {"precisions": "fp32"}, {"precisions": ("fp8",)}, {"batches": 64},
     {"batches": (0,)}],
    ids=str,
)  # fmt: skip
def test_a_sweep_that_was_asked_for_wrongly_is_refused(bad, monkeypatch):
    monkeypatch.delattr("enterprise_lab.training.sweep._cell")
    asked = {
        "batches": (1,), "precisions": ("fp32",), "frameworks": ("PyTorch",), "device": "cpu",
        "budget_seconds": 1e-3,
    }  # fmt: skip
    with pytest.raises(InvalidValueError):
        sweep(SmallCNN(width=4), Recipe(), **(asked | bad))


def test_a_step_needs_time():
    with pytest.raises(LabError):
        step_seconds(Pretender(), 64, 0)


@pytest.mark.parametrize(("kind", "others", "doubted"), [("cpu", 0.5, True), ("cpu", 0.05, False),
                                                         ("cuda", 0.5, False)])  # fmt: skip
def test_a_run_on_a_busy_processor_is_in_doubt(kind, others, doubted, pictures, monkeypatch):
    share = SimpleNamespace(share=lambda seconds: others)  # noqa: ARG005
    monkeypatch.setattr("enterprise_lab.training.run.OtherProcesses", lambda: share)
    one = Pretender()
    one.kind = kind
    run = train(one, pictures, target_accuracy=0.85, max_epochs=9)
    assert ("50%" in run.doubt) is doubted
    doubts = {r.doubt for r in figures.of_run(one, run, source="a test")}
    assert doubts == {run.doubt}
