from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from enterprise_lab.authoring.leaks import leaked_lines


def solution(line: str) -> new_notebook:
    cell = new_code_cell(f"def f(x):\n    ### BEGIN SOLUTION\n    {line}\n    ### END SOLUTION")
    return new_notebook(cells=[cell])


def student(text: str) -> new_notebook:
    return new_notebook(cells=[new_markdown_cell("Title"), new_code_cell(text)])


names = st.from_regex(r"[a-z]{3,8}_x", fullmatch=True)


@given(names, names, names, st.integers(0, 8), st.sampled_from(["", "  # why", "\n"]))
def test_an_answer_is_found_at_any_indent_and_with_any_comment(left, a, b, indent, tail):
    line = f"{left} = {a} * {b}"
    shown = student("y = 1\n" + " " * indent + line + tail)
    assert leaked_lines(solution(line + tail.strip("\n")), shown) == [line]
    assert leaked_lines(solution(line), student(f"{left} = {a} + {b}")) == []


@pytest.mark.parametrize(
    "line",
    [
        "return total",
        "pass",
        "else:",
        ")",
        "return None",
        "import math",
        "from math import ceil",
        "for x in xs:",
        "#",
    ],
)
def test_lines_that_give_nothing_away_are_passed_over(line):
    assert leaked_lines(solution(line), student(line)) == []


def test_an_answer_quoted_inside_other_text_is_found():
    assert leaked_lines(solution("return 2 * x"), student("# write return 2 * x here")) == [
        "return 2 * x"
    ]


def test_a_longer_line_that_only_begins_alike_is_not_an_answer():
    assert leaked_lines(solution("return 2 * x"), student("return 2 * x_shape")) == []


def test_hidden_tests_and_cells_that_are_all_solution_count():
    hidden = new_code_cell("### BEGIN HIDDEN TESTS\nassert f(9) == 81\n### END HIDDEN TESTS")
    whole = new_code_cell("area = width * height", metadata={"nbgrader": {"solution": True}})
    source = new_notebook(cells=[hidden, whole])
    shown = student("assert f(9) == 81\narea = width * height")
    assert leaked_lines(source, shown) == ["assert f(9) == 81", "area = width * height"]
