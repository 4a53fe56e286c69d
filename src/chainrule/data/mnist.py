"""MNIST: read from a folder; the package does not bring it."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from ..core.node import Array
from ..errors import DataError

_MAGIC = {2051: 3, 2049: 1}  # of bytes: the number of axes
_MOST = 1 << 30


def load_mnist(folder: str | Path | None = None, *, train: bool = True) -> tuple[Array, Array]:
    """Handwritten digits of 28 × 28 pixels: images uint8 (60000, 28, 28), labels int64 (60000,).

    ``train=False``: the 10000 test images. ``folder`` holds the four IDX files under their usual
    names (train-images-idx3-ubyte, ..., with or without .gz); None: the folder mnist in the one
    that ``CHAINRULE_DATA`` names. Raises DataError if they are not there or not whole.

    Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits.

    >>> from chainrule.data import load_mnist
    >>> load_mnist("nowhere")
    Traceback (most recent call last):
    chainrule.errors.DataError: no train-images-idx3-ubyte(.gz) in nowhere
    """
    if folder is None:
        home = os.environ.get("CHAINRULE_DATA")
        if not home:
            raise DataError(
                "load_mnist: MNIST does not come with the package; name its folder, or set "
                "CHAINRULE_DATA to the folder that holds a folder mnist"
            )
        folder = Path(home) / "mnist"
    part = "train" if train else "t10k"
    images = read_idx(_find(Path(folder), f"{part}-images-idx3-ubyte"))
    labels = read_idx(_find(Path(folder), f"{part}-labels-idx1-ubyte"))
    if len(images) != len(labels):
        raise DataError(f"{folder}: {len(images)} images, but {len(labels)} labels")
    return images, labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise DataError(f"no {name}(.gz) in {folder}")


def read_idx(path: Path) -> Array:
    """An IDX file of bytes (big-endian sizes, then the numbers), as MNIST has them."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            head = file.read(4)
            axes = _MAGIC.get(int.from_bytes(head, "big"), 0) if len(head) == 4 else 0
            if not axes:
                raise DataError(f"{path}: not an IDX file of images or labels: starts {head!r}")
            shape = [int.from_bytes(file.read(4), "big") for _ in range(axes)]
            size = math.prod(shape)
            if size > _MOST:
                raise DataError(f"{path}: says that it holds {shape} bytes, more than 1 GiB")
            body = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None
    if len(body) != size:
        more = "more" if len(body) > size else f"{len(body):,}"
        raise DataError(f"{path}: should hold {size:,} numbers, shape {tuple(shape)}, has {more}")
    return np.frombuffer(body, np.uint8).reshape(shape)
