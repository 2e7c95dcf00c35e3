from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from nbformat.v4 import new_output

from enterprise_lab.batch.attempts.notebook_outputs import DISPLAYED_PER_PRINTED, Outputs


def stream(text: str, name: str = "stdout") -> Any:
    return new_output("stream", name=name, text=text)


def picture(size: int) -> Any:
    return new_output("display_data", data={"image/png": "x" * size})


def printed(outputs: list[Any]) -> str:
    return "".join(o.text for o in outputs if o.output_type == "stream")


def test_what_is_printed_in_turn_is_one_output_and_keeps_its_order() -> None:
    outputs: list[Any] = []
    bounds = Outputs(1000)
    for output in (stream("a"), stream("b"), stream("c", "stderr"), picture(5), stream("d")):
        assert bounds.add(0, outputs, output)

    assert [o.get("text", "picture") for o in outputs] == ["ab", "c", "picture", "d"]


def test_a_flood_keeps_its_head_and_tail_and_leaves_something_for_the_next_cell() -> None:
    bounds = Outputs(1000)
    cells: list[list[Any]] = [[], [], []]
    for index, outputs in enumerate(cells):
        for number in range(1000):
            bounds.add(index, outputs, stream(f"{number}\n"))

    for outputs in cells:
        text = printed(outputs)
        assert text.startswith("0\n1\n2\n")
        assert "characters dropped" in text
        assert text.endswith("998\n999\n")
        assert len(outputs) == 2


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 400), st.booleans()), max_size=60))
def test_no_more_is_kept_than_was_said(adds: list[tuple[int, int, bool]]) -> None:
    bounds = Outputs(1000)
    cells: dict[int, list[Any]] = {}
    for index, size, is_picture in sorted(adds, key=lambda add: add[0]):
        outputs = cells.setdefault(index, [])
        bounds.add(index, outputs, picture(size) if is_picture else stream("x" * size))

    kept = [o for outputs in cells.values() for o in outputs]
    assert printed(kept).count("x") <= 1000
    pictures = [o for o in kept if o.output_type == "display_data"]
    assert sum(len(p.data["image/png"]) for p in pictures) <= 1000 * DISPLAYED_PER_PRINTED
    whole = sum(size for _, size, is_picture in adds if not is_picture)
    if whole <= 125:
        assert printed(kept).count("x") == whole


def test_pictures_that_are_too_many_are_counted() -> None:
    outputs: list[Any] = []
    bounds = Outputs(1000)

    assert [bounds.add(0, outputs, picture(2000)) for _ in range(5)] == [True] * 2 + [False] * 3
    assert printed(outputs) == "[... 3 displayed outputs dropped ...]\n"


def test_a_cell_that_clears_its_output_may_go_on_for_ever() -> None:
    outputs: list[Any] = []
    bounds = Outputs(1000)
    for _ in range(100):
        outputs.clear()
        assert bounds.add(0, outputs, picture(2000))
        bounds.add(0, outputs, stream("x" * 200))

    assert printed(outputs) == "x" * 200


def test_a_long_error_is_shortened() -> None:
    outputs: list[Any] = []
    error = new_output(
        "error", ename="ValueError", evalue="x" * 10**6, traceback=["y" * 10**6, "z"]
    )
    Outputs(1000).add(0, outputs, error)

    assert len(outputs[0].evalue) < 21_000
    assert len(outputs[0].traceback[0]) < 21_000
    assert outputs[0].traceback[1] == "z"
