"""Clauses of licences, labelled by what their headings say they are about.

A licence's headings cut it into clauses. A heading names the topic and is taken away, so that a
model has to tell from the body alone what the clause obliges to. LEDGAR was labelled the same way
(D. Tuggener and others, 2020: LEDGAR: A Large-Scale Multi-label Corpus for Text Classification of
Legal Provisions in Contracts. LREC).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from enterprise_lab.data.licences import Licence

TOPICS: dict[str, str] = {
    "assignment": r"^(no )?assign|^transfer|succession",
    "audit": r"\baudit|inspection|record-?keeping|^records",
    "confidentiality": r"confidential|non-?disclosure",
    "contributions": r"contribut",
    "definitions": r"^definitions?\b|^terms? used|^interpretation",
    "distribution": r"distribut|convey",
    "export": r"\bexport",
    "fees": r"\bfees?\b|payment|royalt|taxes|pric",
    "governing law": (
        r"governing law|applicable law|jurisdiction|choice of law|litigation|disputes?"
    ),
    "government users": r"government|restricted rights",
    "grant": (
        r"^(copyright |software )?licen[sc]e grant|^grant|scope of (the )?licen|^basic permissions"
        r"|installation and use rights|^permitted us|^rights? to use"
    ),
    "indemnity": r"indemni|responsibility for claims",
    "liability": r"liabilit|damages",
    "modifications": r"modif|derivative|larger works",
    "new versions": r"versions of (the|this) licen|^new versions|revised versions",
    "ownership": r"ownership|intellectual property|^title|reservation of rights|proprietary rights",
    "patents": r"patent",
    "privacy": (
        r"privacy|personal data|data protection|collection of data|data collection|use of data"
    ),
    "restrictions": (
        r"^restrict|restrictions( on use)?$|limitations$|prohibit|exclusions from licen"
    ),
    "severability": r"severab|entire agreement|integration|waiver",
    "source code": r"source code|source form",
    "support": r"support|maintenance|updates?|upgrades",
    "termination": r"terminat|^term$",
    "third-party software": r"third[- ]party (software|code|components|programs|materials|notices)",
    "trademarks": r"trade ?marks?|use of names?|publicity",
    "warranty": r"warrant",
}
"""The topics, and what a heading that names one matches."""

LEAST_WORDS, MOST_WORDS = 15, 400
_HEADING_WORDS = 7

_TOPICS = {topic: re.compile(pattern, re.IGNORECASE) for topic, pattern in TOPICS.items()}
_MARKER = (
    r"(?:(?:section|article|clause|§)[ \t]*[\dIVX]+(?:\.\d+)*[.):]*|\#+"
    r"|\(?\d+(?:\.\d+)*(?:[.):]+|(?=[ \t]))|\(?[IVXivx]+[.)]|\(?[A-Za-z][.)]|[-*•](?=[ \t]))"
)
_LONE_MARKER = re.compile(rf"^([ \t]*{_MARKER})[ \t]*\n\s*", re.MULTILINE | re.IGNORECASE)
_HEADING = re.compile(
    rf"^[ \t]*(?P<marker>{_MARKER})?[ \t]*[-–—.:]?[ \t]*"
    r"(?P<title>[A-Z][A-Za-z,;'/&() -]{2,70}?)[ \t]*(?:[.:](?=\s|[A-Z]|$)|[ \t][-–—][ \t]|$)",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Clause:
    """A clause's body, without its heading; the topic its heading names; and where it is from."""

    text: str
    topic: str
    heading: str
    licence: str
    family: str


def clauses(licences: Iterable[Licence]) -> tuple[Clause, ...]:
    """Return the clauses of English licences whose headings name exactly one topic, in order."""
    return tuple(
        Clause(body, topic, heading, licence.key, licence.family)
        for licence in licences
        if licence.language == "en"
        for heading, body in sections(licence.text)
        if (topic := topic_of(heading))
        if LEAST_WORDS <= len(body.split()) <= MOST_WORDS
    )


def topic_of(heading: str) -> str | None:
    """Return the topic a heading names; None where it names none, or more than one."""
    found = [topic for topic, pattern in _TOPICS.items() if pattern.search(heading)]
    return found[0] if len(found) == 1 else None


def sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield each heading of a text with the body up to the next heading, in one line."""
    plain = _LONE_MARKER.sub(r"\1 ", _plain(text))
    found = [one for one in _HEADING.finditer(plain) if _is_heading(one, plain)]
    starts = [one.start() for one in found]
    for one, end in zip(found, [*starts[1:], len(plain)], strict=bool(found)):
        heading = one["title"].strip()
        yield heading, _body(heading, plain[one.end() : end])


def _plain(text: str) -> str:
    """Return a text without marks of Markdown, rules and typographic signs."""
    text = unicodedata.normalize("NFKC", text).translate(_SIGNS)
    text = re.sub(r"\[([^\]\n]*)\]\([^)\n]*\)", r"\1", text)
    text = re.sub(r"\*\*|__|`|<[^>\n]*>", "", text)
    text = re.sub(r"^[ \t]*[-=_*~#+]{3,}[ \t]*$", "", text, flags=re.MULTILINE)
    return re.sub(r"[ \t\r\f\v]+$", "", text, flags=re.MULTILINE)


_SIGNS = str.maketrans("‘’“”–—\u00a0", "''\"\"-- ")


def _is_heading(found: re.Match[str], text: str) -> bool:
    """Whether a line's beginning is a heading: numbered, or after an empty line, in capitals."""
    words = found["title"].split()
    if len(words) > _HEADING_WORDS:
        return False
    titled = all(word[0].isupper() for word in words if len(word) > 3 and word[0].isalpha())
    if found["marker"]:
        return titled or topic_of(found["title"]) is not None
    return titled and text[max(0, found.start() - 2) : found.start()] in ("", "\n\n")


def _body(heading: str, text: str) -> str:
    """Return a body in one line, without its heading said again."""
    body = " ".join(text.split()).lstrip(" .:;-")
    while body.casefold().startswith(heading.casefold()):
        rest = body[len(heading) :]
        if not re.match(r"\s*[.:-]", rest):
            break
        body = rest.lstrip(" .:;-")
    return body
