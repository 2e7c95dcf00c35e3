"""Licence texts: those of the package, and files that are none."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from enterprise_lab import data
from enterprise_lab.data import store
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.licences import family_of


def test_the_licences_of_the_package_are_read() -> None:
    found = {one.key: one for one in data.licences()}

    assert len(found) == len(data.licences()) == 2150
    assert found["mpl-2.0"].category == "Copyleft Limited"
    assert found["mpl-2.0"].family == found["mpl-1.1"].family == "mpl"
    assert found["mpl-2.0"].text.startswith("Mozilla Public License Version 2.0")
    assert found["cecill-2.0-fr"].language == "fr"
    assert all(one.text == one.text.strip() != "" for one in found.values())


@pytest.mark.parametrize(
    ("key", "family"), [("cc-by-4.0", "cc"), ("x11", "x11"), ("bsd-new", "bsd"), ("mit", "mit")]
)
def test_a_family_is_the_first_part_of_the_key(key: str, family: str) -> None:
    assert family_of(key) == family


def test_whole_licences_are_labelled_by_the_largest_categories() -> None:
    texts = data.by_category()
    counted = Counter(texts.classes[label] for label in texts.labels)

    assert set(texts.classes) == {
        "Permissive", "Proprietary Free", "Copyleft Limited", "Copyleft", "Commercial",
    }  # fmt: skip
    assert counted["Permissive"] > 5 * counted["Commercial"] > 400
    assert len(data.by_category(3).classes) == 3


@pytest.fixture
def licence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in a folder from which the licences are read afresh."""
    monkeypatch.setattr(store, "at_hand", lambda _: tmp_path)
    return tmp_path / "one.LICENSE"


def read() -> tuple[data.Licence, ...]:
    return data.licences.__wrapped__()


def test_a_licence_may_have_rules_in_its_text_and_keys_it_is_not_asked_for(licence: Path) -> None:
    licence.write_text(
        "---\nkey: one-1.0\nname: |\n  key: two\ncategory: Permissive\n---\n\nFirst\n---\nSecond\n"
    )
    assert read() == (data.Licence("one-1.0", "Permissive", "one", "First\n---\nSecond"),)


@pytest.mark.parametrize("more", ["is_deprecated: yes\n---\ntext", "---\n\n", "---"])
def test_a_licence_out_of_force_or_without_a_text_is_left_out(licence: Path, more: str) -> None:
    licence.write_text(f"---\nkey: one\ncategory: Permissive\n{more}")
    assert read() == ()


@pytest.mark.parametrize(
    "content",
    [b"no rules", b"---\nkey: [\n---\ntext", b"---\nname: one\n---\ntext", b"---\n\xff\n---\ntext",
     b"---\n\n---\ntext"],
)  # fmt: skip
def test_a_file_that_is_no_licence_is_told(licence: Path, content: bytes) -> None:
    licence.write_bytes(content)
    with pytest.raises(DataError, match="is no licence"):
        read()
