"""What is refused in a catalogue file, and what every row of ours must have."""

from pathlib import Path

import pytest

from enterprise_lab import catalog
from enterprise_lab.catalog import (
    Accelerator,
    CatalogError,
    Instance,
    Model,
    Price,
    SpotPrice,
    TrainingSpeed,
)
from enterprise_lab.catalog.rows import DATA, read

CHIP = (
    "name,vendor,fp32_tflops,memory_gb,memory_type,memory_bandwidth_gb_per_second,"
    "unverified,source\n"
)
GOOD = "X1,Maker,10,16,HBM,900,,https://example.org\n"


def write(folder: Path, text: str) -> Path:
    file = folder / "chips.csv"
    file.write_text(text, encoding="utf-8")
    return file


def everything():
    return [
        *catalog.accelerators(),
        *catalog.instances(include_retired=True),
        *catalog.models(),
        *catalog.retired(),
        *catalog.pretraining_statements(),
        *catalog.spot_prices(),
        *(row for i in catalog.instances(include_retired=True) for row in catalog.prices(i.name)),
    ]


def test_every_row_has_a_source():
    rows = everything()
    assert len(rows) == 30 + 98 + 81 + 4 + 9 + 17 + 99
    assert all(row.source.strip() for row in rows)


def test_a_row_that_is_not_unverified_cites_an_address():
    assert [
        row for row in everything() if "https://" not in row.source and not row.unverified
    ] == []


def test_units_of_the_file_become_bytes(tmp_path):
    (row,) = read(write(tmp_path, CHIP + GOOD), Accelerator)
    assert row.memory_bytes == 16_000_000_000
    assert row.memory_bandwidth_bytes_per_second == 900_000_000_000
    assert row.tf32_tflops is None


def test_unverified_columns_are_named_by_field(tmp_path):
    text = CHIP + "X1,Maker,10,16,HBM,900,memory_gb fp32_tflops,https://example.org\n"
    (row,) = read(write(tmp_path, text), Accelerator)
    assert row.unverified == {"memory_bytes", "fp32_tflops"}


def test_all_means_every_figure_but_the_name(tmp_path):
    (row,) = read(
        write(tmp_path, CHIP + "X1,Maker,10,16,HBM,900,all,https://example.org\n"), Accelerator
    )
    assert {"fp32_tflops", "memory_bytes", "power_watts"} <= row.unverified
    assert "name" not in row.unverified


@pytest.mark.parametrize(
    ("bad", "problem", "remedy"),
    [
        ("X2,Maker,10,16,HBM,900,,\n", "line 3, column source", "Fill it in"),
        ("X2,,10,16,HBM,900,,https://e.org\n", "line 3, column vendor", "Fill it in"),
        ("X2,Maker,ten,16,HBM,900,,https://e.org\n", "line 3, column fp32_tflops", "'ten'"),
        ("X2,Maker,-3,16,HBM,900,,https://e.org\n", "line 3, column fp32_tflops", "'-3'"),
        ("X2,Maker,nan,16,HBM,900,,https://e.org\n", "line 3, column fp32_tflops", "'nan'"),
        ("X2,Maker,10,-16,HBM,900,,https://e.org\n", "line 3, column memory_gb", "'-16'"),
        ("X2,Maker,10,inf,HBM,900,,https://e.org\n", "line 3, column memory_gb", "'inf'"),
        ("X2,Maker,10,big,HBM,900,,https://e.org\n", "line 3, column memory_gb", "'big'"),
        ("X2,Maker,10,16,HBM,900,mem,https://e.org\n", "unverified names no column", "Mend"),
        ("X2,Maker,10,16,HBM,900\n", "line 3 has more or fewer cells", "comma"),
        ("X2,Maker,10,16,HBM,900,,https://e.org,more\n", "line 3 has more or fewer", "comma"),
        ("x-1,Maker,10,16,HBM,900,,https://e.org\n", "line 3 repeats", "Keep one"),
        ('X2,"Maker\n', "line 3 is not CSV", "quotes"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named_by_file_line_and_mend(tmp_path, bad, problem, remedy):
    file = write(tmp_path, CHIP + GOOD + bad)
    with pytest.raises(CatalogError) as refused:
        read(file, Accelerator)
    assert "chips.csv" in refused.value.problem
    assert problem in refused.value.problem
    assert remedy in refused.value.remedy


@pytest.mark.parametrize("column", ["colour", "source"])
def test_an_unknown_or_doubled_column_is_refused(tmp_path, column):
    file = write(tmp_path, CHIP.strip() + f",{column}\n")
    with pytest.raises(CatalogError, match=rf"line 1 has a column '{column}'"):
        read(file, Accelerator)


def test_a_file_that_is_not_text_or_not_there_is_named(tmp_path):
    with pytest.raises(CatalogError, match=r"gone\.csv cannot be read"):
        read(tmp_path / "gone.csv", Accelerator)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogError, match=r"binary\.csv cannot be read"):
        read(tmp_path / "binary.csv", Accelerator)


@pytest.mark.parametrize(
    ("file", "row_type", "column", "cell"),
    [
        ("models.csv", Model, "layers", "twelve"),
        ("models.csv", Model, "heads", "-12"),
        ("models.csv", Model, "hidden", "769"),
        ("models.csv", Model, "norm", "batchnorm"),
        ("models.csv", Model, "source", ""),
        ("instances.csv", Instance, "status", "sold out"),
        ("instances.csv", Instance, "accelerator_count", "-1"),
        ("instances.csv", Instance, "source", ""),
        ("prices.csv", Price, "usd_per_hour", "-0.9"),
        ("prices.csv", Price, "date", "yesterday"),
        ("prices.csv", Price, "source", ""),
        ("spot_prices.csv", SpotPrice, "low_usd_per_hour", "2"),
        ("spot_prices.csv", SpotPrice, "high_usd_per_hour", "inf"),
        ("spot_prices.csv", SpotPrice, "zones", "0"),
        ("training_speeds.csv", TrainingSpeed, "flash_attention", "perhaps"),
        ("training_speeds.csv", TrainingSpeed, "precision", "fp12"),
    ],
)
def test_a_corrupted_cell_of_our_own_files_is_refused_at_its_line(
    tmp_path, file, row_type, column, cell
):
    import csv

    with (DATA / file).open(encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    rows[0][column] = cell
    with (tmp_path / file).open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(CatalogError, match=rf"{file}, line 2"):
        read(tmp_path / file, row_type)
