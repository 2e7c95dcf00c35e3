"""Pictures with labels, as arrays, from files that were just verified."""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from enterprise_lab.data import manifest_files, store
from enterprise_lab.data.errors import DataError
from enterprise_lab.errors import UnknownNameError

Pixels: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]

_DIGITS_TEST = 360
"""Of the 1,797 digits, a fifth."""


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled pictures in a fixed split.

    Pictures have the shape (n, channels, height, width) and values from 0 to 1, labels the shape
    (n,) and values from 0 to `classes` - 1.
    """

    name: str
    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels
    classes: int
    source: str

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.train_images.shape[1:]))
        return (
            f"{self.name}: {len(self.train_labels):,} + {len(self.test_labels):,} pictures of "
            f"{size}, {self.classes} classes"
        )


def images(name: str = "digits") -> Images:
    """Return a data set of pictures that is on this machine.

    digits is split here, by class and always the same way; the others come split by their authors.
    Raises DataError where the data set is not here or its files aren't those of the manifest.
    """
    if not isinstance(name, str) or name not in _READERS:
        raise UnknownNameError("data set of pictures", str(name), _READERS)
    folder = store.at_hand(name)
    try:
        train_images, train_labels, test_images, test_labels = _READERS[name](folder)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"The files of {name} can't be read: {error}.", "Run `elab data fetch` for it again."
        ) from error
    about = manifest_files.manifest(name)
    return Images(
        name,
        train_images,
        train_labels,
        test_images,
        test_labels,
        classes=int(train_labels.max()) + 1,
        source=f"{about.title}, {about.homepage}",
    )


_Split: TypeAlias = tuple[Pixels, Labels, Pixels, Labels]


def _digits(folder: Path) -> _Split:
    with gzip.open(folder / "digits.csv.gz", "rt") as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    pictures = (table[:, :64].reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    labels = table[:, 64]
    train, test = stratified(labels, _DIGITS_TEST)
    return pictures[train], labels[train], pictures[test], labels[test]


def stratified(labels: Labels, tests: int, seed: int = 0) -> tuple[Labels, Labels]:
    """Split positions into those to train and `tests` to test on, each class in proportion.

    The same on every machine and with every version of NumPy: it uses the bits of PCG64, which
    are guaranteed, and no method of a generator, which are not.
    """
    chance = np.random.PCG64(seed).random_raw(len(labels))
    order = np.argsort(chance, kind="stable")
    place = np.empty(len(labels))
    for one in np.unique(labels):
        mine = order[labels[order] == one]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    ranked = order[np.argsort(place[order], kind="stable")]
    return np.sort(ranked[tests:]), np.sort(ranked[:tests])


def _fashion_mnist(folder: Path) -> _Split:
    return *_idx_pair(folder, "train"), *_idx_pair(folder, "t10k")


def _idx_pair(folder: Path, part: str) -> tuple[Pixels, Labels]:
    pictures = _idx(folder / f"{part}-images-idx3-ubyte.gz", 3)
    labels = _idx(folder / f"{part}-labels-idx1-ubyte.gz", 1)
    if len(pictures) != len(labels):
        raise ValueError(f"{len(pictures)} pictures have {len(labels)} labels")
    return _scaled(pictures[:, None]), labels.astype(np.int64)


def _idx(file: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes (its format is described at http://yann.lecun.com/exdb/mnist/)."""
    with gzip.open(file) as stream:
        header = np.frombuffer(_exactly(stream, 4 + 4 * dimensions), dtype=">u4")
        if header[0] != 0x0800 + dimensions:
            raise ValueError(f"{file.name} is no IDX file of {dimensions} dimensions")
        shape = [int(length) for length in header[1:]]
        return np.frombuffer(_exactly(stream, math.prod(shape)), dtype=np.uint8).reshape(shape)


def _exactly(stream: io.BufferedIOBase | gzip.GzipFile, size: int) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        raise ValueError("a file ends early")
    return found


def _cifar_10(folder: Path) -> _Split:
    batches = folder / "unpacked" / "cifar-10-batches-bin"
    train = [_cifar_batch(batches / f"data_batch_{number}.bin") for number in range(1, 6)]
    test_images, test_labels = _cifar_batch(batches / "test_batch.bin")
    return (
        np.concatenate([pictures for pictures, _ in train]),
        np.concatenate([labels for _, labels in train]),
        test_images,
        test_labels,
    )


def _cifar_batch(file: Path) -> tuple[Pixels, Labels]:
    """Read records of a label and 3 x 32 x 32 bytes, red first, row by row."""
    records = np.frombuffer(file.read_bytes(), dtype=np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    return _scaled(records[:, 1:].reshape(-1, 3, 32, 32)), records[:, 0].astype(np.int64)


def _scaled(pictures: NDArray[np.uint8]) -> Pixels:
    return pictures.astype(np.float32) / np.float32(255)


_READERS: dict[str, Callable[[Path], _Split]] = {
    "digits": _digits,
    "fashion-mnist": _fashion_mnist,
    "cifar-10": _cifar_10,
}
