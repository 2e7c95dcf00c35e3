"""The opening sentence of a text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab.data.sentences import LEAST_WORDS, MOST_WORDS, opening, openings
from enterprise_lab.data.texts import Texts


def test_it_ends_where_the_first_long_sentence_does():
    text = "No warranty. The software comes as it is, without any promise. It may fail."
    assert opening(text) == "No warranty. The software comes as it is, without any promise."


def test_a_sentence_without_end_is_cut_off():
    assert opening("word " * 100).split() == ["word"] * MOST_WORDS


@given(st.text())
def test_it_is_how_the_text_begins_and_long_enough_where_that_is(text):
    words, found = text.split(), opening(text).split()
    assert found == words[: len(found)]
    assert min(len(words), LEAST_WORDS) <= len(found) <= MOST_WORDS


def test_labels_and_groups_stay():
    texts = Texts(("One. " * 30, "two"), np.array([1, 0]), ("a", "b"), ("x", "y"))
    cut = openings(texts)
    assert cut.texts == (" ".join(["One."] * 8), "two")
    assert (cut.labels == texts.labels).all()
    assert (cut.classes, cut.groups) == (texts.classes, texts.groups)
