"""Rates: how they are counted, and what is asked of each library."""

import numpy as np
import pytest
import torch

from enterprise_lab.measure import rates, timing
from enterprise_lab.measure.devices import machine
from enterprise_lab.measure.jax_library import Jax
from enterprise_lab.measure.libraries import NumPy, Torch, libraries, processor_name
from enterprise_lab.measure.records import Origin, Record


class Clockwork:
    """A library that takes a known time for everything, on a clock of its own."""

    name = "clockwork"
    processor = "cpu"
    device = "a clock"
    precisions = ("fp32", "bf16")
    versions = {"python": "3"}  # noqa: RUF012
    label = "clockwork"

    def __init__(self, now=0.0):
        self.now = now
        self.edges = []

    def perf_counter(self):
        return self.now

    def takes(self, seconds):
        def work():
            self.now += seconds

        return work

    def product(self, edge, precision):
        self.edges.append(edge)
        return self.takes(edge**3 * {"fp32": 1e-10, "bf16": 0.5e-10}[precision])

    def copy(self, size_bytes):
        return self.takes(size_bytes * 1e-11)

    def small(self):
        return self.takes(3e-6)

    def finish(self):
        self.now += 1e-12


@pytest.fixture
def clockwork(monkeypatch):
    library = Clockwork()
    for module in (rates, timing):
        monkeypatch.setattr(module, "time", library)
    return library


def measured(library, seconds=0.05):
    return [one for part in rates.run(rates.tasks([library]), seconds) for one in part]


def test_rates_are_those_of_the_library(clockwork):
    for one in measured(clockwork, 1.0):
        match one.metric, one.parameters.get("precision"):
            case rates.MATMUL, "fp32":
                assert one.value == pytest.approx(2e10, rel=1e-4)  # 2 FLOPs a multiply-add
            case rates.MATMUL, "bf16":
                assert one.value == pytest.approx(4e10, rel=1e-4)
            case rates.COPY, _:
                assert one.value == pytest.approx(2e11, rel=1e-4)  # a byte read and one written
            case metric, _:
                assert metric == rates.SMALL_OPERATION
                assert one.value == pytest.approx(3e-6, rel=1e-4)


def test_a_rate_reaches_up_to_the_best_sample(clockwork):
    """One product in eight is twice as quick: more than the median, less than a quartile."""
    calls = iter(range(10**9))
    clockwork.product = lambda edge, _precision: (
        lambda: setattr(
            clockwork, "now", clockwork.now + edge**3 * (5e-11 if next(calls) % 8 == 3 else 1e-10)
        )
    )
    for one in measured(clockwork, 5.0):
        if one.metric == rates.MATMUL and one.parameters["rows"] <= 256:
            assert one.value == pytest.approx(2e10, rel=1e-3)
            assert one.high == rates.best_of(one) == pytest.approx(4e10, rel=1e-3)


def products(edges, processor="cpu", **parameters):
    """Make records of products: for each edge the usual rate and the best."""
    return [
        Record(lab="", metric=rates.MATMUL, value=usual, high=best, unit="FLOP/s",
               origin=Origin.MEASURED, parameters={"library": "NumPy", "precision": "fp32",
               "processor": processor, "rows": edge, **parameters})
        for edge, (usual, best) in edges.items()
    ]  # fmt: skip


QUIET = {256: (1.7e11, 1.9e11), 512: (1.9e11, 1.9e11), 2048: (2e11, 2.1e11)}
BUSY = {256: (1.8e11, 1.9e11), 512: (9.6e9, 1.88e11)}
"""Seen on two cores while another process used one of them."""


@pytest.mark.parametrize(
    ("found", "busy"),
    [
        (products(QUIET), False),
        (products(BUSY), True),
        (products(QUIET) + products(BUSY, precision="bf16"), True),
        (products(QUIET) + products(BUSY, library="PyTorch"), True),
        (products(QUIET) + products(QUIET | {4096: (2e12, 2e12)}, precision="bf16"), False),
        (products({128: (2e10, 3e10), 512: (1e11, 1e11), 2048: (2e11, 2e11)}), False),
        (products({128: (4.2e7, 5.5e7), 256: (3.4e8, 4.3e8), 512: (1.7e9, 1.9e9)}), True),
        (products(QUIET) + products(BUSY, processor="cuda"), False),
        (products({2048: (1e11, 2e11)}), True),
        ([], False),
    ],
)
def test_a_machine_is_busy_where_large_products_wait_for_what_the_best_ones_get(found, busy):
    assert rates.disturbed(found) is busy


def test_an_undisturbed_machine_is_quiet(clockwork):
    assert not rates.disturbed(measured(clockwork, 2.0))


@pytest.mark.parametrize(("seconds", "largest"), [(0.01, 512), (5.0, 1024), (40.0, 2048)])
def test_matrices_grow_while_the_time_lasts(clockwork, seconds, largest):
    measured(clockwork, seconds)
    assert max(clockwork.edges) == largest


@pytest.mark.parametrize("seconds", [2.0, 20.0, 200.0])
def test_the_budget_is_kept(clockwork, seconds):
    measured(clockwork, seconds)
    assert 0.3 * seconds < clockwork.now < 1.05 * seconds


def test_records_say_what_was_measured(clockwork):
    one = measured(clockwork)[0]
    assert (one.origin, one.unit, one.device) == ("measured", "FLOP/s", "a clock")
    assert one.parameters["precision"] == "fp32"
    assert one.parameters["rows"] == one.parameters["inner"] == one.parameters["columns"]
    assert one.low <= one.value <= one.high
    assert rates.describe(one) == "fp32 matmul, 128"


def test_a_processor_is_measured_with_numpy_and_with_torch_in_two_precisions():
    torch_first, numpy_last = libraries()[-2:]
    assert torch_first.precisions == ("fp32", "bf16")
    assert numpy_last.precisions == ("fp32",)
    assert torch_first.finish is numpy_last.finish is None
    assert torch_first.device == numpy_last.device == processor_name(machine())


def test_without_torch_numpy_is_all_there_is(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert [one.name for one in libraries()] == ["NumPy"]


@pytest.mark.parametrize(
    "library", [NumPy(machine()), Torch("cpu", machine()), Jax("cpu")], ids=lambda one: one.name
)
def test_every_figure_of_a_library_is_above_zero(library):
    found = measured(library)
    assert all(one.value > 0 and np.isfinite(one.value) for one in found)
    assert {one.parameters.get("precision") for one in found} == {None, *library.precisions}
    assert {one.device for one in found} == {library.device}


def test_copies_copy_all_of_it(monkeypatch):
    made = []
    zeros = np.zeros_like
    monkeypatch.setattr(np, "zeros_like", lambda like: made.append(zeros(like)) or made[-1])
    NumPy(machine()).copy(4 * 1001)()
    assert made[0].sum() == 1001


def test_torch_keeps_its_precision_setting():
    before = torch.get_float32_matmul_precision()
    Torch("cpu", machine()).product(16, "tf32")()
    assert torch.get_float32_matmul_precision() == before
