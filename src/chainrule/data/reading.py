"""Reading: whatever holds a table, as a `Source` or a `Table`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from .npz import NpzSource
from .parquet import open_parquet
from .source import FrameSource, MemorySource, Source
from .tables import Table, extra, table_of_columns
from .text import TextSource


def open_table(path: str | Path, header: bool = True) -> Source:
    """A file by its ending: .csv, .tsv, .txt, .data (each also with .gz), .parquet, .npz.

    Values of text files are stripped; a column is numbers if all its values are. ``header=False``:
    the first line is data and columns are ``column_1``, ``column_2``, ... Raises DataError with the
    reason.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a folder; a table file is expected")
    if not path.is_file():
        raise DataError(f"{path}: not a file that can be read several times; save the table first")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty")
    endings = [s.lower() for s in path.suffixes]
    kind = endings[-2] if endings[-1:] == [".gz"] and len(endings) > 1 else (endings or [""])[-1]
    if kind in (".csv", ".tsv", ".txt", ".data"):
        return TextSource(path, header, "\t" if kind == ".tsv" else None)
    if kind in (".parquet", ".pq"):
        return _not_empty(open_parquet(path))
    if kind == ".npz":
        return _not_empty(NpzSource(path))
    raise DataError(
        f"{path}: unknown kind of file {kind!r}; known are .csv, .tsv, .txt (also .gz), .parquet, "
        ".npz"
    )


def read_table(path: str | Path, header: bool = True) -> Table:
    """A whole file in memory; see `open_table`."""
    return open_table(path, header).table()


def source_of(data: Any, name: str = "the table") -> Source:
    """A Source of a Source, a Table, a dict of columns, or a DataFrame of any kind.

    Frames are read through narwhals (pandas, polars, pyarrow, ...), or the Arrow interface
    (``__arrow_c_stream__``).

    >>> from chainrule.data import source_of
    >>> s = source_of({"size": [1.5, None], "colour": ["red", "blue"]})
    >>> s.rows, s.columns
    (2, ['size', 'colour'])
    """
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
                "columns or a file"
            ) from None
        pl = extra("polars", "reading an Arrow stream")
        frame = nw.from_native(pl.DataFrame(data))
    if not hasattr(frame, "rows") and not frame.implementation.is_polars():
        frame = frame.collect()
    return FrameSource(frame, name)


def column_names(names: Any) -> list[str]:
    """Columns as the user names them, one or several, by their text: a DataFrame may number its
    columns."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        return [str(names)]
    return [str(n) for n in names]


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
