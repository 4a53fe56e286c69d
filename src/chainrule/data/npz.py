"""NPZ files as tables, read row by row out of the archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .source import BATCH, Source
from .tables import Table, table_of_columns

MAX_COLUMNS = 1 << 20
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # encrypted, or packed in a way that zipfile does not know
    LookupError,
    TypeError,
    SyntaxError,
    OverflowError,
    MemoryError,
)
"""What zipfile and NumPy raise for files that are damaged."""


@dataclass(frozen=True)
class _Member:
    """An array in an NPZ file, and the columns it holds: one, or those of a matrix."""

    file: str
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
            self._members = [self._member(held, info.filename) for info in held.infolist()]
        self.columns = [c for m in self._members for c in m.columns]
        double = sorted({c for c in self.columns if self.columns.count(c) > 1})
        if double:
            raise DataError(f"{path}: several columns are named {double[0]!r}; names must differ")
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
        chosen = [m for m in self._members if any(c in wanted for c in m.columns)]
        with self._refusing(), ExitStack() as stack:
            held = stack.enter_context(zipfile.ZipFile(self.path))
            files = [stack.enter_context(held.open(m.file)) for m in chosen]
            readers = [_reader(m, f) for m, f in zip(chosen, files, strict=True)]
            for i in range(0, self.rows, BATCH):
                n = min(BATCH, self.rows - i)
                found: dict[str, Array] = {}
                for m, read in zip(chosen, readers, strict=True):
                    rows = read(n)
                    parts = rows.T if rows.ndim == 2 else [rows]
                    found |= dict(zip(m.columns, parts, strict=True))
                yield table_of_columns({c: found[c] for c in wanted}, self.name, i)

    def _member(self, held: zipfile.ZipFile, file: str) -> _Member:
        name = file.removesuffix(".npy")
        with held.open(file) as opened:
            shape, fortran, dtype = _header(opened)
        if dtype.hasobject:
            raise DataError(
                f"{self.path}: {name!r} holds Python objects; save numbers or words (dtype "
                "float64 or str)"
            )
        if dtype.kind not in "biufUSM" or len(shape) not in (1, 2):
            raise DataError(
                f"{self.path}: {name!r} has shape {shape} and dtype {dtype}; columns of numbers "
                "or words, (rows,) or (rows, columns), are expected"
            )
        if len(shape) == 2 and shape[1] > MAX_COLUMNS:
            raise DataError(
                f"{self.path}: {name!r} has {shape[1]} columns; at most {MAX_COLUMNS} are read"
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
        except _DAMAGE as error:
            raise DataError(f"{self.path}: not a whole NPZ file ({error})") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    major, minor = np.lib.format.read_magic(file)
    if (major, minor) == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    return np.lib.format.read_array_header_2_0(file)


def _reader(member: _Member, file: IO[bytes]) -> Callable[[int], Array]:
    """A function that returns the next n rows."""
    _header(file)
    width = int(np.prod(member.shape[1:], dtype=np.int64))

    def items(count: int) -> Array:
        data = file.read(count * member.dtype.itemsize)
        if len(data) != count * member.dtype.itemsize:
            raise EOFError(f"{member.file} ends early")
        return np.frombuffer(data, member.dtype)

    if not member.by_columns:
        return lambda n: items(n * width).reshape(n, *member.shape[1:])
    whole = items(member.shape[0] * width).reshape(member.shape, order="F")
    pieces = iter(range(0, member.shape[0], BATCH))

    def piece(n: int) -> Array:
        start = next(pieces)
        return whole[start : start + n]

    return piece
