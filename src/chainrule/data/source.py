"""Sources: tables that are read in pieces, and may be larger than memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import DataError
from .tables import Table, check_columns, extra, number_objects, table_of_frame
from .written import PLAIN, WORDS, Kind

BATCH = 1 << 14
"""Rows of a piece."""


class Source(ABC):
    """Named columns, read from the first row to the last as often as needed."""

    name: str
    """What messages call it."""
    columns: list[str]
    rows: int
    doubt: str = ""
    """What to add to a message about the columns' names."""
    from_text = False
    """Whether its cells have no types, and words such as NA mean that a value is missing."""
    pointed: Collection[str] = ()
    """Columns of plain numbers that might be written with points between the thousands."""
    first_notes: Sequence[str] = ()
    """What to say of how it was read at all."""
    row_numbers: Collection[str] = ()
    """Columns without a name that only number the rows, or are empty."""
    _kinds: dict[str, Kind] | None = None

    @abstractmethod
    def batches(
        self, columns: Sequence[str] | None = None, words: Collection[str] = ()
    ) -> Iterator[Table]:
        """Pieces of at most some thousand rows, of some columns (default: all).

        A column is numbers in all pieces or words in all pieces. Those in ``words`` are not taken
        for numbers where the source does not say what they are (text files).
        """

    @property
    def kinds(self) -> dict[str, Kind]:
        """What each column is."""
        if self._kinds is None:
            self._kinds = {}
            for part in self.batches():
                dates = Kind("dates")
                for n in self.columns:
                    number = PLAIN if part.is_number(n) else WORDS
                    self._kinds[n] = dates if part.is_date(n) else number
                break
        return self._kinds

    def table(self) -> Table:
        """All of it in memory."""
        parts = [b.columns for b in self.batches()]
        if not parts:
            raise DataError(f"{self.name}: the table has no rows")
        return Table({n: np.concatenate([p[n] for p in parts]) for n in self.columns}, self.name)


class MemorySource(Source):
    """A `Table` in memory."""

    def __init__(self, table: Table) -> None:
        self._table, self.name = table, table.source
        self.columns, self.rows = list(table.columns), table.rows

    def batches(
        self, columns: Sequence[str] | None = None, words: Collection[str] = ()
    ) -> Iterator[Table]:
        """Slices, not copied."""
        wanted = self.columns if columns is None else columns
        for i in range(0, self.rows, BATCH):
            part = {n: self._table.columns[n][i : i + BATCH] for n in wanted}
            yield Table(part, self.name, i)

    def table(self) -> Table:
        """The table itself."""
        return self._table


class FrameSource(Source):
    """A DataFrame of any kind, or a polars LazyFrame (such as a Parquet file not yet read)."""

    def __init__(self, frame: Any, name: str, quick_slices: bool = False) -> None:
        """``frame``: of narwhals.

        ``quick_slices``: a slice of the LazyFrame costs little more than its rows (a file), so that
        no more than a slice need be held.
        """
        self._frame, self.name, self._quick_slices = frame, name, quick_slices
        self.columns = list(frame.collect_schema().names())
        check_columns(name, self.columns)
        self._lazy = not hasattr(frame, "rows")
        self.rows = self._count()
        self._objects = [] if self._lazy else number_objects(frame)

    def batches(
        self, columns: Sequence[str] | None = None, words: Collection[str] = ()
    ) -> Iterator[Table]:
        """Slices; of a LazyFrame what polars gives piece by piece."""
        wanted = list(self.columns if columns is None else columns)
        row = 0
        for part in self._parts(wanted):
            yield table_of_frame(part, self.name, row, self._objects)
            row += len(part)

    def _parts(self, wanted: list[str]) -> Iterator[Any]:
        if not self._lazy:
            for i in range(0, self.rows, BATCH):
                yield self._frame[i : i + BATCH, wanted]
            return
        nw, pl = extra("narwhals", "reading a table"), extra("polars", "reading a table")
        try:
            chosen = self._frame.to_native().select(pl.selectors.by_name(wanted))
            if self._quick_slices:
                starts = range(0, self.rows, 4 * BATCH)
                pieces: Any = (chosen.slice(i, 4 * BATCH).collect() for i in starts)
            else:
                pieces = chosen.collect_batches(chunk_size=BATCH)
            for piece in pieces:
                if len(piece):
                    yield nw.from_native(piece, eager_only=True)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise DataError(f"{self.name}: {str(error).splitlines()[0]}") from None

    def _count(self) -> int:
        if not self._lazy:
            return len(self._frame)
        pl = extra("polars", "reading a table")
        return int(self._frame.to_native().select(pl.len()).collect().item())
