"""NPZ files as arrays of any shape."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np

from ..core.node import Array
from ..errors import DataError

LIMIT = 1 << 32
"""Bytes that an array may be unpacked to, by default: a small file can claim any number."""


def read_npz(path: str | Path, limit: int = LIMIT) -> dict[str, Array]:
    """The arrays in an NPZ file, by name, each with its own dtype.

    Raises DataError for Python objects (they are pickles, which can run code), a damaged file, and
    more than ``limit`` bytes of arrays (4 GB): a small file can unpack to very many.

    >>> import tempfile
    >>> import numpy as np
    >>> from chainrule.data import read_npz
    >>> with tempfile.NamedTemporaryFile(suffix=".npz") as file:
    ...     np.savez(file, x=np.zeros((2, 8, 8), np.uint8))
    ...     file.flush()
    ...     {name: a.shape for name, a in read_npz(file.name).items()}
    {'x': (2, 8, 8)}
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: {'not a file' if path.exists() else 'no such file'}")
    try:
        with zipfile.ZipFile(path) as held:
            size = sum(info.file_size for info in held.infolist())
            if size > limit:
                raise DataError(
                    f"{path}: its arrays have {size:,} bytes unpacked, more than the limit of "
                    f"{limit:,}; if you trust the file, say limit={size}"
                )
            found: dict[str, Array] = {}
            for info in held.infolist():
                with held.open(info) as file, warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # a header that Python 2 wrote
                    array = np.lib.format.read_array(file, allow_pickle=False)
                found[info.filename.removesuffix(".npy")] = array
            return found
    except DataError:
        raise
    except Exception as error:  # zipfile, its unpackers and NumPy raise errors of every kind
        text = "it holds Python objects (pickles)" if "pickle" in str(error) else str(error)
        raise DataError(f"{path}: not an NPZ file of numbers ({text})") from None
