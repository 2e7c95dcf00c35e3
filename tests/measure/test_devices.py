"""Devices: whatever is there or missing is a row, and nothing raises."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.measure import devices as devices_module
from enterprise_lab.measure import processor
from enterprise_lab.measure.devices import Device, devices, machine
from enterprise_lab.measure.sensors import Sensors, sensors

from .fake_nvml import FakeGpu, install

XEON = """processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu sse2 avx2 avx512f avx_vnni avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_int8

processor\t: 1
model name\t: Intel(R) Xeon(R) Platinum 8488C
flags\t\t: fpu
"""
GRAVITON = """processor\t: 0
BogoMIPS\t: 2100.00
Features\t: fp asimd asimdhp asimddp sve i8mm bf16
CPU part\t: 0xd40
"""
APPLE = """machdep.cpu.brand_string: Apple M2
hw.optional.AdvSIMD: 1
hw.optional.arm.FEAT_BF16: 1
hw.optional.arm.FEAT_FP16: 1
hw.optional.arm.FEAT_SME: 0
"""


def of_kind(kind: str) -> list[Device]:
    return [one for one in devices() if one.kind == kind]


@pytest.fixture
def torch(monkeypatch):
    real = pytest.importorskip("torch")
    monkeypatch.setattr(real.version, "cuda", "12.8")
    monkeypatch.setattr(real.cuda, "is_available", lambda: True)
    return real


@pytest.fixture
def fresh():
    processor.processor.cache_clear()
    yield
    processor.processor.cache_clear()


def test_every_kind_has_a_row():
    found = devices()
    assert {one.kind for one in found} == {"cpu", "cuda", "mps", "tpu"}
    for one in found:
        assert one.present or one.note
        assert one.present == ("fp32" in one.precisions)
    (here,) = of_kind("cpu")
    assert 0 < here.free_bytes <= here.memory_bytes
    assert "core" in here.note


@pytest.mark.usefixtures("torch")
def test_gpus_are_listed_with_what_they_run(monkeypatch):
    fake = install(
        monkeypatch,
        FakeGpu(),
        FakeGpu("Tesla T4", "GPU-2", (7, 5), 16 * 10**9, 15 * 10**9),
        FakeGpu("NVIDIA L4", "GPU-3", (8, 9)),
        FakeGpu("NVIDIA A100", "GPU-4", (8, 0)),
        FakeGpu("NVIDIA B200", "GPU-5", (10, 0)),
    )
    h200, t4, l4, a100, b200 = of_kind("cuda")
    assert (h200.name, h200.memory_bytes, h200.free_bytes) == ("NVIDIA H200", 150e9, 149e9)
    assert h200.precisions == ("fp32", "tf32", "fp16", "bf16", "int8", "fp8")
    assert t4.precisions == ("fp32", "fp16", "int8")
    assert l4.precisions == h200.precisions
    assert a100.precisions == ("fp32", "tf32", "fp16", "bf16", "int8")
    assert b200.precisions[-1] == "fp4"
    assert "9.0" in h200.note
    assert "570.1" in h200.note
    assert fake.opened == 0


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(
    ("visible", "names"),
    [
        ("1", ["b"]),
        ("1,0", ["b", "a"]),
        ("GPU-2", ["b"]),
        ("0,7,1", ["a"]),
        ("-1", []),
        ("", []),
        ("GPU-9", []),
    ],
)
def test_only_gpus_that_this_process_may_use_are_there(monkeypatch, visible, names):
    install(monkeypatch, FakeGpu("a", "GPU-1"), FakeGpu("b", "GPU-2"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in machine().gpus] == names
    assert [one.name for one in of_kind("cuda")] == (names or [""])
    assert bool(machine().gpu_note) != bool(names)


def test_a_driver_that_fails_is_a_row(monkeypatch):
    install(monkeypatch, broken="Driver/library version mismatch")
    (row,) = of_kind("cuda")
    assert not row.present
    assert row.note == "no NVIDIA driver (Driver/library version mismatch)"


@pytest.mark.usefixtures("torch")
def test_a_gpu_that_answers_nothing_is_still_a_row(monkeypatch):
    fake = install(monkeypatch, FakeGpu())

    def refuse(*_: object) -> None:
        raise fake.NVMLError("Not Supported")

    for question in ("Name", "MemoryInfo", "CudaComputeCapability"):
        monkeypatch.setattr(fake, f"nvmlDeviceGet{question}", refuse)
    (row,) = of_kind("cuda")
    assert row.present
    assert (row.memory_bytes, row.free_bytes, row.precisions) == (None, None, ("fp32",))


def test_a_gpu_that_pytorch_cannot_use_says_so(monkeypatch, torch):
    install(monkeypatch, FakeGpu())
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "without CUDA" in of_kind("cuda")[0].note
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "can't use it" in of_kind("cuda")[0].note


def test_whatever_a_library_raises_is_a_row(monkeypatch, torch):
    def fail() -> bool:
        raise RuntimeError("a broken installation")

    monkeypatch.setattr(torch.backends.mps, "is_built", fail)
    (row,) = of_kind("mps")
    assert row.note == "RuntimeError: a broken installation"


def test_an_apple_gpu_is_listed(monkeypatch, torch):
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * 10**9)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2 * 10**9)
    (row,) = of_kind("mps")
    assert row.name.endswith("GPU")
    assert (row.memory_bytes, row.free_bytes) == (12e9, 10e9)


@pytest.fixture
def jax(monkeypatch):
    """Put a JAX with one TPU there, which notes the environment it was asked in."""
    chip = SimpleNamespace(
        device_kind="TPU v5 lite",
        memory_stats=lambda: {"bytes_limit": 16 * 10**9, "bytes_in_use": 10**9},
    )
    fake = ModuleType("jax")
    fake.chips, fake.asked = [chip], {}

    def ask(platform: str) -> list[SimpleNamespace]:
        fake.asked = {"platform": platform, **os.environ}
        if not fake.chips:
            raise RuntimeError("Unknown backend: 'tpu' requested")
        return fake.chips

    fake.devices = ask
    monkeypatch.setitem(sys.modules, "jax", fake)
    monkeypatch.setattr(devices_module.importlib.util, "find_spec", lambda name: name)
    return fake


def test_a_tpu_is_listed(jax, monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    (row,) = of_kind("tpu")
    assert (row.name, row.memory_bytes, row.free_bytes) == ("TPU v5 lite", 16e9, 15e9)
    assert jax.asked["platform"] == "tpu"
    assert jax.asked["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "XLA_PYTHON_CLIENT_PREALLOCATE" not in os.environ


def test_a_tpu_that_is_not_there_says_why(jax):
    jax.chips = []
    (row,) = of_kind("tpu")
    assert "Unknown backend" in row.note


@pytest.mark.parametrize("missing", ["jax", "libtpu"])
def test_jax_is_not_asked_without_what_it_needs(jax, monkeypatch, missing):
    monkeypatch.delenv("TPU_LIBRARY_PATH", raising=False)
    monkeypatch.setattr(
        devices_module.importlib.util, "find_spec", lambda name: None if name == missing else name
    )
    (row,) = of_kind("tpu")
    assert not row.present
    assert missing.casefold() in row.note.casefold()
    assert not jax.asked


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize(
    ("text", "name", "precisions"),
    [
        (XEON, "Intel(R) Xeon(R) Platinum 8488C", ("fp32", "bf16", "fp16", "int8")),
        (GRAVITON, None, ("fp32", "bf16", "fp16", "int8")),
        ("model name : Old\nflags : sse2 avx2\n", "Old", ("fp32",)),
        ("", None, ("fp32",)),
    ],
)
def test_what_linux_says_of_a_processor(text, name, precisions, tmp_path: Path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    found, instructions = processor.processor()
    assert found == name or (name is None and found)
    assert processor.precisions(instructions) == precisions


@pytest.mark.usefixtures("fresh")
def test_what_macos_says_of_a_processor(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    monkeypatch.setattr(processor, "_sysctl", lambda: APPLE)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert processor.processor() == ("Apple M2", ("NEON", "NEON FP16", "Arm BF16"))


@given(st.text())
def test_no_text_about_a_processor_is_an_error(text):
    processor._from_cpuinfo(text)
    processor._from_sysctl(text)


def test_sensors_of_a_gpu_are_read(monkeypatch):
    install(monkeypatch, FakeGpu(limit_milliwatts=None))
    found = sensors("cuda")
    assert found == Sensors(celsius=41, clock_mhz=1980, watts=700.0, limit_watts=None)
    assert found.parameters("before") == {
        "celsius_before": 41, "clock_mhz_before": 1980, "watts_before": 700.0,
    }  # fmt: skip


def test_sensors_that_are_not_there_are_none(monkeypatch):
    install(monkeypatch, broken="Driver Not Loaded")
    assert sensors("cuda") == sensors("tpu") == Sensors()
    monkeypatch.setattr(psutil, "cpu_freq", lambda: None)
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"acpi": []}, raising=False)
    assert sensors("cpu").parameters("after") == {}


def test_the_hottest_of_the_processors_sensors_counts(monkeypatch):
    hot = [SimpleNamespace(current=50.0), SimpleNamespace(current=63.0)]
    both = {"coretemp": hot, "nvme": [SimpleNamespace(current=80.0)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: both, raising=False)
    assert sensors("cpu").celsius == 63.0
