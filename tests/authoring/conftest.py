"""A course of one small lab, made once and copied for every test that damages it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from enterprise_lab.authoring.release import make


def exercise(grade_id: str) -> str:
    return json.dumps(
        {
            "grade": False,
            "grade_id": grade_id,
            "locked": False,
            "schema_version": 3,
            "solution": True,
            "task": False,
        }
    )


def check(grade_id: str, points: int) -> str:
    metadata = json.loads(exercise(grade_id))
    return json.dumps(
        metadata | {"grade": True, "locked": True, "points": points, "solution": False}
    )


SCRIPT = f'''\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A small lab

# %% tags=["parameters"]
factor = 3

# %% nbgrader={exercise("double")}
def double(x):
    """Return x twice."""
    ### BEGIN SOLUTION
    # Adding is cheaper than multiplying.
    return x + x
    ### END SOLUTION


# %% nbgrader={check("double_check", 2)}
assert double(1) == 2
### BEGIN HIDDEN TESTS
assert double(-3.5) == -7
### END HIDDEN TESTS

# %% nbgrader={exercise("scale")}
def scale(x):
    """Return x times factor."""
    ### BEGIN SOLUTION
    scaled = factor * x
    return scaled
    ### END SOLUTION


# %% nbgrader={check("scale_check", 3)}
assert scale(2) == 6
### BEGIN HIDDEN TESTS
assert scale(0.5) == 1.5
### END HIDDEN TESTS

# %% tags=["nbval-check-output"]
print(double(factor))
'''


def quiet(_: str) -> None:
    """Take the place of the terminal."""


@pytest.fixture(scope="session")
def made_course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("course")
    folder = root / "solutions" / "01_small"
    folder.mkdir(parents=True)
    (folder / "small.py").write_text(SCRIPT)
    (folder / "records.jsonl").write_text("{}\n")
    (folder / "images").mkdir()
    (folder / "images" / "curve.svg").write_text("<svg/>")
    make(root, False, quiet)
    return root


@pytest.fixture
def course(made_course: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_course, tmp_path / "course"))
