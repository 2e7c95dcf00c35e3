"""Manifests: what they may say, how a wrong one is told, and those the package comes with."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import data
from enterprise_lab.data import manifest_files
from enterprise_lab.data.errors import ManifestError
from enterprise_lab.errors import LabError, UnknownNameError

from .conftest import Workshop, file_of, text_of

GOOD = text_of("good", [file_of("a.bin", b"1")])
NAMES = (
    "digits", "fashion-mnist", "cifar-10", "licence-texts", "ledgar", "cuad", "squad-1.1",
    "wikitext-2", "movielens-100k", "minilm", "bert-base-uncased", "bert-large-uncased",
    "bert-large-squad",
)  # fmt: skip


def told(text: str, name: str = "good") -> str:
    with pytest.raises(ManifestError) as caught:
        manifest_files.parse(Path(f"{name}.yaml"), text)
    return str(caught.value)


def changed(*keys: str | int, to: Any) -> str:
    content = yaml.safe_load(GOOD)
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return yaml.safe_dump(content, sort_keys=False)


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "{'pandas', 'pooch', 'requests', 'sklearn', 'torch', 'tqdm'}"
    code = f"import sys, enterprise_lab.data; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ask", [data.images, data.state, data.fetch, data.at_hand, data.manifest])
@pytest.mark.parametrize("name", [[], {}, 3, None, b"digits", "", "../digits"])
def test_what_is_no_name_is_told_as_such(ask: Callable[[Any], object], name: object) -> None:
    with pytest.raises(UnknownNameError, match="There is no data set"):
        ask(name)


def test_all_that_the_labs_name_are_there() -> None:
    assert {one.name for one in data.manifests()} >= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_manifest_says_what_a_student_needs(name: str) -> None:
    asked = data.manifest(name)

    assert asked.recorded == (name not in ("bert-large-uncased", "bert-large-squad"))
    assert asked.embedded == (name in ("digits", "licence-texts", "minilm"))
    assert asked.embedded or asked.stand_in or name == "movielens-100k"
    assert len(asked.licence.student_may) > 20


def test_every_sha256_has_a_source_that_one_can_look_up() -> None:
    """A named project's file at a commit, or a release of a package."""
    named = re.compile(r"/blob/[0-9a-f]{40}/|\(commit [0-9a-f]{8,}\)|[\w-]+ \d+(\.\d+)+\b")
    for one in data.manifests():
        parts = [one.package] if one.package else [file for file in one.files or () if file.sha256]
        for part in parts:
            assert named.search(part.sha256_source), f"{one.name}: {part.sha256_source}"


def test_the_weights_of_minilm_are_the_ones_we_know() -> None:
    package = data.manifest("minilm").package
    assert package
    assert package.files[0].path == "model.safetensors"
    assert package.files[0].sha256 == (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )


def test_what_is_not_recorded_is_not_loaded() -> None:
    assert data.state("bert-large-uncased") == "sha256 not recorded"
    for ask in (data.fetch, data.at_hand):
        with pytest.raises(
            LabError, match=r"not recorded, so it is not loaded.*'minilm'.*elab data"
        ):
            ask("bert-large-uncased")


@pytest.mark.parametrize("name", ["cifar10", "", "../digits", "digits.yaml", 3])
def test_an_unknown_name_is_told_with_near_ones(name: Any) -> None:
    with pytest.raises(UnknownNameError, match="There is no data set called"):
        data.manifest(name)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["line 1", "Known here: name, title"]),
        ("- a", ["line 1", "Known here: name, title"]),
        ("name: [", ["good.yaml, line 1 is not plain YAML"]),
        ("name: good\nname: good\n", ["line 2", "the key name is given twice"]),
        ("name: &a good\ntitle: *a\n", ["line 2", "an alias stands here"]),
        ("name: &a [*a]\n", ["an alias stands here"]),
        ("name: !!timestamp x\n", ["not plain YAML"]),
        ("a: " + "[" * 3000, ["not plain YAML"]),
        (GOOD.replace("kind: data", "kind: dataset"), ["line 3 (kind)", "Write data or weights."]),
        (GOOD.replace("about:", "abuot:"), ["line 4 (abuot)", "Did you mean about?"]),
        (GOOD.replace("citation: Nobody (2026)\n", ""), ["(citation)", "missing"]),
        (GOOD.replace("name: CC0", "nam: CC0"), ["line 6 (licence.nam)", "student_may"]),
        (changed("licence", "address", to="x.org"), ["line 7 (licence.address)", "https://"]),
        (changed("files", 0, "path", to="../a"), ["files[0].path", "relative path"]),
        (changed("files", 0, "path", to="/etc/a"), ["files[0].path", "relative path"]),
        (changed("files", 0, "path", to="a\\b"), ["files[0].path", "relative path"]),
        (changed("files", 0, "path", to=".incoming"), ["files[0].path", "relative path"]),
        (changed("files", 0, "addresses", to=[]), ["files[0].addresses", "Give a list"]),
        (changed("files", 0, "addresses", 0, to="file:///x"), ["addresses[0]", "https://"]),
        (changed("files", 0, "bytes", to="12"), ["files[0].bytes", "whole number"]),
        (changed("files", 0, "bytes", to=0), ["files[0].bytes", "whole number"]),
        (changed("files", 0, "bytes", to=True), ["files[0].bytes", "whole number"]),
        (changed("files", 0, "sha256", to="F" * 64), ["files[0].sha256", "64 hexadecimal"]),
        (changed("files", 0, "sha256", to=None), ["files[0]", "both or neither"]),
        (changed("files", 0, "unpak", to=None), ["files[0].unpak", "Did you mean unpack?"]),
        (
            changed("files", 0, "unpack", to={"into": "x", "at_most_bytes": 1, "at_most_files": 1}),
            ["files[0]", "only an archive"],
        ),
        (changed("files", to=[]), ["(files)", "at least 1 item"]),
        (changed("files", to=None), ["line 1", "give files or package"]),
        (changed("package", to={}), ["(package.install)", "missing"]),
        (
            changed("files", to=[file_of("a", b"1"), file_of("A", b"1")]),
            ["two files or folders share a path"],
        ),
        (
            changed("files", to=[file_of("a", b"1"), file_of("a/b", b"1")]),
            ["two files or folders share a path"],
        ),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_told_by_file_line_key_and_mend(text: str, parts: list[str]) -> None:
    message = told(text)
    for part in ["good.yaml", *parts]:
        assert part in message


def test_the_file_is_named_as_the_data_set() -> None:
    assert "Rename the file to good.yaml" in told(GOOD, "other")


def test_a_stand_in_is_one_that_a_package_carries(workshop: Workshop) -> None:
    workshop.write("one", [file_of("a", b"1")], stand_in="two")
    workshop.write("two", [file_of("a", b"1")])

    with pytest.raises(ManifestError, match=r"one.yaml names the stand-in 'two'"):
        data.manifests()


def test_a_file_that_is_no_text_is_told(workshop: Workshop) -> None:
    (workshop.manifests / "bad.yaml").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match=r"bad.yaml cannot be read"):
        data.manifests()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(st.data())
def test_no_mutation_of_a_manifest_ends_in_a_traceback(draw: st.DataObject) -> None:
    content = yaml.safe_load(GOOD)
    for _ in range(draw.draw(st.integers(1, 3))):
        inner: Any = content
        while True:
            key = draw.draw(
                st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner)))
            )
            if not (
                isinstance(inner[key], dict | list) and inner[key] and draw.draw(st.booleans())
            ):
                break
            inner = inner[key]
        inner[key] = draw.draw(anything)
    _read_or_told(yaml.safe_dump(content, allow_unicode=True))


@given(
    st.integers(0, len(GOOD) - 1),
    st.integers(0, 12),
    st.text(
        st.sampled_from("&*!|>%@`{}[]:,#?-'\"\\ \n\t\0\x85" + string.ascii_letters), max_size=9
    ),
)
def test_no_broken_text_ends_in_a_traceback(at: int, gone: int, put: str) -> None:
    _read_or_told(GOOD[:at] + put + GOOD[at + gone :])


def _read_or_told(text: str) -> None:
    with suppress(ManifestError):
        manifest_files.parse(Path("good.yaml"), text)
