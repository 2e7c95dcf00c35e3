"""Groups that copy from each other are joined; those that share a sentence are not."""

from __future__ import annotations

from enterprise_lab import data
from enterprise_lab.data.texts import Texts, labelled


def texts_of(**groups: str) -> Texts:
    """Texts that are single letters, of groups."""
    held = [(letter, group) for group, letters in groups.items() for letter in letters]
    return labelled([letter for letter, _ in held], ["a"] * len(held), [group for _, group in held])


def joined(**groups: str) -> list[set[str]]:
    texts = texts_of(**groups)
    found = data.join_relatives(texts, data.exact_duplicates(texts.texts))
    assert found.texts == texts.texts
    named: dict[str, set[str]] = {}
    for old, new in zip(texts.groups, found.groups, strict=True):
        named.setdefault(new, set()).add(old)
    assert all(new in old for new, old in named.items())
    return sorted(named.values(), key=sorted)


def test_groups_that_share_half_are_one() -> None:
    assert joined(mpl="abcdef", cpal="abcxyz", ms="uvw") == [{"cpal", "mpl"}, {"ms"}]


def test_a_chain_is_one() -> None:
    assert joined(one="abcdef", two="abcghi", three="ghijkl") == [{"one", "three", "two"}]


def test_groups_that_share_little_stay_apart() -> None:
    assert len(joined(one="abcd", two="abxy")) == 2
    assert len(joined(one="abcdefgh", two="abcstuvw")) == 2


def test_versions_of_one_group_count_once() -> None:
    assert len(joined(one="aaaabbbbcccc", two="abstuvwx")) == 2
    assert len(joined(one="aaaabbbbcccc", two="abcstu")) == 1


def test_it_is_named_by_the_one_that_is_copied_most() -> None:
    texts = texts_of(early="abcxyz", root="abcdef", late="defuvw")
    found = data.join_relatives(texts, data.exact_duplicates(texts.texts))
    assert set(found.groups) == {"root"}
