import pytest

from enterprise_lab import catalog
from enterprise_lab.catalog.nodes import Node, node_of, node_of_instance
from enterprise_lab.catalog.rows import DATA, read
from enterprise_lab.errors import LabError


def test_every_chip_has_a_node_and_every_node_a_chip():
    nodes = {row.accelerator for row in read(DATA / "nodes.csv", Node)}
    assert nodes == {chip.name for chip in catalog.accelerators()}


def test_a_chip_of_no_catalogue_is_alone():
    chip = catalog.accelerator("T4").model_copy(update={"name": "my own"})
    assert node_of(chip).devices == 1


def test_an_instance_shares_its_network_between_its_devices():
    node = node_of_instance(catalog.instance("p4d.24xlarge"))
    assert (node.devices, node.network_bytes_per_second) == (8, 400e9 / 8 / 8)


def test_an_instance_without_accelerators_is_no_node():
    with pytest.raises(LabError):
        node_of_instance(catalog.instance("c5.large"))
