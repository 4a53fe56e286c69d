"""Reading MNIST's files, whole and damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import load_mnist
from chainrule.errors import DataError

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx(magic: int, array: np.ndarray) -> bytes:
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return magic.to_bytes(4, "big") + sizes + array.tobytes()


def write(folder: Path, images: bytes, labels: bytes, packed: bool = True) -> Path:
    for name, held in (("images-idx3", images), ("labels-idx1", labels)):
        end = ".gz" if packed else ""
        path = folder / f"train-{name}-ubyte{end}"
        path.write_bytes(gzip.compress(held) if packed else held)
    return folder


LABELS = idx(2049, np.array([7, 1], np.uint8))


@pytest.mark.parametrize("packed", [True, False])
def test_images_and_labels(tmp_path: Path, packed: bool) -> None:
    x, y = load_mnist(write(tmp_path, idx(2051, IMAGES), LABELS, packed))
    np.testing.assert_array_equal(x, IMAGES)
    assert x.dtype == np.uint8 and y.dtype == np.int64 and y.tolist() == [7, 1]


def test_the_folder_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mnist").mkdir()
    write(tmp_path / "mnist", idx(2051, IMAGES), LABELS)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    assert load_mnist()[0].shape == (2, 3, 4)
    with pytest.raises(DataError, match=r"no t10k-images-idx3-ubyte\(\.gz\) in .*mnist"):
        load_mnist(train=False)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (idx(2051, IMAGES)[:-1], "should hold 24 numbers, shape (2, 3, 4), has 23"),
        (idx(2051, IMAGES) + b"0", "should hold 24 numbers, shape (2, 3, 4), has more"),
        (idx(2049, IMAGES[:, 0, 0])[:3], "not an IDX file of images or labels: starts b"),
        (b"PK\3\4" + bytes(30), "not an IDX file of images or labels: starts b'PK"),
        (idx(2051, IMAGES[:1]), "1 images, but 2 labels"),
        (
            (2051).to_bytes(4, "big") + b"\xff" * 12,
            "says that it holds [4294967295, 4294967295, 4294967295] bytes, more than 1 GiB",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, images: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        load_mnist(write(tmp_path, images, LABELS))
    assert message in str(caught.value)


def test_a_damaged_archive(tmp_path: Path) -> None:
    write(tmp_path, idx(2051, IMAGES), LABELS)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot be read"):
        load_mnist(tmp_path)
