"""Peaks of memory: of the processor here, of accelerators through stand-ins."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

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
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    with PeakMemory("cuda") as peak:
        assert cuda.peak == 100
        cuda.peak = 300
    assert peak.bytes == 300
    assert cuda.waited == 2


@pytest.mark.parametrize(("platform", "kind", "held"), [("tpu", "tpu", 7), ("cpu", "cuda", 0)])
def test_jax_is_asked_for_the_peak_of_its_accelerator(monkeypatch, platform, kind, held):
    chip = SimpleNamespace(platform=platform, memory_stats=lambda: {"peak_bytes_in_use": 7})
    monkeypatch.setitem(sys.modules, "jax", SimpleNamespace(local_devices=lambda: [chip]))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    with PeakMemory(kind) as peak:
        pass
    assert peak.bytes == held


def test_work_that_fails_is_looked_at_too():
    peak = PeakMemory()
    with pytest.raises(KeyError), peak:
        {}[work(1)]
    assert peak.bytes > 0.9 * SIZE
