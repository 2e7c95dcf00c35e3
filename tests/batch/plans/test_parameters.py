from __future__ import annotations

from typing import Annotated

import pytest
from annotated_types import Interval
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook
from pydantic import TypeAdapter, ValidationError

from enterprise_lab.batch.attempt import Scalar
from enterprise_lab.batch.plans.parameters import Parameter, read_parameters
from enterprise_lab.errors import LabError

CELL = """\
import os
from typing import Literal, Optional
profile: Literal["smoke", "full"] = "smoke"  # how much
rate: float = 1
steps: int = 1_000_000
label: str = "a"
flag: bool = False
limit: int | None = None
ceiling: Optional[float] = None
batch = 32
sizes: list[int] = [1, 2]
width: Annotated[int, Interval(ge=1, le=512)] = 32
share: Annotated[float, at.Gt(0), at.Lt(1)] = 0.5
lower: Annotated[float | None, Field(ge=-1.5, description="of it")] = None
upper: Annotated[int, Le(1_000)] | None = None
plain: Annotated[str, "a note"] = "x"
sign: Literal[-1, 1] = 1
home = os.getcwd()
"""


def parameters(cell: str = CELL) -> dict[str, Parameter]:
    tagged = new_code_cell(cell, metadata={"tags": ["parameters"]})
    return read_parameters(new_notebook(cells=[new_code_cell("x = 1"), tagged]))


def test_names_and_defaults_are_read_without_running_the_cell() -> None:
    read = parameters()

    assert {n: p.default for n, p in read.items() if p.has_default} == {
        "profile": "smoke", "rate": 1.0, "steps": 1_000_000, "label": "a", "flag": False,
        "limit": None, "ceiling": None, "batch": 32, "width": 32, "share": 0.5, "lower": None,
        "upper": None, "plain": "x", "sign": 1,
    }  # fmt: skip
    assert isinstance(read["rate"].default, float)
    assert not read["sizes"].has_default
    assert not read["home"].has_default


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("profile", "full", "full"),
        ("rate", 2, 2.0),
        ("rate", 0.5, 0.5),
        ("limit", None, None),
        ("limit", 3, 3),
        ("ceiling", 3, 3.0),
        ("batch", 64, 64),
        ("flag", True, True),
        ("width", 1, 1),
        ("width", 512, 512),
        ("share", 0.99, 0.99),
        ("lower", -1.5, -1.5),
        ("lower", None, None),
        ("lower", 3, 3.0),
        ("upper", 1000, 1000),
        ("upper", None, None),
        ("plain", "y", "y"),
        ("sign", -1, -1),
    ],
)
def test_a_value_of_the_right_type_is_accepted(name: str, value: Scalar, accepted: Scalar) -> None:
    result = parameters()[name].accept(value)

    assert result == accepted
    assert type(result) is type(accepted)


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("profile", "ful", "'smoke', 'full'"),
        ("steps", True, "type int"),
        ("steps", 1.5, "type int"),
        ("steps", None, "type int"),
        ("rate", "1e6", "1.0e+6"),
        ("rate", True, "type float"),
        ("label", 1, "in quotes"),
        ("label", None, "type str"),
        ("flag", "yes", "true or false"),
        ("batch", "32", "no quotes"),
        ("width", 0, "in this range"),
        ("width", 513, "in this range"),
        ("width", True, "type int"),
        ("share", 0, "in this range"),
        ("share", 1.0, "in this range"),
        ("lower", -1.6, "in this range"),
        ("upper", 1001, "in this range"),
        ("sign", 0, "-1, 1"),
        ("sizes", 1, "Annotate sizes"),
        ("home", "/", "Annotate home"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_its_mend(
    name: str, value: Scalar, mend: str
) -> None:
    with pytest.raises(LabError) as caught:
        parameters()[name].accept(value)

    assert name in caught.value.problem
    assert mend in caught.value.remedy


def test_a_range_is_said_in_words() -> None:
    read = parameters()

    assert read["width"].annotation == "int"
    assert read["width"].range == "at least 1 and at most 512"
    assert read["share"].range == "above 0 and below 1"
    with pytest.raises(LabError, match="width is at least 1 and at most 512, not 1000"):
        read["width"].accept(1000)


def test_a_range_is_what_pydantic_makes_of_it() -> None:
    source = "width: Annotated[float, Interval(gt=-2, le=3.5)] = 1"
    judge = TypeAdapter(Annotated[float, Interval(gt=-2, le=3.5)])
    read = parameters(source)["width"]

    for value in (-3.0, -2.0, -1.999, 0.0, 3.5, 3.501, 1e300):
        try:
            judge.validate_python(value)
        except ValidationError:
            with pytest.raises(LabError):
                read.accept(value)
        else:
            assert read.accept(value) == value


def test_a_notebook_without_a_parameters_cell_is_refused() -> None:
    with pytest.raises(LabError, match="tagged `parameters`"):
        read_parameters(new_notebook(cells=[new_code_cell("x: int = 1")]))


def test_a_parameters_cell_with_magics_is_refused() -> None:
    with pytest.raises(LabError, match="not plain Python"):
        parameters("%matplotlib inline\nx: int = 1")


@given(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text())
def test_an_unannotated_default_is_accepted_back(value: Scalar) -> None:
    read = parameters(f"x = {value!r}")["x"]

    if value is None or value in (float("inf"), float("-inf")):
        with pytest.raises(LabError):
            read.accept(value)
    else:
        assert read.accept(value) == value
