"""What every store promises, of a directory and of a bucket on a server of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enterprise_lab.batch.attempt import State
from enterprise_lab.batch.stores import bucket, ledger
from enterprise_lab.batch.stores.directory import Directory
from enterprise_lab.batch.stores.store import Store, open_store
from enterprise_lab.errors import LabError

from ..test_runner import Played, batch_of, run, succeed

CREATORS = """\
import sys
from concurrent.futures import ThreadPoolExecutor
from enterprise_lab.batch.stores.store import open_store
store, me = open_store(sys.argv[1]), sys.argv[2].encode()
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(4) as pool:
    names = [f"tiny/.claims/{i}" for i in range(10)]
    print(sum(pool.map(lambda name: store.create(name, me), names)))
"""


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server of this machine, that the environment names, too."""
    server = pytest.importorskip("moto.server")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "nobody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "directory":
        return str(tmp_path / "runs")
    request.getfixturevalue("s3_server")
    monkeypatch.setattr(bucket.tempfile, "gettempdir", lambda: str(tmp_path))
    name = f"bucket-{abs(hash(request.node.nodeid)):x}"
    bucket._file_system().call_s3("create_bucket", Bucket=name)
    return f"s3://{name}/some/runs"


@pytest.fixture
def store(url: str) -> Store:
    return open_store(url)


def folder_with(store: Store, **files: str) -> Path:
    folder = store.scratch(f"tiny/.work/me/{threading.get_ident()}")
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("url", ["directory", "bucket"], indirect=True)
class TestStore:
    def test_its_url_opens_it_again(self, store: Store) -> None:
        store.replace("tiny/a", b"1")

        assert open_store(store.url).read("tiny/a") == b"1"

    def test_what_is_not_there_is_nothing(self, store: Store) -> None:
        assert store.read("tiny/a") is None
        assert store.read_all(["tiny/a", "tiny/b"]) == {}
        assert store.read_all([]) == {}
        assert store.names("tiny") == []
        store.delete("tiny/a")

    def test_a_name_is_created_once(self, store: Store) -> None:
        assert store.create("tiny/a", b"first")
        assert not store.create("tiny/a", b"second")
        assert not store.create("tiny/a", b"first")
        assert store.read("tiny/a") == b"first"
        assert store.names("tiny") == ["tiny/a"]

    def test_a_name_is_replaced_and_deleted(self, store: Store) -> None:
        for content in (b"first", b"", b"third"):
            store.replace("tiny/deep/a", content)
            assert store.read("tiny/deep/a") == content
        store.delete("tiny/deep/a")
        assert store.read("tiny/deep/a") is None
        assert store.create("tiny/deep/a", b"again")

    def test_names_are_those_below_and_sorted(self, store: Store) -> None:
        for name in ("tiny/b/2", "tiny/b/1", "tiny/a", "tiny/.claims/c", "tinier/d"):
            store.create(name, name.encode())
        store.scratch("tiny/.work/me/x")

        assert store.names("tiny") == ["tiny/.claims/c", "tiny/a", "tiny/b/1", "tiny/b/2"]
        assert store.names("tiny/b") == ["tiny/b/1", "tiny/b/2"]
        assert store.read_all(store.names("tiny/b")) == {
            "tiny/b/1": b"tiny/b/1",
            "tiny/b/2": b"tiny/b/2",
        }

    def test_a_folder_is_published_once_and_whole(self, store: Store) -> None:
        first = folder_with(store, log="said", status="first")
        (first / "pictures").mkdir()
        (first / "pictures" / "one.png").write_bytes(b"png")
        assert store.publish("tiny/run/1", first, "status")
        before = store.names("tiny")
        assert before == [f"tiny/run/1/{n}" for n in ("log", "pictures/one.png", "status")]

        late = folder_with(store, log="late", status="late", more="late")
        assert not store.publish("tiny/run/1", late, "status")

        assert store.names("tiny") == before
        assert store.read("tiny/run/1/status") == b"first"
        assert store.read("tiny/run/1/log") == b"said"

    def test_a_pipe_in_a_folder_holds_nobody_up(self, store: Store) -> None:
        folder = folder_with(store, status="done")
        os.mkfifo(folder / "pipe")
        (folder / "nowhere").symlink_to("/nowhere")

        assert store.publish("tiny/run/1", folder, "status")

    def test_of_many_threads_one_creates_a_name(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as pool:
            for round_ in range(3):
                name = f"tiny/{round_}"
                done = list(pool.map(lambda i, n=name: store.create(n, b"%d" % i), range(24)))
                assert done.count(True) == 1
                assert store.read(name) == b"%d" % done.index(True)

    def test_of_many_processes_one_creates_a_name(self, store: Store) -> None:
        creators = [
            subprocess.Popen(
                [sys.executable, "-c", CREATORS, store.url, str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(3)
        ]
        for one in creators:
            assert one.stdout is not None
            assert one.stdout.readline() == "ready\n"
        for one in creators:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()

        made = [int(one.communicate(timeout=60)[0]) for one in creators]

        assert sum(made) == 10
        kept = list(store.read_all(store.names("tiny/.claims")).values())
        assert [kept.count(b"%d" % number) for number in range(3)] == made

    def test_of_many_who_publish_an_end_one_does(self, store: Store) -> None:
        def publish(number: int) -> bool:
            folder = store.scratch(f"tiny/.work/me/{number}")
            (folder / "status").write_text(str(number))
            return store.publish("tiny/run/1", folder, "status")

        with ThreadPoolExecutor(8) as pool:
            done = list(pool.map(publish, range(16)))

        assert done.count(True) == 1
        assert store.read("tiny/run/1/status") == b"%d" % done.index(True)

    def test_who_reads_meanwhile_sees_whole_things(self, store: Store) -> None:
        contents = [bytes([letter]) * 100_000 for letter in b"ab"]
        store.replace("tiny/a", contents[0])
        over = threading.Event()

        def write() -> None:
            for turn in range(20):
                store.replace("tiny/a", contents[turn % 2])
            over.set()

        writer = threading.Thread(target=write)
        writer.start()
        while not over.is_set():
            assert store.read("tiny/a") in contents
        writer.join()
        assert store.names("tiny") == ["tiny/a"]

    def test_a_sweep_keeps_what_is_called(self, store: Store) -> None:
        kept, gone = store.scratch("tiny/.work/me/x"), store.scratch("tiny/.work/you/x")

        store.sweep("tiny/.work", lambda: {"me"})
        assert (kept.is_dir(), gone.exists()) == (True, False)

        store.sweep("tiny/.work", set)
        assert not kept.parent.parent.exists()

    def test_a_sweep_spares_who_comes_in_the_middle(self, store: Store) -> None:
        gone = store.scratch("tiny/.work/gone/x")
        come: list[Path] = []

        def keep() -> set[str]:
            come.append(store.scratch("tiny/.work/new/x"))
            return set()

        store.sweep("tiny/.work", keep)

        assert (come[0].is_dir(), gone.exists()) == (True, False)

    def test_a_sweep_in_the_middle_loses_nothing(self, store: Store) -> None:
        def sweep() -> None:
            for _ in range(15):
                store.sweep("tiny/.work", set)
                time.sleep(0.002)

        sweeper = threading.Thread(target=sweep)
        sweeper.start()
        number = 0
        while sweeper.is_alive() or number < 10:
            assert store.create(f"tiny/{number:05}", b"here")
            number += 1
        sweeper.join()

        assert len(store.names("tiny")) == number

    def test_two_runners_share_a_batch(self, store: Store, url: str) -> None:
        batch = batch_of(*(f"r{number}" for number in range(6)), slots=1)
        engines = [Played(succeed), Played(succeed)]
        places = [store, open_store(url)]

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda engine, place: run(batch, engine, place), engines, places))

        assert engines[0].made + engines[1].made == Counter(one.run_id for one in batch.runs)
        ended = ledger.attempts(store, "tiny")
        assert {one.state for (one,) in ended.values()} == {State.SUCCEEDED}
        assert len(ended) == 6
        assert store.read("tiny/r0/1/notebook.ipynb") == b"{}"
        assert store.names("tiny/.runners") == []


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Directory(tmp_path / "file" / "runs")

    with pytest.raises(LabError, match=r"cannot be kept in .*runs: Not a directory"):
        store.create("tiny/a", b"")
    assert store.read("tiny/a") is None
    assert store.names("tiny") == []


def test_writing_and_reading_errors_leave_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Directory(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(LabError, match="No space left on device"):
            store.create("tiny/a", b"content")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    store.replace("tiny/folder/a", b"")
    with pytest.raises(LabError, match="cannot be read: Is a directory"):
        store.read("tiny/folder")


def test_other_urls_are_refused() -> None:
    for url in ("gs://bucket/runs", "memory://runs", "s3://", "https://example.org/runs"):
        with pytest.raises(LabError, match="is no place for results"):
            open_store(url)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)

    with pytest.raises(LabError, match=r"enterprise-lab\[s3\]"):
        open_store("s3://bucket/runs")


@pytest.mark.usefixtures("s3_server")
def test_a_bucket_that_is_not_there_is_told() -> None:
    store = open_store("s3://no-such-bucket/runs")

    for use in (
        lambda: store.read("a"),
        lambda: store.names("a"),
        lambda: store.create("a", b""),
        lambda: store.replace("a", b""),
    ):
        with pytest.raises(LabError, match="s3://no-such-bucket/runs cannot be used"):
            use()


@pytest.mark.usefixtures("s3_server")
def test_no_credentials_and_no_server_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(LabError, match="Could not connect to the endpoint"):
            open_store("s3://bucket/runs").names("tiny")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    with pytest.raises(LabError, match="Unable to locate credentials"):
        open_store("s3://bucket/runs").names("tiny")


@pytest.mark.parametrize("url", ["bucket"], indirect=True)
def test_a_page_in_a_bucket_is_shown_by_browsers(store: Store) -> None:
    assert isinstance(store, bucket.Bucket)
    store.replace("tiny/report/index.html", b"<!doctype html>")

    assert store._files.info(store._path("tiny/report/index.html"))["ContentType"] == "text/html"


@pytest.mark.parametrize("url", ["bucket"], indirect=True)
def test_a_server_that_overwrites_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, bucket.Bucket)
    files = store._files
    careless = files.pipe_file
    monkeypatch.setattr(files, "pipe_file", lambda path, content, **_: careless(path, content))

    with pytest.raises(LabError, match="overwrites what it is asked to create"):
        store.create("tiny/a", b"")
    assert store.names("tiny") == []


@pytest.mark.parametrize("url", ["bucket"], indirect=True)
def test_a_write_that_is_sent_twice_is_known_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(store, bucket.Bucket)
    assert store.create("tiny/a", b"")
    files = store._files
    once = files.pipe_file

    def twice(path: str, content: bytes, **options: object) -> None:
        once(path, content, **options)
        once(path, content, **options)

    monkeypatch.setattr(files, "pipe_file", twice)

    assert store.create("tiny/b", b"same")
    assert not store.create("tiny/b", b"same")
