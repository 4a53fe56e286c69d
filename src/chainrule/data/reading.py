"""Reading: whatever holds a table, as a `Source` or a `Table`."""

from __future__ import annotations

import atexit
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from ..errors import DataError
from .excel import open_excel
from .npz import NpzSource
from .parquet import open_parquet
from .source import FrameSource, MemorySource, Source
from .tables import Table, extra, table_of_columns
from .text import TextSource
from .understood import Understood, reading_of


def open_table(
    path: str | Path,
    header: bool = True,
    *,
    encoding: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    missing: str | Iterable[str] = (),
    categorical: str | Iterable[str] = (),
    text: str | Iterable[str] = (),
    dates: str | Iterable[str] | Mapping[str, str] = (),
) -> Understood:
    """A file by its ending, or "-": a table from standard input.

    .csv, .tsv, .txt, .data (each also with .gz), .parquet, .npz, .xlsx.

    Columns of which most cells are numbers are numbers, also as people write them (``1.234,50 €``,
    ``$1,200``, ``12%``), and those of dates are dates; cells that are neither are missing, and a
    note says so. ``decimal`` ("." or ","), ``thousands`` and ``encoding`` overrule what is found;
    ``missing``: more words that mean that there is no value; ``categorical``: columns of
    categories, even if they are numbers; ``text``: columns to be taken as they are written;
    ``dates``: columns of dates, with their order if need be ("when:dmy", "mdy", "ymd"; "time";
    "number": seconds since 1970). ``header=False``: the first line is data and columns are
    ``column_1``, ``column_2``, ... Raises DataError with the reason.
    """
    reading = reading_of(decimal, thousands, missing, categorical, text, dates)
    if str(path) == "-":
        with standard_input() as (held, kind):
            source = _open(held, kind, header, encoding, "standard input")
    else:
        source = _open(Path(path), "", header, encoding, "")
    return Understood(source, reading)


def _open(path: Path, kind: str, header: bool, encoding: str | None, name: str) -> Source:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a folder; a table file is expected")
    if not path.is_file():
        raise DataError(f"{path}: not a file that can be read several times; save the table first")
    if path.stat().st_size == 0:
        raise DataError(f"{name or path}: the file is empty")
    endings = [s.lower() for s in path.suffixes]
    packed = endings[-1:] == [".gz"] and len(endings) > 1
    kind = kind or (endings[-2] if packed else (endings or [""])[-1])
    if kind in (".csv", ".tsv", ".txt", ".data"):
        return TextSource(path, header, "\t" if kind == ".tsv" else None, encoding, name)
    if kind in (".parquet", ".pq"):
        return _not_empty(open_parquet(path))
    if kind == ".npz":
        return _not_empty(NpzSource(path))
    if kind in (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods"):
        return _not_empty(open_excel(path, header))
    raise DataError(
        f"{path}: unknown kind of file {kind!r}; known are .csv, .tsv, .txt (also .gz), .parquet, "
        ".npz, .xlsx"
    )


@contextmanager
def standard_input() -> Iterator[tuple[Path, str]]:
    """What comes from standard input, in a file, and the kind of file that it begins as."""
    with NamedTemporaryFile(prefix="chainrule-", delete=False) as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    path = Path(file.name)
    atexit.register(path.unlink, missing_ok=True)
    with path.open("rb") as begun:
        start = begun.read(4)
    kind = {b"PAR1": ".parquet", b"PK\x03\x04": ".npz"}.get(start, ".csv")
    try:
        yield path, kind
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def read_table(path: str | Path, header: bool = True, **options: Any) -> Table:
    """A whole file in memory; see `open_table`."""
    return open_table(path, header, **options).table()


def source_of(data: Any, name: str = "the table") -> Understood:
    """A Source of a Source, a path, a Table, a dict of columns, or a DataFrame of any kind.

    Frames are read through narwhals (pandas, polars, ...) or Arrow (``__arrow_c_stream__``).

    >>> from chainrule.data import source_of
    >>> s = source_of({"size": [1.5, None], "colour": ["red", "blue"]})
    >>> s.rows, s.columns
    (2, ['size', 'colour'])
    """
    if isinstance(data, Understood):
        return data
    if isinstance(data, str | Path):
        return open_table(data)
    return Understood(_raw(data, name))


def _raw(data: Any, name: str) -> Source:
    if isinstance(data, Source):
        return data
    if isinstance(data, Table):
        return MemorySource(data)
    if isinstance(data, Mapping):
        return MemorySource(table_of_columns(data, name))
    nw = extra("narwhals", "reading a DataFrame")
    data = _named(data, name)
    try:
        frame = nw.from_native(data)
    except TypeError:
        if not hasattr(data, "__arrow_c_stream__"):
            raise DataError(
                f"{name}: a {type(data).__name__} is not a table; give a DataFrame, a dict of "
                "columns or a path"
            ) from None
        pl = extra("polars", "reading an Arrow stream")
        frame = nw.from_native(pl.DataFrame(data))
    if not hasattr(frame, "rows") and not frame.implementation.is_polars():
        frame = frame.collect()
    return FrameSource(frame, name)


def _named(data: Any, name: str) -> Any:
    """A pandas DataFrame whose columns are called by texts, no two alike."""
    if not (hasattr(data, "set_axis") and hasattr(data, "columns")):
        return data
    names = [str(c) for c in data.columns]
    double = [n for n, count in Counter(names).items() if count > 1]
    if double:
        raise DataError(
            f"{name}: {Counter(names)[double[0]]} columns are called {double[0]!r}; rename them"
        )
    plain = all(isinstance(c, str) for c in data.columns)
    return data if plain else data.set_axis(names, axis=1)


def table_of(data: Any, source: str = "the table") -> Table:
    """A Table of what `source_of` takes."""
    return data if isinstance(data, Table) else source_of(data, source).table()


def _not_empty(source: Source) -> Source:
    if not source.columns or not source.rows:
        raise DataError(
            f"{source.name}: the table has no {'rows' if source.columns else 'columns'}"
        )
    return source
