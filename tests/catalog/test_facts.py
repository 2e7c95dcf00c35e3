"""The facts themselves, and how they are filtered, priced and shown."""

import subprocess
import sys
from datetime import date, datetime

import pytest

from enterprise_lab import catalog
from enterprise_lab.errors import InvalidValueError, LabError, UnknownNameError

CHIPS = catalog.accelerators()


def test_dense_peaks_are_in_order():
    for chip in CHIPS:
        peaks = chip.peak_tflops
        for slower, faster in [("fp32", "tf32"), ("tf32", "fp16"), ("fp16", "fp8")]:
            if {slower, faster} <= peaks.keys():
                assert peaks[slower] <= peaks[faster], chip.name
        if {"fp16", "bf16"} <= peaks.keys():
            assert peaks["fp16"] == peaks["bf16"], chip.name
        assert peaks, chip.name


def test_no_measured_matmul_exceeds_the_peak():
    measured = [chip for chip in CHIPS if chip.measured_matmul_tflops]
    assert len(measured) > 3
    assert all(chip.measured_matmul_tflops < chip.peak_tflops["bf16"] for chip in measured)


def test_peak_flops_is_per_second_and_names_what_the_chip_has():
    assert catalog.accelerator("A100-SXM4-80GB").peak_flops("BF16") == 312e12
    with pytest.raises(InvalidValueError) as refused:
        catalog.accelerator("V100-SXM2-16GB").peak_flops("bf16")
    assert refused.value.remedy == "Choose one of: fp32, fp16, int8."


def test_a10g_rates_are_its_own_and_marked_unverified():
    chip = catalog.accelerator("A10G")
    assert chip.peak_tflops["fp16"] == 70
    assert {"tf32_tflops", "fp16_tflops", "bf16_tflops", "int8_tops"} == chip.unverified


def test_accelerator_filters():
    assert {c.name for c in catalog.accelerators(vendor="amd")} == {"MI300X"}
    assert all("fp8" in c.peak_tflops for c in catalog.accelerators(precision="FP8"))
    assert all(c.memory_bytes >= 141e9 for c in catalog.accelerators(minimum_memory_bytes=141e9))
    assert "V100" not in " ".join(c.name for c in catalog.accelerators(precision="bf16"))
    with pytest.raises(UnknownNameError):
        catalog.accelerators(precision="fp12")
    with pytest.raises(UnknownNameError):
        catalog.accelerators(vendor="Nobody")


def test_instance_accelerators_are_in_the_catalogue_or_known_not_to_be():
    names = {chip.name for chip in CHIPS}
    others = {i.accelerator for i in catalog.instances(include_retired=True)} - names
    assert others == {None, "T4G", "RADEON-PRO-V520", "RTX-PRO-SERVER-6000"}


def test_instance_memory_is_near_the_datasheet():
    names = {chip.name for chip in CHIPS}
    for row in catalog.instances():
        if row.accelerator in names and row.accelerator_count >= 1:
            datasheet = catalog.accelerator(row.accelerator).memory_bytes
            assert row.accelerator_memory_bytes == pytest.approx(datasheet, rel=0.08), row.name


def test_an_instance():
    p4d = catalog.instance("p4d")
    assert p4d.accelerator == "A100-SXM4-40GB"
    assert p4d.accelerator_count == 8
    assert p4d.accelerator_memory_bytes == 40 * 2**30
    assert p4d.memory_bytes == 1152 * 2**30
    assert p4d.status == "current"


def test_fractions_unknowns_and_cpus():
    assert catalog.instance("g6f.large").accelerator_count == 0.125
    assert "accelerator_count" in catalog.instance("g6f.large").unverified
    assert catalog.instance("dl1").vcpus is None
    assert catalog.instance("c5.metal").accelerator is None
    assert catalog.instance("c5.metal").accelerator_count == 0


def test_instance_filters():
    assert "p2.xlarge" not in [i.name for i in catalog.instances()]
    assert "p2.xlarge" in [i.name for i in catalog.instances(include_retired=True)]
    assert {i.family for i in catalog.instances(accelerator="A100")} == {"p4d", "p4de"}
    assert {i.family for i in catalog.instances(family="g5")} == {"g5"}
    assert all(i.accelerator_count >= 8 for i in catalog.instances(minimum_accelerators=8))
    with pytest.raises(UnknownNameError):
        catalog.instances(family="z9")
    with pytest.raises(UnknownNameError):
        catalog.instances(accelerator="Voodoo")


def test_the_price_of_a_day():
    assert catalog.price("p4d").usd_per_hour == 21.957642
    assert catalog.price("p4d").date == date(2026, 7, 20)
    old = catalog.price("p4d", on=datetime(2025, 12, 31, 23))
    assert old.usd_per_hour == 32.7726
    assert old.unverified
    assert catalog.instance("p4d").latest_price == catalog.price("p4d")


def test_a_price_that_is_not_known():
    with pytest.raises(LabError, match="2025-05-31"):
        catalog.price("p4d", on=date(2020, 1, 1))
    with pytest.raises(LabError, match=r"p5en\.48xlarge"):
        catalog.price("p5e")
    with pytest.raises(LabError, match="Regions with prices: us-east-1"):
        catalog.price("p4d", region="mars-1")
    with pytest.raises(InvalidValueError):
        catalog.price("p4d", on="2025-01-01")


def test_retired_offerings():
    by_name = {row.name: row for row in catalog.retired()}
    assert by_name["Amazon Elastic Inference"].ended.startswith("2023-04-15")
    assert not by_name["EC2 P3"].verified
    assert all(row.replaced_by for row in by_name.values())


def test_rows_show_units_sources_and_what_is_unverified():
    page = catalog.accelerator("A10G")._repr_html_()
    assert "fp16, TFLOP/s" in page
    assert page.count("(unverified)") == 4
    assert '<a href="https://github.com/Lightning-AI' in page
    table = catalog.instances("p4")._repr_html_()
    assert "21.9576 on 2026-07-20" in table
    assert "p4de.24xlarge" in table
    assert "Nothing" in catalog.instances("nothing like it")._repr_html_()


def test_everything_shown_is_escaped():
    evil = '<script>alert("1")</script>'
    row = catalog.accelerator("T4").model_copy(
        update={"name": evil, "note": evil, "source": f"https://e.org/{evil} {evil}"}
    )
    page = row._repr_html_() + catalog.Listing([row])._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert 'href="https://e.org/&lt;script' in page


def test_the_catalogue_imports_neither_pandas_nor_torch():
    code = (
        "import sys; from enterprise_lab import catalog; catalog.instance('p4d');"
        "sys.exit(bool({'pandas', 'torch', 'rich'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
