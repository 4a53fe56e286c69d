"""Text tables: CSV and its kin, plain or gzip, read in blocks of whole lines.

The first pass checks every line and learns which columns are numbers, so that nothing is wrong
later. Blocks without quotes are split by polars; blocks with quotes by Python's csv module, which
knows where a quoted value ends.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .source import Source
from .tables import (
    MAX_COLUMNS,
    Table,
    check_columns,
    extra,
    number_of,
    too_many_columns,
    words_of,
)

MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none")
"""Words of a text file that mean that a value is missing."""
BLOCK = 1 << 21
"""Bytes read at a time."""
LONGEST = 1 << 24
"""No record is longer: a file with more between two line ends is not a table."""


MANY = 64
"""More columns than this are looked at as one."""
_NOTHING = np.empty(0)


@dataclass(frozen=True)
class _Block:
    """Whole records of a file: bytes without quotes, or fields."""

    line: int
    text: bytes = b""
    fields: Sequence[tuple[int, list[str]]] = ()


class TextSource(Source):
    """A CSV, TSV or other text file; a column is numbers if all its values are."""

    def __init__(self, path: Path, header: bool = True, separator: str | None = None) -> None:
        """Read the whole file once. Raises DataError with the line of what is wrong."""
        self.name, self.path, self.header = str(path), path, header
        self._polars = extra("polars", f"reading {path.name}")
        self._separator, self.columns = self._first_line(separator)
        self._blank = b" " if self._separator == "\t" else b" \t"
        # polars takes some names, such as *, for patterns.
        self._inner = {n: f"column_{i}" for i, n in enumerate(self.columns)}
        if header and any(number_of(n) is not None for n in self.columns):
            self.doubt = (
                "; one name is a number: if the first line is data, add --no-header (header=False)"
            )
        self._words: set[str] = set()
        self.rows = 0
        for block in self._blocks():
            self._check(block)
            frame = self._frame(block)
            self.rows += len(frame)
            self._learn_kinds(frame)
        if not self.rows:
            raise DataError(f"{path}: a header and no rows; give at least one example")

    def batches(
        self, columns: Sequence[str] | None = None, words: Collection[str] = ()
    ) -> Iterator[Table]:
        """One Table per block of the file."""
        wanted = self.columns if columns is None else list(columns)
        kept = self._words | set(words)
        row = 0
        for block in self._blocks():
            frame = self._frame(block)
            if not len(frame):
                continue
            found = dict.fromkeys(wanted, _NOTHING)
            names = [n for n in wanted if n in kept]
            for n, column in zip(names, self._columns(frame, names, self._value), strict=True):
                found[n] = words_of(column, self.name, n, row)
            names = [n for n in wanted if n not in kept]
            for n, column in zip(names, self._columns(frame, names, self._filled), strict=True):
                found[n] = column.to_numpy().astype(np.float64)
            yield Table(found, self.name, row)
            row += len(frame)
        if row != self.rows:
            raise DataError(f"{self.path}: the file changed while it was read")

    # -- values ------------------------------------------------------------------------------------
    def _value(self, column: Any) -> Any:
        word = column.str.strip_chars()
        return self._polars.when(~word.is_in(list(MISSING))).then(word)

    def _number(self, column: Any) -> Any:
        return self._value(column).cast(self._polars.Float64, strict=False)

    def _filled(self, column: Any) -> Any:
        return self._number(column).fill_null(float("nan"))

    def _odd(self, column: Any) -> Any:
        return self._value(column).is_not_null() & self._number(column).is_null()

    def _columns(
        self, frame: Any, names: Sequence[str], expression: Callable[[Any], Any]
    ) -> list[Any]:
        """An expression of each column. Many columns are one long one meanwhile: polars takes
        about a millisecond for each expression, however few the rows."""
        pl = self._polars
        held = dict(zip(frame.columns, frame.get_columns(), strict=True))
        chosen = [held[self._inner[n]] for n in names]
        if len(chosen) <= MANY:
            frame = pl.DataFrame(chosen)
            return list(frame.select(expression(pl.col(c.name)).alias(c.name) for c in chosen))
        rows = len(frame)
        long = pl.DataFrame({"all": pl.concat(chosen)}).select(
            expression(pl.col("all")).alias("all")
        )
        whole = long.to_series()
        return [whole.slice(i * rows, rows) for i in range(len(chosen))]

    def _learn_kinds(self, frame: Any) -> None:
        left = [n for n in self.columns if n not in self._words]
        odd = self._columns(frame, left, self._odd)
        self._words.update(n for n, column in zip(left, odd, strict=True) if column.any())

    def _frame(self, block: _Block) -> Any:
        """The block as a polars DataFrame of strings."""
        pl = self._polars
        text = block.text
        if b"\n\n" in text or b"\n " in text or b"\n\t" in text or text[:1] in b"\n \t":
            text = self._without_blank_lines(text)
        if not text:
            lists = [list(c) for c in zip(*(f for _, f in block.fields), strict=True)]
            lists = lists or [[] for _ in self.columns]
            names = list(self._inner.values())
            schema = dict.fromkeys(names, pl.String)
            return pl.DataFrame(dict(zip(names, lists, strict=True)), schema=schema)
        try:
            return pl.read_csv(
                text,
                separator=self._separator,
                has_header=False,
                new_columns=list(self._inner.values()),
                infer_schema=False,
                quote_char=None,
            )
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"{self.path}, from line {block.line}: {str(error).splitlines()[0]}"
            ) from None

    # -- lines -------------------------------------------------------------------------------------
    def _first_line(self, separator: str | None) -> tuple[str, list[str]]:
        """The separator, and the columns' names."""
        start = b""
        for chunk in self._chunks():
            # Of blank lines nothing is kept, however many there are.
            start = (start + chunk).lstrip(b"\n") if start.strip() else chunk
            if b"\n" in start.lstrip(b" \t\n"):
                break
            if len(start) > LONGEST:
                raise self._endless(1)
        lines = self._decoded(start, 1).split("\n")
        first = next((s for s in lines if s.strip()), None)
        if first is None:
            raise DataError(f"{self.path}: the file is empty")
        found = separator or max(",;\t|", key=first.count)
        if first.count(found) >= 2 * MAX_COLUMNS:  # some may be in quotes
            raise too_many_columns(self.name, first.count(found) + 1)
        try:
            fields = next(f for f in _reader(lines, found) if any(w.strip() for w in f))
        except (csv.Error, StopIteration) as error:
            raise DataError(f"{self.path}, line 1: {error or 'no names of columns'}") from None
        if not self.header:
            names = [f"column_{i + 1}" for i in range(len(fields))]
            check_columns(self.name, names)
            return found, names
        names = [f.strip() for f in fields]
        _check_names(self.path, names)
        return found, names

    def _blocks(self) -> Iterator[_Block]:
        """The records of the file, without the header and blank lines."""
        line, rest = 1, b""
        header = self.header
        chunks = self._chunks()
        last = False
        while not last:
            chunk = next(chunks, b"")
            last = not chunk
            text = rest + chunk
            if last and text and not text.endswith(b"\n"):
                text += b"\n"
            cut = text.rfind(b"\n") + 1
            text, rest = text[:cut], text[cut:]
            if b"\0" in text:
                number = line + text.count(10, 0, text.index(0))
                raise DataError(f"{self.path}, line {number}: a zero byte; this is not a text file")
            if b'"' in text:
                block, used = self._quoted(text, line, last)
                rest = text[used:] + rest
                text = text[:used]
            else:
                block = _Block(line, text)
            if len(rest) > LONGEST:
                raise self._endless(line + text.count(10))
            if header and (block.fields or block.text.strip()):
                block, header = self._without_header(block), False
            if block.fields or block.text.strip(self._blank + b"\n"):
                yield block
            line += text.count(b"\n")

    def _endless(self, line: int) -> DataError:
        return DataError(
            f"{self.path}, line {line}: no end of the record within {LONGEST >> 20} MB; is a quote "
            "left open?"
        )

    def _quoted(self, text: bytes, line: int, last: bool) -> tuple[_Block, int]:
        """The whole records of a text with quotes, and how many bytes they are."""
        lines = self._decoded(text, line).split("\n")[:-1]
        reader = _reader(lines, self._separator)
        fields, done = [], 0
        try:
            for row in reader:
                if len(row) > 1 or (row and row[0].strip()):
                    fields.append((line + reader.line_num - 1, row))
                done = reader.line_num
        except csv.Error as error:
            if last or "unexpected end of data" not in str(error):
                where = f"after line {line + done - 1}" if line + done > 1 else "line 1"
                raise DataError(f"{self.path}, {where}: {error}") from None
        used = sum(len(s.encode()) + 1 for s in lines[:done]) if done < len(lines) else len(text)
        return _Block(line, b"", fields), used

    def _without_header(self, block: _Block) -> _Block:
        if block.fields:
            return _Block(block.line, b"", block.fields[1:])
        blank = len(block.text) - len(block.text.lstrip())
        cut = block.text.index(b"\n", blank) + 1
        return _Block(block.line + block.text.count(b"\n", 0, cut), block.text[cut:])

    def _chunks(self) -> Iterator[bytes]:
        """The file's bytes, line ends as ``\\n``, without a byte order mark."""
        first = True
        try:
            with _open(self.path) as file:
                while chunk := file.read(BLOCK):
                    if chunk.endswith(b"\r"):
                        chunk += file.read(1)
                    if first:
                        chunk, first = chunk.removeprefix(b"\xef\xbb\xbf"), False
                    if b"\r" in chunk:
                        chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
                    yield chunk
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{self.path}: damaged or not gzip ({error})") from None

    def _decoded(self, text: bytes, line: int) -> str:
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and not text.endswith(b"\n"):
                return text[: error.start].decode("utf-8")  # a chunk may end in a character
            raise DataError(
                f"{self.path}, line {line + text.count(10, 0, error.start)}: not UTF-8 text (byte "
                f"0x{text[error.start]:02x}); save the table in UTF-8 encoding"
            ) from None

    def _check(self, block: _Block) -> None:
        """Raise DataError unless every line has one value per column."""
        if block.fields:
            for line, fields in block.fields:
                self._check_width(line, len(fields))
            return
        self._decoded(block.text, block.line)
        data = np.frombuffer(block.text, np.uint8)
        ends = np.flatnonzero(data == 10)
        marks = np.flatnonzero(data == ord(self._separator))
        counts = np.diff(np.searchsorted(marks, ends), prepend=0)
        odd = counts != len(self.columns) - 1
        if odd.any():  # blank lines may be
            for i in np.flatnonzero(odd & (self._solid(data, ends) > 0))[:1]:
                self._check_width(block.line + int(i), int(counts[i]) + 1)

    def _solid(self, data: Array, ends: Array) -> Array:
        """How many characters of each line are not blank."""
        blank = np.frombuffer(self._blank + b"\n", np.uint8)
        places = np.flatnonzero(~np.isin(data, blank))
        return np.diff(np.searchsorted(places, ends), prepend=0)

    def _without_blank_lines(self, text: bytes) -> bytes:
        data = np.frombuffer(text, np.uint8)
        ends = np.flatnonzero(data == 10)
        kept = self._solid(data, ends) > 0
        return data[np.repeat(kept, np.diff(ends, prepend=-1))].tobytes()

    def _check_width(self, line: int, width: int) -> None:
        if width != len(self.columns):
            raise DataError(
                f"{self.path}, line {line}: {width} {'value' if width == 1 else 'values'}, the "
                f"first line has {len(self.columns)}; every line needs one value per column "
                f"(separator {self._separator!r})"
            )


def _reader(lines: Sequence[str], separator: str) -> Any:
    ended = (line + "\n" for line in lines)
    return csv.reader(ended, delimiter=separator, strict=True, skipinitialspace=True)


def _open(path: Path) -> BinaryIO:
    opened: Any = gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")
    return opened  # type: ignore[no-any-return]


def _check_names(path: Path, names: list[str]) -> None:
    check_columns(str(path), names)
    if "" in names:
        raise DataError(
            f"{path}: column {names.index('') + 1} has no name in the first line; name it, or say "
            "that there is no header"
        )
