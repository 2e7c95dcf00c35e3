"""Choosing among the devices that are here, and naming them."""

import pytest

from enterprise_lab import estimate
from enterprise_lab.course import hardware
from enterprise_lab.errors import LabError
from enterprise_lab.measure import rates
from enterprise_lab.measure.devices import Device, machine
from enterprise_lab.measure.records import Origin, Record
from enterprise_lab.training.small_cnn import SmallCNN


def device(kind, name="", note="", usable=True):
    precisions = ("fp32",) if name else ()
    return Device(kind, name, None, None, precisions, note, usable=bool(name) and usable)


PROCESSOR = device("cpu", "a processor")
GPU = device("cuda", "NVIDIA A100-SXM4-80GB")
NO_GPU = device("cuda", note="no NVIDIA driver")
UNUSABLE = device("cuda", "Tesla T4", "this PyTorch was built without CUDA", usable=False)
TPU = device("tpu", "TPU v5 lite")


@pytest.mark.parametrize(
    ("wanted", "found", "kind"),
    [
        ("auto", [PROCESSOR, NO_GPU], "cpu"),
        ("auto", [PROCESSOR, GPU], "cuda"),
        ("auto", [PROCESSOR, GPU, TPU], "tpu"),
        ("cpu", [PROCESSOR, GPU], "cpu"),
        ("auto", [PROCESSOR, UNUSABLE], "cpu"),
    ],
)
def test_the_fastest_kind_is_chosen_unless_another_is_wanted(wanted, found, kind):
    assert hardware.choose(wanted, found) == kind


def test_what_cannot_be_used_says_why():
    with pytest.raises(LabError, match="built without CUDA"):
        hardware.choose("cuda", [PROCESSOR, UNUSABLE])


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("Tesla T4", "T4"),
        ("Tesla V100-SXM2-16GB", "V100-SXM2-16GB"),
        ("NVIDIA A10G", "A10G"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM5-80GB"),
        ("NVIDIA H200", "H200-SXM-141GB"),
        ("NVIDIA L4", "L4"),
    ],
)
def test_gpus_are_known_by_what_their_drivers_call_them(driver, name):
    assert hardware.chip_of("cuda", [device("cuda", driver)], []).name == name


def test_a_gpu_that_the_catalogue_has_not_is_known_by_its_rates():
    measured = [
        rate(rates.MATMUL, 9e12, 1e13, precision="fp32", processor="cuda"),
        rate(rates.MATMUL, 4e13, 5e13, precision="bf16", processor="cuda"),
        rate(rates.COPY, 3e11, 3.6e11, size_bytes=2**28, processor="cuda"),
    ]
    chip = hardware.chip_of("cuda", [device("cuda", "NVIDIA GeForce RTX 3060")], measured)
    assert (chip.name, chip.peak_tflops) == ("NVIDIA GeForce RTX 3060", {"fp32": 10, "bf16": 50})
    assert chip.memory_bandwidth_bytes_per_second == pytest.approx(3.6e11)
    step = estimate.training(
        SmallCNN().shape, global_batch=64, accelerator=chip, precision="bf16", image_size=8
    ).step_seconds
    assert 0 < step.low < step.value
    assert hardware.instance_of("cuda", chip) is None


def test_what_is_not_here_says_why():
    with pytest.raises(LabError, match=r"no NVIDIA GPU here: no NVIDIA driver") as error:
        hardware.choose("cuda", [PROCESSOR, NO_GPU])
    assert "auto" in error.value.remedy
    with pytest.raises(LabError):
        hardware.choose("abacus", [PROCESSOR])


def test_devices_are_found_in_the_catalogue():
    assert hardware.chip_of("cuda", [PROCESSOR, GPU], []).name == "A100-SXM4-80GB"
    assert hardware.chip_of("tpu", [PROCESSOR, TPU], []).name.startswith("TPU v5e")
    assert hardware.instance_of("cuda", hardware.chip_of("cuda", [GPU], [])).name == "p4de.24xlarge"
    assert hardware.instance_of("tpu", hardware.chip_of("tpu", [TPU], [])) is None


def test_a_processor_is_matched_by_its_cores():
    assert hardware.instance_of("cpu", None).vcpus >= machine().cores


def test_every_backend_has_its_row():
    shown = hardware.table_of([PROCESSOR, NO_GPU]).data
    assert "| processor | a processor |" in shown
    assert "| NVIDIA GPU | none |" in shown
    assert "no NVIDIA driver" in shown


def rate(metric, value, best, **parameters):
    return Record(
        lab="",
        metric=metric,
        value=value,
        high=best,
        unit="",
        origin=Origin.MEASURED,
        parameters={"processor": "cpu", **parameters},
    )


def test_the_best_rates_are_the_highest_products_and_the_largest_copies():
    found = [
        rate(rates.MATMUL, 1.0, 2.0, precision="fp32"),
        rate(rates.MATMUL, 3.0, 3.5, precision="fp32"),
        rate(rates.MATMUL, 5.0, 6.0, precision="bf16"),
        rate(rates.COPY, 90.0, 99.0, size_bytes=2**20),
        rate(rates.COPY, 7.0, 8.0, size_bytes=2**28),
    ]
    assert hardware.best_rates(found, "cpu") == {"fp32": 3.5, "bf16": 6.0, "memory": 8.0}
    with pytest.raises(LabError, match="NVIDIA GPU were not measured"):
        hardware.best_rates(found, "cuda")
