"""Which machine makes which run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.run import Need
from enterprise_lab.batch.slots import Place, Slots

A100 = "NVIDIA A100-SXM4-40GB"
L4 = "NVIDIA L4"
GB = 1e9


def slots_of(*nodes: Node, slots: int = 2) -> Slots:
    made = Slots(slots)
    made.update(nodes)
    return made


def node(name: str = "here", gpus: tuple[str, ...] = (), memory_bytes: float = 64 * GB) -> Node:
    return Node(name, 8, memory_bytes, gpus)


def test_runs_without_gpus_take_so_many_slots_of_each_machine_and_spread() -> None:
    slots = slots_of(node("a"), node("b"))

    places = [slots.take(Need()) for _ in range(5)]

    assert [p and (p.node, p.slot) for p in places] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
        ("b", 1),
        None,
    ]
    assert places[2] is not None
    slots.give(places[2])
    assert slots.take(Need()) == places[2]


def test_gpus_are_given_by_number_to_one_run_each() -> None:
    slots = slots_of(node(gpus=(L4, L4, L4)))

    first, second = slots.take(Need(gpus=2)), slots.take(Need(gpus=2))
    third = slots.take(Need(gpus=1))

    assert first is not None
    assert third is not None
    assert (first.gpus, second, third.gpus) == ((0, 1), None, (2,))
    slots.give(first)
    again = slots.take(Need(gpus=2))
    assert again is not None
    assert again.gpus == (0, 1)


def test_runs_with_gpus_leave_the_processors_slots_alone() -> None:
    slots = slots_of(node(gpus=(L4,)), slots=1)

    assert slots.take(Need(gpus=1))
    assert slots.take(Need())
    assert slots.take(Need()) is None


@pytest.mark.parametrize(
    ("wanted", "gpus"),
    [("A100-SXM4-40GB", (1,)), ("L4", (0,)), ("H100-SXM5-80GB", None), (None, (0,))],
)
def test_the_kind_of_gpu_is_the_catalogues(wanted: str | None, gpus: tuple[int, ...]) -> None:
    place = slots_of(node(gpus=(L4, A100))).take(Need(gpus=1, accelerator=wanted))

    assert (place and place.gpus) == gpus


def test_gpus_of_one_machine_are_kept_together_for_those_who_need_many() -> None:
    slots = slots_of(node("large", gpus=(L4,) * 4), node("small", gpus=(L4,)))

    assert (slots.take(Need(gpus=1)) or Place("", 0, (), 0)).node == "small"
    assert (slots.take(Need(gpus=4)) or Place("", 0, (), 0)).node == "large"


def test_memory_is_shared_out() -> None:
    slots = slots_of(node(memory_bytes=10 * GB), slots=4)

    assert slots.take(Need(memory_bytes=6 * GB))
    assert slots.take(Need(memory_bytes=6 * GB)) is None
    assert slots.take(Need(memory_bytes=4 * GB))
    assert slots.take(Need())


def test_a_machine_that_lost_the_run_comes_last() -> None:
    slots = slots_of(node("a"), node("b"))

    taken = [slots.take(Need(), rather_not=["a"]) for _ in range(3)]

    assert [place and place.node for place in taken] == ["b", "b", "a"]


def test_machines_come_and_go() -> None:
    slots = slots_of(node("a"), slots=1)
    place = slots.take(Need())
    assert place is not None

    slots.update([node("b")])
    slots.give(place)
    assert (slots.take(Need()) or place).node == "b"

    slots.update([node("a"), node("b")])
    assert (slots.take(Need()) or place).node == "a"
    assert slots.take(Need()) is None


NEEDS = st.builds(
    Need,
    gpus=st.integers(0, 3),
    memory_bytes=st.none() | st.floats(1, 40 * GB),
    accelerator=st.sampled_from([None, "L4", "A100-SXM4-40GB"]),
)
NODES = st.lists(
    st.builds(
        Node,
        name=st.sampled_from("abcd"),
        cores=st.just(8),
        memory_bytes=st.floats(1, 64 * GB),
        gpus=st.lists(st.sampled_from([L4, A100]), max_size=4).map(tuple),
    ),
    min_size=1,
    unique_by=lambda one: one.name,
)


@settings(deadline=None, max_examples=60)
@given(NODES, st.integers(1, 3), st.lists(NEEDS, max_size=20), st.data())
def test_nothing_is_ever_taken_twice(
    nodes: list[Node], count: int, needs: list[Need], data: st.DataObject
) -> None:
    slots = slots_of(*nodes, slots=count)
    machines = {one.name: one for one in nodes}
    taken: list[tuple[Need, Place]] = []
    for need in needs:
        if taken and data.draw(st.booleans()):
            slots.give(taken.pop(data.draw(st.integers(0, len(taken) - 1)))[1])
        if place := slots.take(need):
            taken.append((need, place))
        for name, machine in machines.items():
            here = [(n, p) for n, p in taken if p.node == name]
            gpus = [number for _, p in here for number in p.gpus]
            assert len(gpus) == len(set(gpus))
            assert set(gpus) <= set(range(len(machine.gpus)))
            assert sum(not n.gpus for n, _ in here) <= count
            assert sum(n.memory_bytes or 0 for n, _ in here) <= machine.memory_bytes
            assert len({p.slot for _, p in here}) == len(here)
    for _, place in taken:
        slots.give(place)
    alone = [need for need in needs if slots_of(*nodes, slots=count).take(need)]
    for need in alone:
        again = slots.take(need)
        assert again is not None
        slots.give(again)
