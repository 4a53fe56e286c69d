"""IDX files: the format of MNIST and its kin."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .unpacking import GZIP

_DTYPES = {8: "u1", 9: "i1", 11: "i2", 12: "i4", 13: "f4", 14: "f8"}
MOST = 1 << 34
"""The most bytes of an array in a file."""


def read_idx(path: str | Path) -> Array:
    """The array in an IDX file (also with gzip): uint8 for images and labels of the MNIST family.

    Two zero bytes, the type (8: uint8, 9: int8, 11: int16, 12: int32, 13: float32, 14: float64),
    the number of axes; a big-endian int32 for each; then the numbers, big-endian. Raises DataError
    for anything else, and for a file that is longer or shorter than it says.

    >>> import tempfile
    >>> from chainrule.data import read_idx
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    ...     file.flush()
    ...     read_idx(file.name)
    array([[1, 2, 3],
           [4, 5, 6]], dtype=uint8)
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == GZIP
            raw.seek(0)
            return idx_of(raw if not packed else gzip.open(raw), path)  # type: ignore[arg-type]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error})") from None


def idx_of(file: IO[bytes], path: str | Path) -> Array:
    """The array in an open IDX file; ``path`` is for messages."""
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _DTYPES:
        raise DataError(
            f"{path}: no IDX file: it begins with {start.hex(' ') or 'nothing'}; expected 00 00, a "
            "type (08 uint8, 09 int8, 0b int16, 0c int32, 0d float32, 0e float64), the number of "
            "axes"
        )
    dtype, axes = np.dtype(_DTYPES[start[2]]), start[3]
    lengths = file.read(4 * axes)
    if len(lengths) < 4 * axes:
        raise DataError(f"{path}: the file ends within the lengths of its {axes} axes")
    shape = struct.unpack(f">{axes}I", lengths)
    size = math.prod(shape) * dtype.itemsize
    if size > MOST:
        raise DataError(f"{path}: {size:,} bytes for the shape {shape}; the most is {MOST:,}")
    data = file.read(size)
    if len(data) < size or file.read(1):
        has = f"{len(data):,}" if len(data) < size else "more"
        raise DataError(f"{path}: {size:,} bytes belong to the shape {shape}, it has {has}")
    found = np.frombuffer(data, dtype.newbyteorder(">")).reshape(shape)
    return found.astype(dtype)
