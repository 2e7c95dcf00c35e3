"""Data that an installed package carries: verified like everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from enterprise_lab import data
from enterprise_lab.data import digests, store
from enterprise_lab.data.errors import DataError

from .conftest import Workshop, digest


@pytest.fixture
def site(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with a file and a tree of two, and its manifest."""
    site = tmp_path / "site"
    (site / "carrier" / "texts").mkdir(parents=True)
    (site / "carrier-1.0.dist-info").mkdir()
    (site / "carrier-1.0.dist-info" / "METADATA").write_text("Name: carrier\nVersion: 1.0\n")
    (site / "carrier" / "weights").write_bytes(b"w")
    for name in ("one.txt", "two.txt"):
        (site / "carrier" / "texts" / name).write_text(name)
    monkeypatch.syspath_prepend(site)
    texts = site / "carrier" / "texts"
    _, _, whole = digests.listing(texts, texts.iterdir())
    tree = {"pattern": "*.txt", "files": 2, "bytes": 14, "sha256": whole}
    file = {"path": "weights", "bytes": 1, "sha256": digest(b"w")}
    package = {"install": "carrier==1.0", "sha256_source": "this test"}
    for name, more in (
        ("texts", {"folder": "carrier/texts", "trees": [tree]}),
        ("file", {"folder": "carrier", "files": [file]}),
        ("absent", {"folder": "x", "files": [file], "install": "not-installed-anywhere"}),
    ):
        workshop.write(name, None, package=package | more)
    return site / "carrier"


def test_it_is_handed_out_where_it_lies(site: Path) -> None:
    assert data.fetch("texts") == site / "texts"
    assert data.at_hand("file") == site
    assert data.state("file") == "embedded"
    assert store.clean("file") == 0
    assert (site / "weights").exists()


@pytest.mark.parametrize("harm", ["change", "remove", "add"])
def test_a_changed_tree_is_refused(site: Path, harm: str) -> None:
    file = site / "texts" / "one.txt"
    if harm == "change":
        file.write_text("ONE.txt")
    elif harm == "remove":
        file.unlink()
    else:
        (site / "texts" / "three.txt").write_text("")

    with pytest.raises(DataError, match=r"aren't the 2 files of carrier==1.0.*--force-reinstall"):
        data.fetch("texts")


def test_swapped_weights_are_refused(site: Path) -> None:
    (site / "weights").write_bytes(b"e")
    with pytest.raises(DataError, match="weights has the sha256"):
        data.at_hand("file")


@pytest.mark.usefixtures("site")
def test_a_package_that_is_not_installed_is_told() -> None:
    assert data.state("absent") == "package missing"
    with pytest.raises(DataError, match=r"not installed.*pip install .*not-installed-anywhere"):
        data.fetch("absent")


def test_the_listing_is_what_sha256sum_prints(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"11")
    printed = f"{digest(b'11')}  a\n{digest(b'2')}  b\n"

    assert digests.listing(tmp_path, tmp_path.iterdir()) == (2, 3, digest(printed.encode()))


@pytest.mark.parametrize("name", ["licence-texts", "minilm"])
def test_what_the_labs_embed_is_what_its_manifest_says(name: str) -> None:
    if data.state(name) != "embedded":
        pytest.skip(f"the package of {name} is not installed")
    assert data.at_hand(name).is_dir()
