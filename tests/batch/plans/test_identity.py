from __future__ import annotations

from typing import Any

import pytest

from enterprise_lab import data
from enterprise_lab.batch.attempt import Identity
from enterprise_lab.batch.plans.identity import changes, data_digest, run_id

USUAL: dict[str, Any] = {
    "notebook": "a.ipynb", "parameters": {"width": 8, "flag": True}, "code": "c1", "lock": "l1",
    "package": "p1", "data": {"digits": "d1"}, "device": "cpu",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"notebook": "b.ipynb"}, ["notebook a.ipynb -> b.ipynb"]),
        ({"code": "c2"}, ["the notebook's code"]),
        ({"parameters": {"width": 32, "flag": True}}, ["width 8 -> 32"]),
        ({"parameters": {"width": 8.0, "flag": True}}, ["width 8 -> 8.0"]),
        ({"parameters": {"width": 8, "flag": 1}}, ["flag True -> 1"]),
        ({"parameters": {"width": 8}}, ["flag True -> (none)"]),
        ({"parameters": {"width": 8, "flag": True, "x": None}}, ["x (none) -> None"]),
        ({"lock": "l2"}, ["constraints.txt"]),
        ({"package": "p2"}, ["the kit's own code"]),
        ({"data": {"digits": "d2"}}, ["data set digits"]),
        ({"data": {}}, ["data set digits"]),
        ({"device": "L4"}, ["device cpu -> L4"]),
        ({"code": "c2", "lock": "l2"}, ["the notebook's code", "constraints.txt"]),
    ],
)
def test_every_change_makes_another_run_and_is_said(
    change: dict[str, Any], said: list[str]
) -> None:
    old, new = Identity(**USUAL), Identity(**USUAL | change)

    assert changes(old, new) == said
    assert (run_id(old) == run_id(new)) == (not said)
    assert len(run_id(old)) == 12


def test_the_order_of_parameters_makes_no_other_run() -> None:
    turned = dict(reversed(USUAL["parameters"].items()))

    assert run_id(Identity(**USUAL)) == run_id(Identity(**USUAL | {"parameters": turned}))


def test_a_data_sets_digest_follows_its_files_and_not_what_is_said_of_it() -> None:
    for name in ("digits", "licence-texts", "cifar-10"):
        manifest = data.manifest(name)
        assert data_digest(manifest) == data_digest(manifest.model_copy(update={"about": "else"}))
    recorded = [manifest for manifest in data.manifests() if manifest.recorded]
    assert len({data_digest(manifest) for manifest in recorded}) == len(recorded)
