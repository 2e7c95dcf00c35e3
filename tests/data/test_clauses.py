"""Clauses: where headings cut a licence, what they name, and that nothing of them is left."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import data
from enterprise_lab.data.clauses import LEAST_WORDS, MOST_WORDS, sections, topic_of

BODY = "You shall stop all use of it and destroy what you have, all copies of it and its parts."


def cut(text: str) -> list[tuple[str, str]]:
    return list(sections(text))


@pytest.mark.parametrize(
    "heading",
    [
        "8. TERMINATION.", "8. Termination", "8.1 Termination:", "(8) Termination.",
        "8) Termination", "Section 8. Termination.", "SECTION 8 - TERMINATION",
        "Article VIII. Termination", "VIII. Termination.", "h. Termination.", "(h) Termination.",
        "## Termination", "**8. Termination**", "8.\n\nTermination\n", "TERMINATION",
        "Termination", "Termination:", "Termination\n-----------", "* Termination",
        "- Termination.", "8. __Termination.__",
    ],
)  # fmt: skip
def test_a_heading_is_cut_off(heading: str) -> None:
    found, body = cut(f"This is a preface.\n\n{heading}\n\n{BODY}\n\n9. GENERAL\n\nMore.")[0]
    assert found.title() == "Termination"
    assert body == BODY


@pytest.mark.parametrize(
    "heading", ["8. Termination.", "8. TERMINATION -", "Termination.", "d) Termination:"]
)
def test_a_body_may_follow_on_the_line(heading: str) -> None:
    assert cut(f"This is a preface.\n\n{heading} {BODY}")[0][1] == BODY


@pytest.mark.parametrize(
    "after",
    [
        "9. GENERAL\nMore.", "9.\n\nGeneral\n\nMore.", "SECTION 9. MISCELLANEOUS\n",
        "GENERAL PROVISIONS\n\nMore.", "9. What else there is to say\nMore.",
        "9 INABILITY TO COMPLY DUE TO STATUTE OR REGULATION.\n",
        "10. US GOVERNMENT RIGHTS. None.", "10. U.S. GOVERNMENT END USERS. None.",
        "9. Limitation of liability.\na. In no event.",
    ],
)  # fmt: skip
def test_the_next_heading_does_not_leak(after: str) -> None:
    assert cut(f"8. Termination. {BODY}\n\n{after}")[0] == ("Termination", BODY)


def test_a_numbered_heading_in_capitals_cuts_within_a_line() -> None:
    assert cut(f"8. Termination. {BODY} 9. GOVERNING LAW. Utah.") == [
        ("Termination", BODY), ("GOVERNING LAW", "Utah."),
    ]  # fmt: skip


def test_a_heading_said_again_is_cut_off() -> None:
    assert cut(f"8. Termination\n\nTERMINATION. {BODY}")[-1][1] == BODY
    assert cut(f"8. Termination: Termination - {BODY}")[-1][1] == BODY


@pytest.mark.parametrize(
    "line",
    [
        "2. Redistributions in binary form must reproduce the\nabove notice.",
        "3. Warranty claims\nare not made here.",
        "The Warranty of this is\nnone.",
    ],
)
def test_a_broken_sentence_is_no_heading(line: str) -> None:
    assert cut(line) == []


def test_marks_and_signs_become_plain() -> None:
    text = "8. Termination. “You”\u00a0may *not*\nuse `it`, see [Notices](#notices) <b>here</b>."
    assert cut(text) == [("Termination", '"You" may *not* use it, see Notices here.')]


@pytest.mark.parametrize(
    ("heading", "topic"),
    [
        ("LIMITATION OF LIABILITY", "liability"), ("Term and Termination", "termination"),
        ("Governing Law; Venue", "governing law"), ("No Warranty", "warranty"),
        ("Disclaimer of Warranty and Limitation of Liability", None), ("General", None),
        ("Entire Agreement; Severability", None),
        ("US Government Restricted Rights", "government users"),
        ("Open Government Licence", None), ("Modification of this License", None),
        ("Derivative Works", "modifications"), ("Third Party Software", "third-party software"),
    ],
)  # fmt: skip
def test_a_heading_names_one_topic_or_none(heading: str, topic: str | None) -> None:
    assert topic_of(heading) == topic


@given(st.text(st.sampled_from("aA1.)(:-\n\n *#§U.S"), max_size=80))
def test_any_text_is_cut_into_lines(text: str) -> None:
    for heading, body in sections(text):
        assert heading == heading.strip() != ""
        assert body == " ".join(body.split())


def test_only_whole_english_clauses_are_kept() -> None:
    def of(body: str, language: str = "en") -> int:
        text = f"8. Termination. {body}"
        return len(data.clauses([data.Licence("one", "Permissive", "one", text, language)]))

    assert of(BODY) == 1
    assert of(BODY, "fr") == 0
    assert of("You shall stop.") == 0
    assert of("Stop it. " * 300) == 0
    assert of(f"{BODY} À défaut, la présente licence est résiliée.") == 0
    assert of(f"means that {BODY}") == 0


def test_the_clauses_of_the_package_are_clean() -> None:
    found = data.clauses(data.licences())

    assert 4_900 < len(found) < 5_500
    assert {one.topic for one in found} == set(data.TOPICS)
    for one in found:
        assert LEAST_WORDS <= len(one.text.split()) <= MOST_WORDS
        assert one.text == " ".join(one.text.split())
        assert not re.match(rf"{re.escape(one.heading)}\s*[.:]", one.text, re.IGNORECASE)
        assert not re.match(r"\d|[.:;-]", one.text) or re.match(r"[\d.]+\s?\S", one.text)
    leaks = [one for one in found if re.search(r"[a-z]\. \d+\. [A-Z][A-Z ]{5,}[.:]", one.text)]
    assert len(leaks) < 0.003 * len(found)
