"""Peaks of memory: of the processor here, of accelerators through stand-ins."""

from __future__ import annotations

import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from enterprise_lab.errors import InvalidValueError, LabError
from enterprise_lab.measure import memory
from enterprise_lab.measure.memory import PeakMemory

SIZE = 64 * 2**20


def work(copies: int) -> None:
    arrays = [np.ones(SIZE // 8) for _ in range(copies)]
    assert all(one[0] == 1 for one in arrays)


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("copies", [1, 3])
def test_the_growth_is_what_was_held_at_once(monkeypatch, marked, copies):
    looked = []
    if not marked:
        monkeypatch.setattr(memory, "_forget_peak", lambda: False)
        monkeypatch.setattr(memory, "_resident", lambda: looked[-1] if looked else 10**9)
    elif not memory._forget_peak():
        pytest.skip("this system keeps no mark of a process's peak")
    for _ in range(2):
        with PeakMemory("cpu") as peak:
            if marked:
                work(copies)
            else:
                before = peak._before
                looked.append(before + copies * SIZE)
                peak._look()
                looked.append(before)
        assert peak.bytes == pytest.approx(copies * SIZE, rel=0.1)


def test_nothing_done_is_no_growth():
    with PeakMemory() as peak:
        pass
    assert 0 <= peak.bytes < SIZE / 10


class FakeCuda:
    def __init__(self) -> None:
        self.peak, self.waited = 500, 0

    def is_initialized(self) -> bool:
        return True

    def synchronize(self) -> None:
        self.waited += 1

    def reset_peak_memory_stats(self) -> None:
        self.peak = 100

    def max_memory_allocated(self) -> int:
        return self.peak


def test_a_gpus_peak_is_its_allocators(monkeypatch):
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    use_jax(monkeypatch, "gpu")
    with PeakMemory("cuda") as peak:
        assert cuda.peak == 100
        waited = cuda.waited
        cuda.peak = 300
    assert peak.bytes == 300 - 100
    assert cuda.waited > waited > 0


def test_garbage_from_before_is_gone_when_a_gpu_is_looked_at(monkeypatch):
    held = []
    cuda = FakeCuda()
    monkeypatch.setattr(cuda, "reset_peak_memory_stats", lambda: held.append(alive()))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    circle = Circle()
    circle.itself, alive = circle, weakref.ref(circle)
    del circle
    with PeakMemory("cuda"):
        pass
    assert held == [None]


class Circle:
    """Refers to itself, as trainers do through their callbacks."""


def use_jax(monkeypatch, platform, begun=True):
    def devices():
        assert begun, "JAX was made to look for devices"
        return [SimpleNamespace(platform=platform, memory_stats=lambda: {"peak_bytes_in_use": 7})]

    bridge = SimpleNamespace(backends_are_initialized=lambda: begun)
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(local_devices=devices))
    monkeypatch.setitem(sys.modules, "jax._src.xla_bridge", bridge)


@pytest.mark.parametrize(
    ("platform", "kind", "begun", "held"),
    [("tpu", "tpu", True, 7), ("gpu", "cuda", True, 7), ("cpu", "cuda", True, 0),
     ("gpu", "cuda", False, 0)],
)  # fmt: skip
def test_jax_is_asked_for_the_peak_of_its_accelerator(monkeypatch, platform, kind, begun, held):
    use_jax(monkeypatch, platform, begun)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with PeakMemory(kind) as peak:
        pass
    assert peak.bytes == held


def test_a_gpu_that_pytorch_left_alone_was_jaxs(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=FakeCuda()))
    use_jax(monkeypatch, "gpu")
    with PeakMemory("cuda") as peak:
        pass
    assert peak.bytes == 7


def test_jax_says_whether_it_has_begun():
    assert memory._jax_has_begun() in (True, False)
    __import__("jax").devices()
    assert memory._jax_has_begun() is True


def test_one_inside_another_does_not_spoil_it(monkeypatch):
    cuda = FakeCuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with PeakMemory() as outer, PeakMemory("cuda") as outer_gpu:
        work(3)
        cuda.peak = 300
        with PeakMemory() as inner, PeakMemory("cuda") as inner_gpu:
            work(1)
            cuda.peak = 200
    assert outer.bytes == pytest.approx(3 * SIZE, rel=0.1)
    assert inner.bytes == pytest.approx(SIZE, rel=0.1)
    assert (outer_gpu.bytes, inner_gpu.bytes) == (300 - 100, 200 - 100)


def broken() -> int:
    raise OSError("the driver is gone")


def test_a_peak_that_cant_be_read_hides_neither_result_nor_error(monkeypatch):
    with PeakMemory() as peak:
        monkeypatch.setattr(peak, "_peak", broken)
        result = 42
    assert result == 42
    with pytest.raises(LabError, match="could not be read"):
        assert peak.bytes
    peak = PeakMemory()
    with pytest.raises(KeyError), peak:
        {}[monkeypatch.setattr(peak, "_peak", broken)]
    with PeakMemory() as peak:
        pass
    assert peak.bytes >= 0


def test_an_unknown_kind_is_refused():
    with pytest.raises(InvalidValueError, match="kind must be one of cpu"):
        PeakMemory("gpu")


def test_work_that_fails_is_looked_at_too():
    peak = PeakMemory()
    with pytest.raises(KeyError), peak:
        {}[work(1)]
    assert peak.bytes > 0.9 * SIZE
