"""Devices and the matrix rate."""

import pytest

from enterprise_lab.errors import LabError
from enterprise_lab.measure.devices import machine, resident_memory
from enterprise_lab.measure.matmul import matmul_rate


def test_matmul_rate_is_flops_over_median():
    found = matmul_rate(64, 32, 16, budget_seconds=0.01)
    assert found.flops_per_second == pytest.approx(2 * 64 * 32 * 16 / found.measurement.value)
    with pytest.raises(LabError):
        matmul_rate(0, 1, 1)


def test_the_machine_is_described(tmp_path):
    found = machine(tmp_path)
    assert found.cpu
    assert found.cores >= 1
    assert 0 < found.free_memory_bytes <= found.memory_bytes
    assert found.free_disk_bytes > 0
    assert found.gpus or found.gpu_note
    assert 1e6 < resident_memory().value < found.memory_bytes
