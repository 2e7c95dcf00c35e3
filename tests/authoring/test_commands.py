from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import enterprise_lab.authoring
from enterprise_lab.errors import LabError

from .test_release import SOLUTION, edit


def elab(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from enterprise_lab.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_check_exits_with_1_and_a_table_when_there_is_a_fault(course):
    assert elab(course, "release", "check").returncode == 0
    edit(course / SOLUTION, "# A small lab", "# Another lab")
    done = elab(course, "release", "check")
    assert done.returncode == 1
    assert "what to do" in done.stdout
    assert "Traceback" not in done.stderr


def test_make_mends_a_pair_that_is_out_of_step(course):
    edit(course / SOLUTION, "# A small lab", "# Another lab")
    assert elab(course, "release", "make").returncode == 0
    assert elab(course, "release", "check").returncode == 0


@pytest.mark.parametrize(
    "arguments", [["release", "make"], ["release", "check"], ["grade", "none", "--csv", "g.csv"]]
)
def test_a_folder_without_labs_exits_with_2_and_two_sentences(tmp_path, arguments):
    done = elab(tmp_path, *arguments)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_said_with_what_installs_it(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(LabError, match=r"pip install .*\[author\]"):
            importlib.reload(enterprise_lab.authoring)
    importlib.reload(enterprise_lab.authoring)
