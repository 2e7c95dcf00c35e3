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
from functools import cache

from enterprise_lab.data.licences import Licence

TOPICS: dict[str, str] = {
    "assignment": r"^(no )?assignment|^transfers?\b",
    "confidentiality": r"confidentiality|confidential information|non-?disclosure",
    "definitions": r"^definitions?\b|^interpretation$",
    "distribution": r"distribut",
    "entire agreement": r"(entire|complete|whole) agreement|^integration",
    "export": r"\bexport",
    "fees": (
        r"^(?!.*(attorney|circumvent|royalt))"
        r".*(\bfees?\b|payments?\b|\btaxes\b|\bpric(es?|ing)\b)"
    ),
    "governing law": (
        r"(governing|applicable|controlling) law|choice of law|^jurisdiction( and|$)"
        r"|dispute resolution"
    ),
    "government users": (
        r"^(?!forum).*government.* (users?|use|rights|entities|licensees?)$|restricted rights"
    ),
    "grant": (
        r"^((copyright|software) )?licen[sc]e grants?( for .*)?$|^grants?$"
        r"|^grant of (\w+ )?(licen[sc]e|rights)|installation and use rights|^permitted uses?$"
        r"|^(license|right) to use"
    ),
    "indemnity": r"indemni|responsibility for claims",
    "liability": r"liabilit",
    "modifications": (
        r"^(?!.*(agreement|licen[sc]e|no |not |online|terms))"
        r".*(modifi(cations?|ed)|derivative|larger works?)"
    ),
    "ownership": (
        r"^(?!.*(claim|grant|infring|notice|restrict|third))"
        r".*(ownership|intellectual property|^title\b|reservation of rights|proprietary rights)"
    ),
    "patents": r"patent(?!.*organi)",
    "privacy": r"^(?!.*terms).*(privacy|personal data|data protection|data collection|use of data)",
    "restrictions": (
        r"^((additional|general|licen[sc]e|other|usage|use) )?restrictions( on use)?$"
        r"|^prohibited us|^prohibitions$|reverse engineering"
    ),
    "severability": r"severab",
    "support": (
        r"^(no )?((customer|technical) )?support( services)?\b|^(software )?maintenance( and .*)?$"
        r"|\bupdates$|\bupgrades$"
    ),
    "termination": r"terminat|^term$",
    "third-party software": r"third[- ]party (software|code|components|programs|materials|notices)",
    "trademarks": r"trade ?marks?|use of (the )?names?\b",
    "warranty": r"warrant",
}
"""The topics, and what a heading that names one matches."""

LEAST_WORDS, MOST_WORDS = 15, 400
_HEADING_WORDS = 7

_TOPICS = {topic: re.compile(pattern, re.IGNORECASE) for topic, pattern in TOPICS.items()}
_MARKER = (
    r"(?:(?i:section|article|clause|§)[ \t]*[\dIVX]+(?:\.\d+)*[.):]*|\#+"
    r"|\(?\d+(?:\.\d+)*(?:[.):]+|(?=[ \t]))|\(?[IVXivx]+[.)]|\(?[A-Za-z][.)]|[-•](?=[ \t]))"
)
_LONE_MARKER = re.compile(rf"^([ \t]*{_MARKER})[ \t]*\n\s*", re.MULTILINE)
_IN_A_LINE = re.compile(r"(?<=[.;:)\"])[ ]+(?=\d{1,2}\. [A-Z][A-Z ,/&-]{4,60}[.:])")
_HEADING = re.compile(
    rf"^[ \t]*(?P<marker>{_MARKER})?[ \t]*[-–—.:]?[ \t]*"
    r"(?P<title>[A-Z][A-Za-z,;'/&() -]{2,75}?)[ \t]*(?:[.:](?=\s|[A-Z]|$)|[ \t][-–—][ \t]|$)",
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
    return tuple(clause for licence in licences for clause in _clauses(licence))


@cache
def _clauses(licence: Licence) -> tuple[Clause, ...]:
    if licence.language != "en":
        return ()
    return tuple(
        Clause(body, topic, heading, licence.key, licence.family)
        for heading, body in sections(licence.text)
        if (topic := topic_of(heading))
        if LEAST_WORDS <= len(body.split()) <= MOST_WORDS and _is_whole(body)
    )


def _is_whole(body: str) -> bool:
    """Whether a body is English throughout and no sentence that began in its heading."""
    if re.match(_GOING_ON, body):
        return False
    return len(re.sub(r"[\x00-\x7f]+", "", body)) <= len(body) / 200


def topic_of(heading: str) -> str | None:
    """Return the topic a heading names; None where it names none, or more than one."""
    if len(heading.split()) > _HEADING_WORDS:
        return None
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
    text = re.sub(r"\[([^\]]*)\]\([^)\s]*\)", r"\1", text)
    text = re.sub(r"\*\*|__|`|<[^>\n]*>", "", text)
    text = re.sub(r"^[ \t]*[-=_*~#+]{3,}[ \t]*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\bU\.? ?S\.(?: ?A\.)?", "US", text)
    text = re.sub(r"^[ \t]*(?:\*|//|;|>)(?=[ \t])", "", text, flags=re.MULTILINE)
    text = _IN_A_LINE.sub("\n", text)
    return re.sub(r"[ \t\r\f\v]+$", "", text, flags=re.MULTILINE)


_GOES_ON = frozenset(
    ["a", "an", "and", "any", "by", "for", "in", "must", "of", "on", "or", "the", "to", "with"]
)
"""Words that no heading ends in: a line that does is a sentence's, broken."""
_GOING_ON = r"[a-z]+[ ,]"
_SIGNS = str.maketrans("‘’“”–—\u00a0", "''\"\"-- ")


def _is_heading(found: re.Match[str], text: str) -> bool:
    """Whether a line's beginning is a heading: numbered, or after an empty line, in capitals."""
    words = found["title"].split()
    after = text[found.end() : found.end() + 80]
    if words[-1].lower() in _GOES_ON or re.match(rf"\n[ \t]*{_GOING_ON}", after):
        return False
    titled = all(word[0].isupper() for word in words if len(word) > 3 and word[0].isalpha())
    if found["marker"]:
        alone = found["marker"][0].isdigit() and found[0][-1].isalpha()
        return titled or alone or topic_of(found["title"]) is not None
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
