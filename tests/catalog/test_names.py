"""Look-ups by the names people use."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import catalog
from enterprise_lab.errors import AmbiguousNameError, LabError, UnknownNameError

LOOK_UPS = {
    catalog.accelerator: [row.name for row in catalog.accelerators()],
    catalog.instance: [row.name for row in catalog.instances(include_retired=True)],
    catalog.model: [row.name for row in catalog.models()],
}
NAMES = [(look_up, name) for look_up, names in LOOK_UPS.items() for name in names]


@pytest.mark.parametrize(
    ("look_up", "asked", "name"),
    [
        (catalog.accelerator, "a100 80gb sxm", "A100-SXM4-80GB"),
        (catalog.accelerator, "A100-PCIe", "A100-PCIe-80GB"),
        (catalog.accelerator, "a10", "A10"),
        (catalog.accelerator, "L4", "L4"),
        (catalog.accelerator, "4090", "RTX 4090"),
        (catalog.accelerator, "tpu v3", "TPU v3 (chip)"),
        (catalog.accelerator, "tpuv3", "TPU v3 (chip)"),
        (catalog.accelerator, "B200", "B200-SXM"),
        (catalog.instance, "p4d", "p4d.24xlarge"),
        (catalog.instance, "P4D.24XLARGE", "p4d.24xlarge"),
        (catalog.instance, "p6-b200", "p6-b200.48xlarge"),
        (catalog.model, "bert-large", "bert-large-uncased"),
        (catalog.model, "GPT-2", "gpt2"),
        (catalog.model, "gpt2 xl", "gpt2-xl"),
        (catalog.model, "GPT-3", "gpt-3-175b"),
        (catalog.model, "Llama 3 8B", "llama-3-8b"),
    ],
)
def test_names_people_use(look_up, asked, name):
    assert look_up(asked).name == name


@pytest.mark.parametrize(
    ("look_up", "asked", "listed"),
    [
        (catalog.accelerator, "A100", ["A100-SXM4-40GB", "A100-SXM4-80GB", "A100-PCIe-80GB"]),
        (catalog.accelerator, "H100 SXM", ["H100-SXM5-80GB", "H100-SXM-96GB-500W"]),
        (catalog.instance, "g5", ["g5.xlarge", "g5.48xlarge"]),
        (catalog.instance, "p5", ["p5.4xlarge", "p5.48xlarge"]),
        (catalog.model, "bert-base", ["bert-base-uncased", "bert-base-cased"]),
    ],
)
def test_an_ambiguous_name_lists_what_it_could_be(look_up, asked, listed):
    with pytest.raises(AmbiguousNameError) as refused:
        look_up(asked)
    assert all(name in refused.value.remedy for name in listed)


def test_an_ambiguous_family_lists_no_other_family():
    with pytest.raises(AmbiguousNameError) as refused:
        catalog.instance("g5")
    assert "g5g" not in refused.value.remedy


@pytest.mark.parametrize(
    ("look_up", "asked", "near"),
    [
        (catalog.accelerator, "L40", "L40S"),
        (catalog.accelerator, "H20", "H200"),
        (catalog.accelerator, "A1000", "A100"),
        (catalog.instance, "p4d.48xlarge", "p4d.24xlarge"),
        (catalog.instance, "p4", "p4d.24xlarge"),
        (catalog.model, "bert-huge-uncased", "bert-large-uncased"),
        (catalog.model, "bert-large-cased", "bert-large-uncased"),
    ],
)
def test_an_unknown_name_lists_near_ones(look_up, asked, near):
    with pytest.raises(UnknownNameError) as refused:
        look_up(asked)
    assert near in refused.value.remedy


@pytest.mark.parametrize("look_up", [*LOOK_UPS, catalog.entry])
@pytest.mark.parametrize("nothing", ["", "  ", "!?", "日本"])
def test_a_name_without_letters_is_unknown(look_up, nothing):
    with pytest.raises(UnknownNameError):
        look_up(nothing)


@pytest.mark.parametrize("name", [None, 8, ["A100"]])
def test_what_is_no_text_names_nothing(name):
    with pytest.raises(LabError, match="No accelerator is called"):
        catalog.accelerator(name)
    with pytest.raises(LabError, match="precision"):
        catalog.accelerators(precision=name or 1)
    with pytest.raises(LabError, match="text"):
        catalog.accelerators(name)
    with pytest.raises(LabError, match="fp32, fp16, int8"):
        catalog.accelerator("T4").peak_flops(name)


@pytest.mark.parametrize("size", ["8", [1], -1, float("nan")])
def test_a_memory_to_filter_by_is_a_number(size):
    with pytest.raises(LabError, match="minimum_memory_bytes"):
        catalog.accelerators(minimum_memory_bytes=size)


@given(st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_any_casing_and_punctuation_of_a_name_finds_it(known, rng: random.Random):
    look_up, name = known
    spelt = "".join(
        rng.choice([letter.upper(), letter.lower()]) + rng.choice(["", "", "-", " ", "._"])
        if letter.isalnum()
        else rng.choice(["", " ", "-", "/", "__"])
        for letter in name
    )
    assert look_up(spelt).name == name
    assert catalog.entry(spelt).name == name


@given(st.sampled_from([*LOOK_UPS, catalog.entry, catalog.price]), st.text(max_size=30))
def test_any_text_gives_a_row_or_a_lab_error(look_up, text):
    with contextlib.suppress(LabError):
        assert look_up(text).source


@given(
    st.sampled_from([catalog.accelerators, catalog.instances, catalog.models, catalog.retired]),
    st.text(alphabet="abgp0123458. -", max_size=6),
)
def test_a_filter_text_only_narrows(listing, text):
    assert {row.name for row in listing(text)} <= {row.name for row in listing()}
