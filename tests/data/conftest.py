"""A folder of manifests, a cache and a server of one's own; no test touches the network."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from enterprise_lab.data import manifest_files


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass
class Served:
    """What a server has at a path, and how it misbehaves."""

    content: bytes
    ranges: bool = True
    etag: str = '"one"'
    status: int = 200
    kind: str = "application/octet-stream"
    length: bool = True
    range_begins: int | None = None
    """What it says a part begins at, when that is a lie."""
    breaks_after: int | None = None
    """Bytes of an answer after which the connection breaks; every answer's."""
    stops_after: int | None = None
    """Bytes of an answer after which the server waits for `goes_on`."""
    goes_on: threading.Event = field(default_factory=threading.Event)


@dataclass
class Server:
    """A server on this machine, and what it was asked."""

    address: str
    files: dict[str, Served] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """Path, Range and If-Range of every request."""

    def serve(self, path: str, content: bytes, **how: object) -> Served:
        self.files[path] = Served(content, **how)  # type: ignore[arg-type]
        return self.files[path]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "*")

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            asked = self.headers.get("Range", ""), self.headers.get("If-Range", "")
            mine.asked.append((self.path, *asked))
            served = mine.files.get(self.path)
            if served is None or served.status != 200:
                self.send_response(served.status if served else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            begin, whole = 0, len(served.content)
            if served.ranges and asked[0] and asked[1] in ("", served.etag):
                begin = int(asked[0].removeprefix("bytes=").removesuffix("-"))
                if begin >= whole:
                    self.send_response(416)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
            body = served.content[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Type", served.kind)
            if served.etag:
                self.send_header("ETag", served.etag)
            if begin:
                said = begin if served.range_begins is None else served.range_begins
                self.send_header("Content-Range", f"bytes {said}-{whole - 1}/{whole}")
            if served.length:
                self.send_header("Content-Length", str(len(body)))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            try:
                if served.stops_after is not None:
                    self.wfile.write(body[: served.stops_after])
                    self.wfile.flush()
                    served.goes_on.wait(60)
                    body = body[served.stops_after :]
                self.wfile.write(body[: served.breaks_after])
            except OSError:
                pass
            self.close_connection = served.breaks_after is not None or not served.length

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.handle_error = lambda *_: None  # type: ignore[method-assign]
    mine = Server(f"http://127.0.0.1:{running.server_port}")
    thread = threading.Thread(target=running.serve_forever, args=(0.01,))
    thread.start()
    yield mine
    for served in mine.files.values():
        served.goes_on.set()
    running.shutdown()
    thread.join()
    running.server_close()


def text_of(name: str, files: list[dict[str, object]], **more: object) -> str:
    """Return the text of a manifest."""
    content: dict[str, object] = {
        "name": name,
        "title": name.title(),
        "kind": "data",
        "about": "Bytes for a test.",
        "licence": {"name": "CC0", "address": "https://x.org/cc0", "student_may": "Do all."},
        "citation": "Nobody (2026)",
        "homepage": "https://x.org/",
        "files": files,
    }
    return yaml.safe_dump(content | more, sort_keys=False)


def file_of(path: str, content: bytes, *addresses: str, **more: object) -> dict[str, object]:
    """Return a manifest's entry of a recorded file."""
    return {
        "path": path,
        "addresses": list(addresses) or ["http://127.0.0.1:9/none"],
        "bytes": len(content),
        "sha256": digest(content),
        "sha256_source": "this test",
        **more,
    }


@dataclass
class Workshop:
    """Manifests and a cache for one test."""

    manifests: Path
    cache: Path

    def write(self, name: str, files: list[dict[str, object]], **more: object) -> Path:
        file = self.manifests / f"{name}.yaml"
        file.write_text(text_of(name, files, **more), encoding="utf-8")
        return file


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    folder = tmp_path / "manifests"
    folder.mkdir()
    monkeypatch.setattr(manifest_files, "folder", lambda: folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ENTERPRISE_LAB_MIRROR", raising=False)
    return Workshop(folder, tmp_path / "cache" / "enterprise-lab" / "data")
