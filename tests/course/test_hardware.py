"""Choosing among the devices that are here, and naming them."""

import pytest

from enterprise_lab.course import hardware
from enterprise_lab.errors import LabError
from enterprise_lab.measure import rates
from enterprise_lab.measure.devices import Device, machine
from enterprise_lab.measure.records import Origin, Record


def device(kind, name="", note=""):
    return Device(kind, name, None, None, ("fp32",) if name else (), note)


PROCESSOR = device("cpu", "a processor")
GPU = device("cuda", "NVIDIA A100-SXM4-80GB")
NO_GPU = device("cuda", note="no NVIDIA driver")
TPU = device("tpu", "TPU v5 lite")


@pytest.mark.parametrize(
    ("wanted", "found", "kind"),
    [
        ("auto", [PROCESSOR, NO_GPU], "cpu"),
        ("auto", [PROCESSOR, GPU], "cuda"),
        ("auto", [PROCESSOR, GPU, TPU], "tpu"),
        ("cpu", [PROCESSOR, GPU], "cpu"),
    ],
)
def test_the_fastest_kind_is_chosen_unless_another_is_wanted(wanted, found, kind):
    assert hardware.choose(wanted, found) == kind


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
