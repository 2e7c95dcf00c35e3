from __future__ import annotations

from typing import Any

import pytest

from enterprise_lab.batch.engine import Node
from enterprise_lab.batch.plans.needs import (
    device_of,
    has_room,
    need_of,
    price_problems,
    shortage,
    usable_gpus,
    usd_per_hour,
)
from enterprise_lab.batch.plans.schema import Plan, Price
from enterprise_lab.batch.run import Need
from enterprise_lab.errors import LabError

LAPTOP = Node("laptop", 2, 8e9)
MIXED = Node("mixed", 16, 64e9, ("Tesla T4", "NVIDIA A10G", "NVIDIA A10G"))
H200 = Node("large", 64, 1e12, ("NVIDIA H200",) * 8)


def need(plan: dict[str, Any], entry: dict[str, Any]) -> Need:
    runs = [{"notebook": "a.ipynb", "resources": entry}]
    whole = Plan.model_validate({"name": "p", "runs": runs, "resources": plan})
    return need_of(whole, whole.runs[0])


@pytest.mark.parametrize(
    ("plan", "entry", "expected"),
    [
        ({}, {}, Need()),
        ({"memory": "8 GB"}, {}, Need(0, 8e9)),
        ({"memory": "8 GB"}, {"memory": "1 GiB"}, Need(0, 2.0**30)),
        ({"memory": "8 GB"}, {"gpus": 2}, Need(2, 8e9)),
        ({"gpus": 1, "accelerator": "t4"}, {}, Need(1, None, "T4")),
        ({"gpus": 1, "accelerator": "t4"}, {"gpus": 0}, Need()),
        ({"gpus": 1, "accelerator": "t4"}, {"accelerator": "l4"}, Need(1, None, "L4")),
    ],
)
def test_what_an_entry_says_goes_before_what_the_plan_says(
    plan: dict[str, Any], entry: dict[str, Any], expected: Need
) -> None:
    assert need(plan, entry) == expected


@pytest.mark.parametrize(
    ("entry", "told"),
    [({"accelerator": "T4"}, "no GPU"), ({"gpus": 1, "accelerator": "T5"}, "no accelerator")],
)
def test_an_accelerator_that_cannot_be_is_refused(entry: dict[str, Any], told: str) -> None:
    with pytest.raises(LabError, match=told):
        need({}, entry)


def test_gpus_are_known_by_what_their_drivers_call_them() -> None:
    assert usable_gpus(Need(1), MIXED) == [0, 1, 2]
    assert usable_gpus(Need(1, accelerator="T4"), MIXED) == [0]
    assert usable_gpus(Need(1, accelerator="H200-SXM-141GB"), H200) == list(range(8))
    assert has_room(Need(2, accelerator="A10G"), MIXED)
    assert not has_room(Need(2, accelerator="T4"), MIXED)


@pytest.mark.parametrize(
    ("asked", "nodes", "name"),
    [
        (Need(), [H200], "cpu"),
        (Need(1), [H200, LAPTOP], "H200-SXM-141GB"),
        (Need(4), [H200], "4 x H200-SXM-141GB"),
        (Need(1), [MIXED], "GPU"),
        (Need(2), None, "2 x GPU"),
        (Need(1, accelerator="T4"), None, "T4"),
        (Need(1), [Node("new", 1, 1e9, ("NVIDIA Z900",))], "NVIDIA Z900"),
    ],
)
def test_a_kind_of_device_is_named(asked: Need, nodes: list[Node] | None, name: str) -> None:
    assert device_of(asked, nodes) == name


@pytest.mark.parametrize(
    ("asked", "nodes", "told"),
    [
        (Need(), [LAPTOP], None),
        (Need(8), [LAPTOP, H200], None),
        (Need(1), [LAPTOP], "1 GPU of one machine, and there is none"),
        (Need(4), [MIXED], "4 GPUs of one machine, and no machine has more than 3"),
        (Need(2, accelerator="T4"), [MIXED], "no machine has more than 1"),
        (Need(0, 9e9), [LAPTOP], "no machine with its GPUs has more than 8 GB"),
        (Need(1, 100e9), [MIXED], "no machine"),
    ],
)
def test_what_no_machine_has_is_told(asked: Need, nodes: list[Node], told: str | None) -> None:
    found = shortage(asked, nodes)

    assert (found is None) == (told is None)
    if found and told:
        assert told in found.problem


@pytest.mark.parametrize(
    ("price", "asked", "slots", "usd"),
    [
        ({"usd_per_hour": 2.0}, Need(), 1, 2.0),
        ({"usd_per_hour": 2.0}, Need(), 4, 0.5),
        ({"usd_per_hour": 8.0, "gpus": 4}, Need(1), 4, 2.0),
        ({"usd_per_hour": 8.0, "gpus": 4}, Need(4), 1, 8.0),
        ({"usd_per_hour": 8.0}, Need(1), 4, 8.0),
        ({"instance": "g5.xlarge"}, Need(1), 1, 1.006),
        ({"instance": "g5.12xlarge"}, Need(1), 1, 5.672 / 4),
    ],
)
def test_a_run_pays_for_its_share(
    price: dict[str, Any], asked: Need, slots: int, usd: float
) -> None:
    assert usd_per_hour(Price.model_validate(price), asked, slots) == pytest.approx(usd)
    assert usd_per_hour(None, asked, slots) is None


@pytest.mark.parametrize(
    ("price", "asked", "told"),
    [
        ({"instance": "g5.xlarge"}, Need(1, accelerator="A10G"), ""),
        ({"instance": "g5.xlarge"}, Need(2), "has 1 GPU, and a run asks for 2"),
        ({"instance": "g5.xlarge"}, Need(1, accelerator="T4"), "has A10G, and a run asks for T4"),
        ({"instance": "g9.xlarge"}, Need(), "no EC2 instance called"),
        ({"usd_per_hour": 1.0, "gpus": 0}, Need(1), "has 0 GPUs"),
        ({"usd_per_hour": 1.0}, Need(8), ""),
    ],
)
def test_a_price_that_cannot_be_is_told(price: dict[str, Any], asked: Need, told: str) -> None:
    found = " ".join(str(one) for one in price_problems(Price.model_validate(price), [asked]))

    assert told in found
    assert bool(found) == bool(told)
