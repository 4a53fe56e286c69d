"""MNIST and Fashion-MNIST."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from ..core.node import Array
from .idx import idx_of
from .known_files import KnownSet, files_of
from .unpacking import unpacked

Part = tuple[Array, Array]
_SIZES = (47_040_016, 60_008, 7_840_016, 10_008)
"""Bytes of images (16 + N · 28²) and of labels (8 + N), of 60,000 and 10,000."""
_FILES = """
train-images-idx3-ubyte.gz 47040016 ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
train-labels-idx1-ubyte.gz 60008 65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
t10k-images-idx3-ubyte.gz 7840016 0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
t10k-labels-idx1-ubyte.gz 10008 ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
"""
_FASHION_FILES = """
train-images-idx3-ubyte.gz 26421880 8d4fb7e6c68d591d4c3dfef9ec88bf0d
train-labels-idx1-ubyte.gz 29515 25c81989df183df01b3e8a0aad5dffbe
t10k-images-idx3-ubyte.gz 4422102 bef4ecab320f06d8554ea6380940ec79
t10k-labels-idx1-ubyte.gz 5148 bb300cfdad3c16e7a12a480ee83cd310
"""
_MNIST = KnownSet(
    "MNIST",
    ("mnist", "MNIST/raw"),
    files_of(_FILES, inner=True),
    "http://yann.lecun.com/exdb/mnist",
    "Y. LeCun, C. Cortes and C. Burges; commonly given as CC BY-SA 3.0",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
)
_FASHION = KnownSet(
    "Fashion-MNIST",
    ("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
    files_of(_FASHION_FILES),
    "https://github.com/zalandoresearch/fashion-mnist",
    "MIT, Zalando SE",
    ("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",),
)


def load_mnist(folder: str | Path | None = None, *, download: bool = False) -> tuple[Part, Part]:
    """(x, y) for training and (x, y) for testing: 60,000 and 10,000 handwritten digits.

    x uint8 (N, 28, 28), 0 background, 255 ink; y int64 (N,). The four files (IDX, also with
    ``.gz``) are looked for in ``folder``; without it in ``mnist`` within the folder
    `CHAINRULE_DATA`, ``data``, ``../data``, ``../shared/data`` and the user's cache; their
    checksums are looked at. Nothing is fetched unless ``download``. Raises DataError that says what
    to fetch, from where, and where to put it.

    >>> from chainrule.data import load_mnist
    >>> (x, y), (x_test, y_test) = load_mnist()  # doctest: +SKIP
    >>> x.shape, x.dtype, y[:5]  # doctest: +SKIP
    ((60000, 28, 28), dtype('uint8'), array([5, 0, 4, 1, 9]))
    """
    return _load(_MNIST, folder, download)


def load_fashion_mnist(
    folder: str | Path | None = None, *, download: bool = False
) -> tuple[Part, Part]:
    """As `load_mnist`: 60,000 and 10,000 pictures of clothes in ten classes (Xiao et al., 2017)."""
    return _load(_FASHION, folder, download)


def _load(known: KnownSet, folder: str | Path | None, download: bool) -> tuple[Part, Part]:
    found: list[Array] = []
    for file, size in zip(known.files, _SIZES, strict=True):
        data = known.read(file, folder, download)
        if not file.inner:
            data = unpacked(Path(file.name), size, data)
        found.append(idx_of(io.BytesIO(data), file.name))
    x, y, x_test, y_test = found
    return (x, y.astype(np.int64)), (x_test, y_test.astype(np.int64))
