"""NPZ files as tables, read row by row out of the archive."""

from __future__ import annotations

import math
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .source import BATCH, Source
from .tables import (
    LONGEST_WORD,
    MAX_COLUMNS,
    Table,
    check_columns,
    table_of_columns,
    too_many_columns,
    word_too_long,
)

AT_ONCE = 1 << 26
"""A piece has no more bytes, or one row."""
WHOLE = 1 << 30
"""A matrix stored by columns is read as a whole; no larger one is."""


@dataclass(frozen=True)
class _Member:
    """An array in an NPZ file, and the columns it holds: one, or those of a matrix."""

    file: zipfile.ZipInfo
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    by_columns: bool
    """Whether a column is in one piece (Fortran order): such a matrix is read as a whole."""


class NpzSource(Source):
    """An NPZ file: arrays (rows,) are columns; ``x`` (rows, n) is the columns x_0, x_1, ..."""

    def __init__(self, path: Path) -> None:
        """Read the arrays' headers. Raises DataError with the reason for what is no table."""
        self.path, self.name = path, str(path)
        with self._refusing(), zipfile.ZipFile(path) as held:
            files = held.infolist()
            if len(files) > MAX_COLUMNS:
                raise too_many_columns(self.name, len(files))
            self._members = [self._member(held, info) for info in files]
        check_columns(self.name, [c for m in self._members for c in m.columns])
        self.columns = [c for m in self._members for c in m.columns]
        lengths = {m.columns[0]: m.shape[0] for m in self._members if m.columns}
        if len(set(lengths.values())) > 1:
            raise DataError(
                f"{path}: columns have unequal lengths: "
                f"{', '.join(f'{k} {n}' for k, n in lengths.items())}"
            )
        self.rows = next(iter(lengths.values()), 0)

    def batches(
        self, columns: Sequence[str] | None = None, words: Collection[str] = ()
    ) -> Iterator[Table]:
        """The next rows of all arrays."""
        wanted = self.columns if columns is None else list(columns)
        chosen = [m for m in self._members if not set(wanted).isdisjoint(m.columns)]
        size = sum(m.dtype.itemsize * len(m.columns) for m in chosen)
        step = min(BATCH, max(1, AT_ONCE // max(size, 1)))
        with self._refusing(), ExitStack() as stack:
            held = stack.enter_context(zipfile.ZipFile(self.path))
            files = [stack.enter_context(held.open(m.file)) for m in chosen]
            readers = [_reader(m, f, step) for m, f in zip(chosen, files, strict=True)]
            for i in range(0, self.rows, step):
                n = min(step, self.rows - i)
                found: dict[str, Array] = {}
                for m, read in zip(chosen, readers, strict=True):
                    rows = read(n)
                    parts = rows.T if rows.ndim == 2 else [rows]
                    found |= dict(zip(m.columns, parts, strict=True))
                yield table_of_columns({c: found[c] for c in wanted}, self.name, i)

    def _member(self, held: zipfile.ZipFile, file: zipfile.ZipInfo) -> _Member:
        name = file.filename.removesuffix(".npy")
        with held.open(file) as opened:
            shape, fortran, dtype = _header(opened)
            start = opened.tell()
        if dtype.hasobject:
            raise DataError(
                f"{self.path}: {name!r} holds Python objects; save numbers or words (dtype "
                "float64 or str)"
            )
        dates = dtype.kind == "M" and np.datetime_data(dtype)[0] != "generic"
        if not (dates or dtype.kind in "biufUS") or len(shape) not in (1, 2):
            raise DataError(
                f"{self.path}: {name!r} has shape {shape} and dtype {dtype}; columns of numbers "
                "or words, (rows,) or (rows, columns), are expected"
            )
        if len(shape) == 2 and shape[1] > MAX_COLUMNS:
            raise too_many_columns(self.name, shape[1])
        if dtype.kind in "US" and dtype.itemsize > LONGEST_WORD * (4 if dtype.kind == "U" else 1):
            length = dtype.itemsize // (4 if dtype.kind == "U" else 1)
            raise word_too_long(self.name, name, length)
        size = math.prod(shape) * dtype.itemsize
        if min(shape) < 0 or not dtype.itemsize or start + size != file.file_size:
            raise EOFError(f"{name!r} has {file.file_size - start} bytes for shape {shape}")
        if len(shape) == 2 and fortran and size > WHOLE:
            raise DataError(
                f"{self.path}: {name!r} has {size >> 20} MB stored by columns; save it by rows "
                "(numpy.ascontiguousarray)"
            )
        several = len(shape) == 2
        columns = tuple(f"{name}_{i}" for i in range(shape[1])) if several else (name,)
        return _Member(file, dtype, shape, columns, several and fortran)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # zipfile, its unpackers and NumPy raise errors of every kind
            raise DataError(f"{self.path}: not a whole NPZ file ({error})") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    major, minor = np.lib.format.read_magic(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a header that Python 2 wrote, or a damaged one
        if (major, minor) == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)


def _reader(member: _Member, file: IO[bytes], step: int) -> Callable[[int], Array]:
    """A function that returns the next n rows."""
    _header(file)
    width = int(np.prod(member.shape[1:], dtype=np.int64))

    def items(count: int) -> Array:
        data = file.read(count * member.dtype.itemsize)
        if len(data) != count * member.dtype.itemsize:
            raise EOFError(f"{member.file.filename} ends early")
        return np.frombuffer(data, member.dtype)

    if not member.by_columns:
        return lambda n: items(n * width).reshape(n, *member.shape[1:])
    whole = items(member.shape[0] * width).reshape(member.shape, order="F")
    pieces = iter(range(0, member.shape[0], step))

    def piece(n: int) -> Array:
        start = next(pieces)
        return whole[start : start + n]

    return piece
