"""`elab doctor`: every kind of device and every lab has a row."""

from typer.testing import CliRunner

from enterprise_lab.cli import app
from enterprise_lab.course import LABS


def test_devices_and_labs_are_shown():
    found = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "160"}, catch_exceptions=False)
    assert found.exit_code == 0
    for name in ("processor", "NVIDIA GPU", "Apple GPU", "TPU", "fp32"):
        assert name in found.output
    assert "none" in found.output
    for lab in LABS:
        assert found.output.count(lab.folder) == len(lab.needs)
