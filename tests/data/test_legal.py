"""Legal texts by name: the embedded ones, and the layouts of LEDGAR and CUAD."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections import Counter
from typing import Any

import pytest

from enterprise_lab import data
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.texts import Texts
from enterprise_lab.errors import UnknownNameError

from .conftest import Server, Workshop, file_of

BOUNDS = {"into": "unpacked", "at_most_bytes": 100_000, "at_most_files": 9}


@pytest.fixture(scope="module")
def texts() -> Texts:
    return data.legal_texts()


def test_clauses_of_licences_are_the_default(texts: Texts) -> None:
    assert texts.classes == tuple(sorted(data.TOPICS))
    assert 4_900 < len(texts) < 5_500
    assert {"mpl", "gpl", "ms"} <= set(texts.groups)


def test_enough_is_left_to_learn_from_without_copies(texts: Texts) -> None:
    near = data.near_duplicates(texts.texts)
    kept = data.join_relatives(texts, near).take(near.kept)
    counted = Counter(kept.labels.tolist())

    assert 2_300 < len(kept) < 2_900
    assert len(texts) - len(kept) > 2_000
    assert min(counted.values()) >= 30
    assert len(counted) >= 20
    assert len(set(kept.groups)) > 250
    parts = data.split(kept)
    assert len(parts.test) == pytest.approx(0.2 * len(kept), rel=0.1)
    assert set(kept.labels[parts.test]) == set(kept.labels)
    assert len(data.leaked(kept, parts)) == 0
    careless = data.split(texts, grouped=False)
    assert len(data.leaked(texts, careless)) > 0.5 * len(careless.test)


def ledgar(workshop: Workshop, server: Server, content: str) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        one = tarfile.TarInfo("ledgar.jsonl")
        one.size = len(content.encode())
        archive.addfile(one, io.BytesIO(content.encode()))
    serve(workshop, server, "ledgar", "ledgar.tar.gz", sink.getvalue())


def cuad(workshop: Workshop, server: Server, content: str) -> None:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("CUADv1.json", content)
    serve(workshop, server, "cuad", "data.zip", sink.getvalue())


def serve(workshop: Workshop, server: Server, name: str, path: str, content: bytes) -> None:
    workshop.write(name, [file_of(path, content, f"{server.address}/{path}", unpack=BOUNDS)])
    server.serve(f"/{path}", content)
    data.fetch(name)


def test_ledgar_is_an_object_a_line(workshop: Workshop, server: Server) -> None:
    lines = [
        {"text": "This Agreement may be amended.", "clause_type": "Amendments", "data_type": "dev"},
        {"text": "The laws of Délaware.", "clause_type": "Governing Laws", "data_type": "train"},
        {"text": "No amendment.", "clause_type": "Amendments", "data_type": "test"},
    ]
    ledgar(workshop, server, "".join(f"{json.dumps(line)}\n" for line in lines))

    texts = data.legal_texts("ledgar")

    assert texts.classes == ("Amendments", "Governing Laws")
    assert texts.labels.tolist() == [0, 1, 0]
    assert texts.texts[1] == "The laws of Délaware."
    assert len(set(texts.groups)) == 3


def contract(title: str, *marked: tuple[str, list[str]]) -> dict[str, Any]:
    questions = [
        {
            "id": f"{title}__{category}",
            "question": f'Highlight the parts (if any) related to "{category}".',
            "answers": [{"text": span, "answer_start": 0} for span in spans],
            "is_impossible": not spans,
        }
        for category, spans in marked
    ]
    return {"title": title, "paragraphs": [{"context": "...", "qas": questions}]}


def test_cuad_is_marked_spans_of_contracts(workshop: Workshop, server: Server) -> None:
    contracts = [
        contract("ACME__2001", ("Governing Law", ["the laws\n  of Utah"]), ("Parties", [])),
        contract("Other", ("Parties", ["Other Inc.", "One"]), ("Governing Law", ["of Maine"])),
    ]
    cuad(workshop, server, json.dumps({"version": "aok_v1.0", "data": contracts}))

    texts = data.legal_texts("cuad")

    assert texts.texts == ("the laws of Utah", "Other Inc.", "One", "of Maine")
    assert [texts.classes[label] for label in texts.labels] == [
        "Governing Law", "Parties", "Parties", "Governing Law",
    ]  # fmt: skip
    assert texts.groups == ("ACME__2001", "Other", "Other", "Other")


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"data": [{"title": 1}]}', '{"data": 3}', '{"data": []}']
)
def test_another_layout_of_cuad_is_told(workshop: Workshop, server: Server, content: str) -> None:
    cuad(workshop, server, content)
    with pytest.raises(DataError, match=r"files of cuad can't be read.*`elab data fetch cuad`"):
        data.legal_texts("cuad")


@pytest.mark.parametrize(
    "content", ["{", "[]\n", '{"text": "a"}\n', '{"text": 1, "clause_type": 2}']
)
def test_another_layout_of_ledgar_is_told(workshop: Workshop, server: Server, content: str) -> None:
    ledgar(workshop, server, content)
    with pytest.raises(DataError, match="files of ledgar can't be read"):
        data.legal_texts("ledgar")


@pytest.mark.parametrize("name", ["digits", "", None, ["ledgar"]])
def test_other_names_are_told(name: Any) -> None:
    with pytest.raises(UnknownNameError, match="data set of legal texts"):
        data.legal_texts(name)


def test_what_is_not_here_is_told(workshop: Workshop) -> None:
    workshop.write("ledgar", [file_of("ledgar.tar.gz", b"1", unpack=BOUNDS)])
    with pytest.raises(DataError, match="elab data fetch ledgar"):
        data.legal_texts("ledgar")
