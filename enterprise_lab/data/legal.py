"""Legal texts with labels, by the name of their manifest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from enterprise_lab.data import store
from enterprise_lab.data.clauses import clauses
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.licences import licences
from enterprise_lab.data.texts import Texts, labelled
from enterprise_lab.errors import UnknownNameError


def legal_texts(name: str = "licence-texts") -> Texts:
    """Return a data set of legal texts that is on this machine, as it is: duplicates and all.

    licence-texts: clauses of licences, by topic, in groups by the licence's family. ledgar:
    provisions of contracts, by topic; of which contract is not known. cuad: spans that lawyers
    marked in contracts, by their category, in groups by contract; a span marked for two categories
    is there twice.
    Raises DataError where the data set is not here or its files aren't those of the manifest.
    """
    if not isinstance(name, str) or name not in _READERS:
        raise UnknownNameError("data set of legal texts", str(name), _READERS)
    folder = store.at_hand(name)
    try:
        return _READERS[name](folder)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise DataError(
            f"The files of {name} can't be read: {type(error).__name__}: {error}.",
            f"Run `elab data clean {name}`, then `elab data fetch {name}`.",
        ) from error


def _licence_texts(_: Path) -> Texts:
    found = clauses(licences())
    return labelled(
        [one.text for one in found],
        [one.topic for one in found],
        [one.family for one in found],
    )


def _ledgar(folder: Path) -> Texts:
    """Read a JSON object a line, as LexGLUE has them: the text and its one topic."""
    with (folder / "unpacked" / "ledgar.jsonl").open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return _labelled([(one["text"], one["clause_type"], str(row)) for row, one in enumerate(found)])


def _cuad(folder: Path) -> Texts:
    """Read SQuAD's layout: contracts, paragraphs and questions, whose id ends in `__CATEGORY`."""
    with (folder / "unpacked" / "CUADv1.json").open(encoding="utf-8") as source:
        contracts = json.load(source)["data"]
    found = [
        (" ".join(answer["text"].split()), question["id"].rpartition("__")[2], contract["title"])
        for contract in contracts
        for paragraph in contract["paragraphs"]
        for question in paragraph["qas"]
        for answer in question["answers"]
    ]
    return _labelled(found)


def _labelled(found: list[tuple[str, str, str]]) -> Texts:
    """Return texts from what a file says are text, class and group; ValueError if it doesn't."""
    if not found:
        raise ValueError("they hold no text")
    if not all(isinstance(part, str) for one in found for part in one):
        raise ValueError("a text or its class is no string")
    texts, names, groups = zip(*found, strict=True)
    return labelled(texts, names, groups)


_READERS: dict[str, Callable[[Path], Texts]] = {
    "licence-texts": _licence_texts,
    "ledgar": _ledgar,
    "cuad": _cuad,
}
