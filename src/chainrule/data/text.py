"""Text tables: CSV and its kin, plain or gzip, read in blocks of whole lines.

The first pass checks every line and learns which columns are numbers, so that nothing is wrong
later. Blocks without quotes are split by polars; blocks with quotes by Python's csv module, which
knows where a quoted value ends.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .encoding import WESTERN, NotText, as_utf8, check_encoding, is_gzip, opened, told_encoding
from .source import Source
from .tables import (
    MAX_COLUMNS,
    Table,
    check_columns,
    extra,
    too_many_columns,
    words_of,
)
from .written import MISSING, PLAIN, WORDS

BLOCK = 1 << 21
"""Bytes read at a time."""
LONGEST = 1 << 24
"""No record is longer: a file with more between two line ends is not a table."""


MANY = 64
"""More columns than this are looked at as one."""
_NOTHING = np.empty(0)
_POINTED = r"^[-+]?([1-9]\d{0,2}(\.\d{3})+|\d{1,3})$"
"""A number that may be whole, with points between the thousands, or has none."""
_SEPARATOR_LINE = re.compile(rb'\s*"?sep=([,;:|^~\t])"?[ ,;\t|]*(?:\n|$)')
"""The first line by which a table tells Excel its separator."""


@dataclass(frozen=True)
class _Block:
    """Whole records of a file: bytes without quotes, or fields."""

    line: int
    text: bytes = b""
    fields: Sequence[tuple[int, list[str]]] = ()


class TextSource(Source):
    """A CSV, TSV or other text file; a column is numbers if all its values are, else words.

    Words are as they are written, without blanks at their ends; an empty one is missing.
    """

    from_text = True

    def __init__(
        self,
        path: Path,
        header: bool = True,
        separator: str | None = None,
        encoding: str | None = None,
        name: str = "",
    ) -> None:
        """Read the whole file once; ``name``: of it in messages. Raises DataError with the line."""
        self.name, self.path, self.header = name or str(path), path, header
        self._polars = extra("polars", f"reading {path.name}")
        said: list[str] = []
        self.first_notes = said
        if is_gzip(path) != (path.suffix.lower() == ".gz"):
            packed = "packed by gzip, though not named .gz" if is_gzip(path) else "not packed"
            said.append(f"{self.name} is {packed}: read as it is")
        self._encoding = check_encoding(encoding) or self._told()
        self._retried = False
        try:
            self._read_through(separator)
        except _NotUtf8 as error:
            if encoding is not None:
                raise
            self._encoding, self._retried = WESTERN, True
            try:
                self._read_through(separator)
            except NotText:
                raise error from None
            self.first_notes = [
                *self.first_notes,
                (
                    f"{self.name} is not in UTF-8: read as Latin-1 (Windows-1252); --encoding "
                    "(encoding=...) says otherwise"
                ),
            ]

    def _told(self) -> str:
        try:
            with opened(self.path) as file:
                return told_encoding(file.read(1 << 12))
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{self.name}: damaged or not gzip ({error})") from None

    def _read_through(self, separator: str | None) -> None:
        """Learn the columns and their kinds, and check each line."""
        self._said = False  # whether the first line tells the separator
        self._separator, self.columns = self._first_line(separator)
        self._blank = b" " if self._separator == "\t" else b" \t"
        # polars takes some names, such as *, for patterns.
        self._inner = {n: f"column_{i}" for i, n in enumerate(self.columns)}
        if self.header and any(_is_number(n) for n in self.columns):
            self.doubt = (
                "; one name is a number: if the first line is data, add --no-header (header=False)"
            )
        self._words: set[str] = set()
        self._pointed, self._with_point = set(self.columns), set[str]()
        self.rows = 0
        for block in self._blocks():
            self._check(block)
            frame = self._frame(block)
            self.rows += len(frame)
            self._learn_kinds(frame)
        if not self.rows:
            raise DataError(f"{self.name}: a header and no rows; give at least one example")
        self._kinds = {n: WORDS if n in self._words else PLAIN for n in self.columns}
        self.pointed = (self._pointed & self._with_point) - self._words
        self.first_notes = [*self.first_notes, *self._look_at_nameless()]

    def _look_at_nameless(self) -> Iterator[str]:
        """A column without a name may be the index that pandas writes, or a comma at the ends."""
        numbers = {n: True for n in self._nameless}
        empty = dict(numbers)
        for table in self.batches(self._nameless) if numbers else ():
            for n in numbers:
                values = table.columns[n]
                row = np.arange(table.first_row, table.first_row + table.rows)
                floats = values.dtype.kind == "f"
                numbers[n] &= bool(floats and (values == row).all())
                empty[n] &= bool(floats and np.isnan(values).all())
        self.row_numbers = {n for n in numbers if numbers[n] or empty[n]}
        for n in numbers:
            place = f"column {self.columns.index(n) + 1} has no name"
            if empty[n]:
                yield f"{place} and no values: left out"
            elif numbers[n]:
                yield f"{place} and numbers the rows: left out"
            else:
                yield f"{place}: it is called {n!r} here"

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
            yield Table(found, self.name, row, self._lines(block))
            row += len(frame)
        if row != self.rows:
            raise DataError(f"{self.name}: the file changed while it was read")

    # -- values ------------------------------------------------------------------------------------
    def _value(self, column: Any) -> Any:
        word = column.str.strip_chars()
        return self._polars.when(word != "").then(word)

    def _there(self, column: Any) -> Any:
        word = column.str.strip_chars()
        return self._polars.when(~word.is_in(list(MISSING))).then(word)

    def _number(self, column: Any) -> Any:
        return self._there(column).cast(self._polars.Float64, strict=False)

    def _filled(self, column: Any) -> Any:
        return self._number(column).fill_null(float("nan"))

    def _odd(self, column: Any) -> Any:
        return self._there(column).is_not_null() & self._number(column).is_null()

    def _grouped(self, column: Any) -> Any:
        return self._there(column).str.contains(_POINTED).fill_null(True)

    def _point(self, column: Any) -> Any:
        return column.str.contains(".", literal=True).fill_null(False)

    def _columns(
        self, frame: Any, names: Sequence[str], expression: Callable[[Any], Any]
    ) -> list[Any]:
        """An expression of each column; of many columns one long column meanwhile.

        polars takes about a millisecond for each expression, however few the rows.
        """
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
        left = [n for n in self.columns if n in self._pointed and n not in self._words]
        grouped = self._columns(frame, left, self._grouped)
        self._pointed -= {n for n, column in zip(left, grouped, strict=True) if not column.all()}
        left = [n for n in left if n in self._pointed - self._with_point]
        points = self._columns(frame, left, self._point)
        self._with_point |= {n for n, column in zip(left, points, strict=True) if column.any()}

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
                f"{self.name}, from line {block.line}: {str(error).splitlines()[0]}"
            ) from None

    # -- lines -------------------------------------------------------------------------------------
    def _lines(self, block: _Block) -> Callable[[int], int]:
        """In which line of the file a row of the block begins."""
        if block.fields:
            return lambda row: block.fields[row][0]
        kept: list[Array] = []

        def line_of(row: int) -> int:
            if not kept:
                data = np.frombuffer(block.text, np.uint8)
                kept.append(np.flatnonzero(self._solid(data, np.flatnonzero(data == 10)) > 0))
            return block.line + int(kept[0][row])

        return line_of

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
            raise DataError(f"{self.name}: the file is empty")
        told = _SEPARATOR_LINE.match((first + "\n").encode())
        if told:
            self._said, separator = True, told[1].decode("latin-1")
            rest = lines[lines.index(first) + 1 :]
            if not any(s.strip() for s in rest):
                raise DataError(f"{self.name}: a line about the separator, and no table")
            lines, first = rest, next(s for s in rest if s.strip())
        found = separator or max(",;\t|", key=first.count)
        if first.count(found) >= 2 * MAX_COLUMNS:  # some may be in quotes
            raise too_many_columns(self.name, first.count(found) + 1)
        try:
            fields = next(f for f in _reader(lines, found) if any(w.strip() for w in f))
        except (csv.Error, StopIteration) as error:
            raise DataError(f"{self.name}, line 1: {error or 'no names of columns'}") from None
        self._nameless: list[str] = []
        if not self.header:
            names = [f"column_{i + 1}" for i in range(len(fields))]
            check_columns(self.name, names)
            return found, names
        names = [f.strip() for f in fields]
        check_columns(self.name, names)
        for i, n in enumerate(names):
            if not n:
                names[i] = f"column_{i + 1}" + "_" * (f"column_{i + 1}" in names)
                self._nameless.append(names[i])
        return found, names

    def _blocks(self) -> Iterator[_Block]:
        """The records of the file, without the header and blank lines."""
        line, rest = 1, b""
        header = self.header + self._said
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
                raise DataError(f"{self.name}, line {number}: a zero byte; this is not a text file")
            if b'"' in text:
                block, used = self._quoted(text, line, last)
                rest = text[used:] + rest
                text = text[:used]
            else:
                block = _Block(line, text)
            if len(rest) > LONGEST:
                raise self._endless(line + text.count(10))
            if header and (block.fields or block.text.strip()):
                while header and (block.fields or block.text.strip()):
                    block, header = self._without_header(block), header - 1
            if block.fields or block.text.strip(self._blank + b"\n"):
                yield block
            line += text.count(b"\n")

    def _endless(self, line: int) -> DataError:
        return DataError(
            f"{self.name}, line {line}: no end of the record within {LONGEST >> 20} MB; is a quote "
            "left open?"
        )

    def _quoted(self, text: bytes, line: int, last: bool) -> tuple[_Block, int]:
        """The whole records of a text with quotes, and how many bytes they are."""
        lines = self._decoded(text, line).split("\n")[:-1]
        reader = _reader(lines, self._separator)
        fields, done = [], 0
        try:
            for row in reader:
                single = len(row) == 1 == len(self.columns)  # a cell without a value, in quotes
                if any(w.strip() for w in row) or len(row) > 1 or (single and '"' in lines[done]):
                    fields.append((line + reader.line_num - 1, row))
                done = reader.line_num
        except csv.Error as error:
            if last or "unexpected end of data" not in str(error):
                where = f"after line {line + done - 1}" if line + done > 1 else "line 1"
                raise DataError(f"{self.name}, {where}: {error}") from None
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
        held = b""
        for chunk in as_utf8(self._bytes(), self._encoding, self.name, self._retried):
            chunk, held = held + chunk, b""
            if chunk.endswith(b"\r"):
                chunk, held = chunk[:-1], b"\r"  # a line feed may follow
            if b"\r" in chunk:
                chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if chunk:
                yield chunk
        if held:
            yield b"\n"

    def _bytes(self) -> Iterator[bytes]:
        try:
            with opened(self.path) as file:
                while chunk := file.read(BLOCK):
                    yield chunk
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{self.name}: damaged or not gzip ({error})") from None

    def _decoded(self, text: bytes, line: int) -> str:
        try:
            return text.decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and not text.endswith(b"\n"):
                return text[: error.start].decode("utf-8")  # a chunk may end in a character
            raise _NotUtf8(
                f"{self.name}, line {line + text.count(10, 0, error.start)}: not UTF-8 text (byte "
                f"0x{text[error.start]:02x}); save the table in UTF-8 encoding, or name its own: "
                "--encoding (encoding=...)"
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
            remark = self.columns[0].startswith("#") and "; is the first one a remark? Delete it"
            raise DataError(
                f"{self.name}, line {line}: {width} {'value' if width == 1 else 'values'}, the "
                f"first line has {len(self.columns)}; every line needs one value per column "
                f"(separator {self._separator!r}){remark or ''}"
            )


def _reader(lines: Sequence[str], separator: str) -> Any:
    ended = (line + "\n" for line in lines)
    return csv.reader(ended, delimiter=separator, strict=True, skipinitialspace=True)


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


class _NotUtf8(DataError):
    """The bytes are not UTF-8: they may be Latin-1."""
