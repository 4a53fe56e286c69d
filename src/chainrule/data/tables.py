"""Tables: files (CSV, TSV, gzip, Parquet, NPZ) and DataFrames as named columns of numbers or
words."""

from __future__ import annotations

import csv
import gzip
import importlib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..core.node import Array
from ..errors import DataError, MissingExtraError

MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none")
"""Words of a text file that mean that a value is missing."""


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name: float64 with NaN where missing, or objects (str) with None.

    >>> from chainrule.data import table_of
    >>> t = table_of({"size": [1.5, None], "colour": ["red", "blue"]})
    >>> t.rows, t.is_number("size"), t.is_number("colour")
    (2, True, False)
    """

    columns: dict[str, Array]
    source: str = "the table"

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def is_number(self, name: str) -> bool:
        """Whether a column holds numbers, not words."""
        return bool(self.columns[name].dtype.kind == "f")

    def missing(self, name: str) -> Array:
        """bool (rows,): where a column has no value."""
        column = self.columns[name]
        return (
            np.isnan(column) if column.dtype.kind == "f" else np.array([v is None for v in column])
        )

    def take(self, index: Array) -> Table:
        """The rows at ``index`` (numbers or a mask)."""
        return Table({k: v[index] for k, v in self.columns.items()}, self.source)


def read_table(path: str | Path, header: bool = True) -> Table:
    """Read a file by its ending: .csv, .tsv, .txt (each also with .gz), .parquet, .npz.

    Values of text files are stripped; a column is numbers if all its values are. ``header=False``:
    the first line is data and columns are ``column_1``, ``column_2``, ... Raises DataError with the
    reason.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a folder; a table file is expected")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    endings = [s.lower() for s in path.suffixes]
    kind = endings[-2] if endings[-1:] == [".gz"] and len(endings) > 1 else (endings or [""])[-1]
    if kind in (".csv", ".tsv", ".txt", ".data"):
        return _read_text(path, header, "\t" if kind == ".tsv" else None)
    if kind in (".parquet", ".pq"):
        return _read_parquet(path)
    if kind == ".npz":
        return _read_npz(path)
    raise DataError(
        f"{path}: unknown kind of file {kind!r}; known are .csv, .tsv, .txt (also .gz), .parquet, "
        ".npz"
    )


def table_of(data: Any, source: str = "the table") -> Table:
    """A Table of a Table, a dict of columns, or a DataFrame of any kind (narwhals reads it)."""
    if isinstance(data, Table):
        return data
    if isinstance(data, Mapping):
        columns = {str(k): _column(source, str(k), np.asarray(v)) for k, v in data.items()}
    else:
        columns = _of_frame(data, source)
    lengths = {k: len(v) for k, v in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{source}: columns have unequal lengths: "
            f"{', '.join(f'{k} {n}' for k, n in lengths.items())}"
        )
    return Table(columns, source)


def _of_frame(data: Any, source: str) -> dict[str, Array]:
    nw = _extra("narwhals", "reading a DataFrame")
    try:
        frame = nw.from_native(data, eager_only=True)
    except TypeError:
        raise DataError(
            f"{source}: a {type(data).__name__} is not a table; give a DataFrame, a dict of "
            "columns or a file"
        ) from None
    found: dict[str, Array] = {}
    for name in frame.columns:
        column, dtype = frame[name], frame[name].dtype
        if dtype.is_numeric():
            found[name] = column.cast(nw.Float64).to_numpy().astype(np.float64)
        elif dtype == nw.Boolean or dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object):
            found[name] = _words(
                [None if v is None or v != v else str(v) for v in column.to_list()]
            )
        elif dtype.is_temporal() and dtype in (nw.Date, nw.Datetime):
            found[name] = _days(column.to_numpy())
        else:
            raise DataError(
                f"{source}: column {name!r} has type {dtype}; numbers, words, booleans or dates "
                "are expected"
            )
    return found


def _column(source: str, name: str, values: Array) -> Array:
    if values.ndim != 1:
        raise DataError(
            f"{source}: column {name!r} has shape {values.shape}; one value per row is expected"
        )
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind == "M":
        return _days(values)
    if values.dtype.kind not in "bUSO":
        raise DataError(
            f"{source}: column {name!r} has dtype {values.dtype}; numbers or words are expected"
        )
    items = [None if v is None or v != v else v for v in values.tolist()]
    if items and all(
        v is None or isinstance(v, int | float) and not isinstance(v, bool) for v in items
    ):
        return np.array([np.nan if v is None else v for v in items], np.float64)
    return _words(
        [None if v is None else v.decode() if isinstance(v, bytes) else str(v) for v in items]
    )


def _words(values: list[str | None]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _days(values: Array) -> Array:
    """Dates as days since 1970."""
    seconds = values.astype("datetime64[us]")
    days = seconds.astype(np.int64) / 86_400e6
    return np.where(np.isnat(seconds), np.nan, days)


# -- text ------------------------------------------------------------------------------------------
def _read_text(path: Path, header: bool, separator: str | None) -> Table:
    names, separator = _check_text(path, header, separator)
    pl = _extra("polars", f"reading {path.name}")
    try:
        frame = pl.read_csv(
            path,
            separator=separator,
            has_header=header,
            new_columns=names,
            infer_schema=False,
            truncate_ragged_lines=False,
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path}: {str(error).splitlines()[0]}") from None
    columns = {}
    for name in names:
        words = frame[name].str.strip_chars()
        words = words.set(words.is_in(list(MISSING)), None)
        numbers = words.cast(pl.Float64, strict=False)
        if numbers.null_count() == words.null_count():
            columns[name] = numbers.fill_null(float("nan")).to_numpy().astype(np.float64)
        else:
            columns[name] = _words(words.to_list())
    empty = np.all([Table(columns).missing(n) for n in names], axis=0)  # blank lines
    table = Table(columns, str(path))
    return table.take(~empty) if empty.any() else table


def _check_text(path: Path, header: bool, separator: str | None) -> tuple[list[str], str]:
    """The columns' names and the separator; DataError with the line of what is wrong."""
    line = 0
    try:
        with _open_text(path) as file:
            first = file.readline()
            while first and not first.strip():
                first = file.readline()
            if not first:
                raise DataError(f"{path}: the file is empty")
            separator = separator or max(",;\t|", key=first.count)
            file.seek(0)
            rows = _rows(file, separator)
            line, fields = next(rows)
            names = (
                [f.strip() for f in fields]
                if header
                else [f"column_{i + 1}" for i in range(len(fields))]
            )
            count = 0 if header else 1
            for line, row in rows:
                count += 1
                if len(row) != len(names):
                    raise DataError(
                        f"{path}, line {line}: {len(row)} {_fields(len(row))}, the first line has "
                        f"{len(names)};"
                        f" every line needs one value per column (separator {separator!r})"
                    )
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not UTF-8 text (byte 0x{error.object[error.start]:02x}); save the table in "
            "UTF-8 encoding"
        ) from None
    except (EOFError, gzip.BadGzipFile, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: damaged or not gzip ({error})") from None
    except csv.Error as error:
        raise DataError(f"{path}, after line {line}: {error}") from None
    _check_names(path, names)
    if not count:
        raise DataError(f"{path}: a header and no rows; give at least one example")
    return names, separator


def _fields(n: int) -> str:
    return "value" if n == 1 else "values"


def _open_text(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _rows(file: TextIO, separator: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(file, delimiter=separator, strict=True)
    for row in reader:
        if row and (len(row) > 1 or row[0].strip()):
            yield reader.line_num, row


def _check_names(path: Path, names: list[str]) -> None:
    double = sorted({n for n in names if names.count(n) > 1 and n})
    if double:
        raise DataError(
            f"{path}: several columns are named {', '.join(map(repr, double))}; names must differ"
        )
    if "" in names:
        raise DataError(
            f"{path}: column {names.index('') + 1} has no name in the first line; name it, or say "
            "that"
            " there is no header"
        )


# -- binary files ----------------------------------------------------------------------------------
def _read_parquet(path: Path) -> Table:
    pl = _extra("polars", f"reading {path.name}")
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"{path}: not a whole Parquet file ({str(error).splitlines()[0]})"
        ) from None
    return _not_empty(table_of(frame, str(path)))


def _read_npz(path: Path) -> Table:
    columns: dict[str, Array] = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            if not isinstance(held, np.lib.npyio.NpzFile):
                raise DataError(f"{path}: not an NPZ file")
            for name in held.files:
                array = held[name]
                if array.ndim == 2:
                    columns |= {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
                else:
                    columns[name] = array
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DataError(f"{path}: not a whole NPZ file ({error})") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: {error}") from None
    return _not_empty(table_of(columns, str(path)))


def _not_empty(table: Table) -> Table:
    if not table.columns or not table.rows:
        raise DataError(
            f"{table.source}: the table has no {'rows' if table.columns else 'columns'}"
        )
    return table


def _extra(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(f"{what} needs {name}: pip install 'chainrule[data]'") from None
