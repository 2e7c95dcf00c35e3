"""Bringing one file here, over HTTP or from a mirror folder: resumed, bounded, verified.

What has arrived of a file lies beside it in the folder `.incoming`, as `.NAME.part`, with the
address and the server's validator in `.NAME.part.from`. A killed or cut-off download goes on from
there (RFC 9110, sections 13.1.5 and 14: Range with If-Range). pooch calls this, and hands the file
on when its sha256 holds.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from enterprise_lab.data.digests import fault_of
from enterprise_lab.data.errors import DownloadError
from enterprise_lab.data.schema import RemoteFile
from enterprise_lab.units import format_bytes

if TYPE_CHECKING:
    import requests

CHUNK = 2**18
TIMEOUT_SECONDS = (10, 60)
"""To connect, and between two pieces of an answer."""
ATTEMPTS = 5
"""At one address, while the connection breaks and each attempt brings something."""


class _CutOffError(Exception):
    """The connection broke in the middle of a file."""


def obtain(file: RemoteFile, target: Path, mirror: Path | None) -> None:
    """Put a recorded file in place, from the mirror's file if given, else from an address.

    Raises DownloadError where no source yields it, OSError where the disk doesn't take it.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    staging = part_of(target).parent
    staging.mkdir(parents=True, exist_ok=True)
    for left_by_a_kill in staging.glob("tmp*"):
        left_by_a_kill.unlink()
    sources = [str(mirror)] if mirror else file.addresses
    failures: list[DownloadError] = []
    for source in sources:
        try:
            verified = pooch.retrieve(
                source,
                known_hash=f"sha256:{file.sha256}",
                fname=target.name,
                path=staging,
                downloader=_Bringer(file, part_of(target), mirror),
            )
        except DownloadError as error:
            failures.append(error)
        else:
            put_in_place(Path(verified), target)
            return
    raise _together(failures)


def put_in_place(verified: Path, target: Path) -> None:
    """Move a file to where it is handed out from, and drop what its download needed."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    verified.replace(target)
    forget_part(target)


def forget_part(target: Path) -> None:
    """Drop what has arrived of a file."""
    part = part_of(target)
    part.unlink(missing_ok=True)
    _origin_file(part).unlink(missing_ok=True)
    with suppress(OSError):  # while another file's part is there
        part.parent.rmdir()


class _Bringer:
    """What pooch calls to download."""

    def __init__(self, file: RemoteFile, part: Path, mirror: Path | None) -> None:
        self.file = file
        self.part = part
        self.mirror = mirror

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        if self.mirror:
            copy(self.mirror, self.part, self.file)
        else:
            _bring(url, self.part, self.file)
        self.part.replace(output_file)


def part_of(target: Path) -> Path:
    """Return where what has arrived of a file lies."""
    return target.parent / ".incoming" / f".{target.name}.part"


def _origin_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.from")


def copy(source: Path, part: Path, file: RemoteFile) -> None:
    """Copy a mirror's file, verified where its sha256 is recorded. Raises DownloadError."""
    mend = "Put the file there that the manifest describes, or unset ENTERPRISE_LAB_MIRROR."
    _origin_file(part).unlink(missing_ok=True)
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise DownloadError(f"The mirror's {source} is not a plain file.", mend)
        with source.open("rb") as stream, part.open("wb") as sink:
            for chunk in iter(lambda: stream.read(CHUNK), b""):
                _write(sink, chunk, _limit(file), str(source))
            _flush(sink)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        if error.filename != str(source):
            raise
        raise DownloadError(f"The mirror's {source} cannot be read: {error.strerror}.", mend) from (
            error
        )
    if fault := _fault(part, file):
        part.unlink()
        raise DownloadError(f"The mirror's {source} {fault}.", mend)


def bring_unrecorded(file: RemoteFile, part: Path) -> str:
    """Download a file of which nothing is known but a bound, unless it arrived whole before.

    Return the address it is from. Raises DownloadError.
    """
    match _origin(part):
        case [address, _, "whole"] if address in file.addresses and part.exists():
            return address
    failures = []
    for address in sorted(file.addresses, key=lambda one: not _validator(part, one)):
        if not _validator(part, address):  # nothing tells whether it is of the same version
            part.unlink(missing_ok=True)
        try:
            _receive(address, part, file)
        except _CutOffError as error:
            failures.append(_cut_off(address, part, file, error))
        except DownloadError as error:
            failures.append(error)
        else:
            with _origin_file(part).open("a", encoding="utf-8") as sink:
                sink.write("whole\n")
            return address
    raise _together(failures)


def _bring(address: str, part: Path, file: RemoteFile) -> None:
    """Complete the part. One begun earlier that turns out wrong is fetched once more, whole."""
    stale = _size(part) > 0
    while True:
        if _size(part) < _limit(file):
            _fill(address, part, file)
        fault = _fault(part, file)
        if not fault:
            return
        part.unlink()
        if not stale:
            raise DownloadError(
                f"What {address} sent {fault}. None of it is kept.",
                "The file there was changed, or somebody tampers with the connection: don't use "
                "it, ask the maintainers of the manifest.",
            )
        stale = False


def _fill(address: str, part: Path, file: RemoteFile) -> None:
    """Receive until the part is whole, going on where a connection broke."""
    for left in reversed(range(ATTEMPTS)):
        before = _size(part)
        try:
            _receive(address, part, file)
        except _CutOffError as error:
            if not left or _size(part) <= before:
                raise _cut_off(address, part, file, error) from error
        else:
            return


def _together(failures: list[DownloadError]) -> DownloadError:
    return DownloadError(" ".join(one.problem for one in failures), failures[-1].remedy)


def _cut_off(address: str, part: Path, file: RemoteFile, error: Exception) -> DownloadError:
    whole = f" of {format_bytes(file.bytes)}" if file.bytes else ""
    return DownloadError(
        f"The download of {address} broke off after {format_bytes(_size(part))}{whole}: {error}.",
        "Run the same again: it goes on from there.",
    )


def _receive(address: str, part: Path, file: RemoteFile) -> None:
    """Ask for what is missing of a part and append it."""
    import requests
    import urllib3

    have = _size(part)
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
        if validator := _validator(part, address):
            headers["If-Range"] = validator
    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable and have:
                part.unlink()
                _receive(address, part, file)
                return
            begin = _begin(answer, address, part, file)
            if not begin:
                _note_origin(part, address, answer)
            with part.open("ab" if begin else "wb") as sink, _bar(file, begin) as bar:
                for chunk in answer.raw.stream(CHUNK, decode_content=False):
                    _write(sink, chunk, _limit(file), address)
                    bar.update(len(chunk))
                _flush(sink)
    except requests.RequestException as error:
        raise DownloadError(
            f"{address} cannot be reached: {_reason(error)}.",
            "Check the network. Without one, set ENTERPRISE_LAB_MIRROR to a folder that holds "
            "NAME/FILE for each file, or use the stand-in.",
        ) from error
    except urllib3.exceptions.HTTPError as error:
        raise _CutOffError(_reason(error)) from error
    if file.bytes and _size(part) < file.bytes:
        raise _CutOffError("the server ended the connection")


def _begin(answer: requests.Response, address: str, part: Path, file: RemoteFile) -> int:
    """Return the byte from which an answer goes on. Raises DownloadError for a wrong answer."""
    mend = "Try again later; if it stays so, the manifest's address is out of date: report it."
    if answer.status_code not in (200, 206):
        raise DownloadError(f"{address} answers {answer.status_code} {answer.reason}.", mend)
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DownloadError(
            f"{address} sends a web page instead of {file.path}.",
            "Open it in a browser: it may ask for a login, of the site or of your network.",
        )
    begin = 0
    length = answer.headers.get("Content-Length", "")
    whole = int(length) if length.isdecimal() else None
    if answer.status_code == 206:
        sent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        begin = int(sent[1]) if sent else -1
        if begin != _size(part):
            part.unlink(missing_ok=True)
            raise DownloadError(f"{address} sends another part than was asked for.", mend)
        whole = int(sent[2]) if sent and sent[2] != "*" else None
    if whole is not None and (whole != file.bytes if file.bytes else whole > _limit(file)):
        wanted = f"{file.bytes:,}" if file.bytes else f"at most {_limit(file):,}"
        raise DownloadError(
            f"{address} offers {whole:,} bytes where the manifest says {wanted}.", mend
        )
    return begin


def _limit(file: RemoteFile) -> int:
    return file.bytes or file.at_most_bytes or 0


def _fault(part: Path, file: RemoteFile) -> str:
    if file.bytes is None or file.sha256 is None:
        return ""
    return fault_of(part, file.bytes, file.sha256)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _write(sink: BinaryIO, chunk: bytes, limit: int, source: str) -> None:
    """Append to a file, but never beyond the limit; what went beyond it is dropped, all of it."""
    if sink.tell() + len(chunk) > limit:
        sink.truncate(0)
        raise DownloadError(
            f"{source} holds more than the {limit:,} bytes of the manifest. None of it is kept.",
            "The file there was changed: don't use it, ask the maintainers of the manifest.",
        )
    sink.write(chunk)


def _flush(sink: BinaryIO) -> None:
    sink.flush()
    os.fsync(sink.fileno())


def _note_origin(part: Path, address: str, answer: requests.Response) -> None:
    """Note the address and what identifies the server's version, before the first byte is kept."""
    part.unlink(missing_ok=True)
    tag = answer.headers.get("ETag", "")
    strong = tag if tag.startswith('"') else answer.headers.get("Last-Modified", "")
    _origin_file(part).write_text(f"{address}\n{strong}\n", encoding="utf-8")


def _origin(part: Path) -> list[str]:
    """Return a part's address, the server's validator, and "whole" where nothing is missing."""
    try:
        return _origin_file(part).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _validator(part: Path, address: str) -> str:
    """Return the validator to resume with; none for another address, where the sha256 decides."""
    kept = _origin(part)
    return kept[1] if len(kept) > 1 and kept[0] == address else ""


@contextmanager
def _bar(file: RemoteFile, begin: int) -> Iterator[Any]:
    """Show progress in a notebook and on a terminal, and nothing in a log."""
    from tqdm.auto import tqdm

    in_notebook = any(base.__name__ == "tqdm_notebook" for base in tqdm.__mro__)
    with tqdm(
        total=file.bytes,
        initial=begin,
        desc=file.path,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=False if in_notebook else None,
    ) as bar:
        yield bar


def _reason(error: BaseException) -> str:
    """Say in a few words why a connection failed: the innermost reason, without objects."""
    while (inner := getattr(error, "reason", None) or _first(error)) is not None:
        error = inner
    text = str(error) or type(error).__name__
    return re.sub(r"^<?HTTPS?Connection\w*\([^)]*\)[^:]*: |[.\s]+$", "", text)[:200]


def _first(error: BaseException) -> BaseException | None:
    return next((one for one in error.args if isinstance(one, BaseException)), None)
