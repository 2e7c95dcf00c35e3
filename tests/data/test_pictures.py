"""Pictures as arrays: their shapes, their fixed split, and files that are not what they seem."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enterprise_lab import data
from enterprise_lab.data.errors import DataError
from enterprise_lab.data.pictures import stratified
from enterprise_lab.errors import UnknownNameError

from .conftest import Server, Workshop, file_of


def test_digits_are_here_and_split_by_class() -> None:
    digits = data.images()

    assert digits.name == "digits"
    assert digits.classes == 10
    assert digits.train_images.shape == (1437, 1, 8, 8)
    assert digits.test_images.shape == (360, 1, 8, 8)
    assert digits.train_images.dtype == digits.test_images.dtype == np.float32
    assert digits.train_labels.dtype == digits.test_labels.dtype == np.int64
    assert digits.train_images.min() == 0
    assert digits.train_images.max() == 1
    assert "1,437 + 360 pictures of 1 x 8 x 8, 10 classes" in repr(digits)
    shares = np.bincount(digits.test_labels) / np.bincount(digits.train_labels)
    assert shares == pytest.approx(np.full(10, 360 / 1437), rel=0.03)


def test_digits_are_those_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    pictures, labels = datasets.load_digits(return_X_y=True)
    train, test = stratified(labels, 360)
    digits = data.images()

    assert np.array_equal(digits.train_labels, labels[train])
    assert np.array_equal(digits.test_images.reshape(360, 64) * 16, pictures[test])


def test_the_split_never_changes() -> None:
    labels = data.images().test_labels.astype("<i8").tobytes()
    assert hashlib.sha256(labels).hexdigest()[:16] == "f9291f465e62b5bb"


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60).flatmap(
        lambda labels: st.tuples(st.just(labels), st.integers(0, len(labels)))
    )
)
def test_a_split_takes_each_class_in_proportion(case: tuple[list[int], int]) -> None:
    labels, tests = np.array(case[0]), case[1]
    train, test = stratified(labels, tests)

    assert sorted([*train, *test]) == list(range(len(labels)))
    assert len(test) == tests
    for one in np.unique(labels):
        share = (labels == one).sum() * tests / len(labels)
        assert abs((labels[test] == one).sum() - share) <= len(np.unique(labels))


def idx(array: np.ndarray) -> bytes:
    header = np.array([0x0800 + array.ndim, *array.shape], dtype=">u4").tobytes()
    return gzip.compress(header + array.tobytes())


def fashion(workshop: Workshop, server: Server, **wrong: bytes) -> None:
    chance = np.random.default_rng(0)
    files = []
    for part, count in (("train", 6), ("t10k", 4)):
        contents = {
            "images-idx3": idx(chance.integers(0, 256, (count, 28, 28), dtype=np.uint8)),
            "labels-idx1": idx(np.arange(count, dtype=np.uint8)),
        }
        for name, content in contents.items():
            path = f"{part}-{name}-ubyte.gz"
            content = wrong.get(f"{part}_{name[:6]}", content)
            server.serve(f"/{path}", content)
            files.append(file_of(path, content, f"{server.address}/{path}"))
    workshop.write("fashion-mnist", files)


def test_idx_files_become_pictures(workshop: Workshop, server: Server) -> None:
    fashion(workshop, server)
    with pytest.raises(DataError, match="`elab data fetch fashion-mnist`"):
        data.images("fashion-mnist")
    data.fetch("fashion-mnist")

    found = data.images("fashion-mnist")

    assert found.train_images.shape == (6, 1, 28, 28)
    assert found.test_labels.tolist() == [0, 1, 2, 3]
    assert 0.99 < found.train_images.max() <= 1


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"train_images": b"no gzip"}, "can't be read: Not a gzipped file"),
        ({"train_images": gzip.compress(b"\0\0")}, "ends early"),
        ({"train_images": idx(np.zeros((9, 9), np.uint8))}, "is no IDX file of 3 dimensions"),
        ({"train_labels": idx(np.zeros(5, np.uint8))}, "6 pictures have 5 labels"),
        ({"train_labels": idx(np.zeros(6, np.uint8))[:-12]}, "can't be read"),
    ],
)
def test_files_of_another_format_are_told(
    workshop: Workshop, server: Server, wrong: dict[str, bytes], told: str
) -> None:
    fashion(workshop, server, **wrong)
    data.fetch("fashion-mnist")
    with pytest.raises(DataError, match=told):
        data.images("fashion-mnist")


def test_cifars_records_become_pictures(workshop: Workshop, server: Server) -> None:
    record = bytes([7]) + bytes([255]) * 1024 + bytes([0]) * 1024 + bytes(range(256)) * 4
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
            one = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            one.size = 2 * len(record)
            archive.addfile(one, io.BytesIO(record * 2))
    content = sink.getvalue()
    bounds = {"into": "unpacked", "at_most_bytes": 100_000, "at_most_files": 6}
    address = f"{server.address}/c.tar.gz"
    workshop.write("cifar-10", [file_of("c.tar.gz", content, address, unpack=bounds)])
    server.serve("/c.tar.gz", content)
    data.fetch("cifar-10")

    found = data.images("cifar-10")

    assert found.train_images.shape == (10, 3, 32, 32)
    assert set(found.test_labels) == {7}
    assert found.train_images[0, 0].min() == 1
    assert found.train_images[0, 1].max() == 0
    assert found.train_images[0, 2, 0, 1] == np.float32(1 / 255)


def test_other_data_sets_are_no_pictures() -> None:
    with pytest.raises(UnknownNameError, match="data set of pictures"):
        data.images("ledgar")
