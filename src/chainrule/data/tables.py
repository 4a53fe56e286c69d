"""Tables in memory: named columns of numbers or words."""

from __future__ import annotations

import datetime
import difflib
import importlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.host.plain import is_missing, is_number, plain
from ..core.node import Array
from ..errors import DataError, MissingExtraError
from .written import number_of

MAX_COLUMNS = 1 << 16
"""No file with more columns is read."""
LONGEST_WORD = 1 << 16
"""No value has more characters: beyond, it is a text and no category."""
_AT_ONCE = 1 << 26
"""So many characters of a column become Python's strings at once."""


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name.

    float64 with NaN where missing, datetime64[us] with NaT, or objects (str) with None.

    >>> from chainrule.data import table_of
    >>> t = table_of({"size": [1.5, None], "colour": ["red", "blue"]})
    >>> t.rows, t.is_number("size"), t.is_number("colour")
    (2, True, False)
    """

    columns: dict[str, Array]
    source: str = "the table"
    first_row: int = 0
    """The number of the first row in the table that this is a piece of, counted from 0."""
    line_of: Callable[[int], int] | None = None
    """The line of the text file, counted from 1, in which a row of this piece begins."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def is_number(self, name: str) -> bool:
        """Whether a column holds numbers, not words."""
        return bool(self.columns[name].dtype.kind == "f")

    def is_date(self, name: str) -> bool:
        """Whether a column holds dates."""
        return bool(self.columns[name].dtype.kind == "M")

    def where(self, row: int) -> str:
        """A row for messages, counted from 1 as people do: "line 7" of a text file, "row 6"."""
        if self.line_of is not None:
            return f"line {self.line_of(int(row))}"
        return f"row {self.first_row + int(row) + 1}"

    def missing(self, name: str) -> Array:
        """bool (rows,): where a column has no value."""
        column = self.columns[name]
        if column.dtype.kind == "M":
            return np.isnat(column)
        if column.dtype.kind == "f":
            return np.isnan(column)
        return np.fromiter((v is None for v in column), bool, len(column))

    def take(self, index: Array) -> Table:
        """The rows at ``index`` (numbers or a mask)."""
        rows = np.arange(self.rows)[index]
        return Table(
            {k: v[index] for k, v in self.columns.items()},
            self.source,
            line_of=None if self.line_of is None else lambda i: self.line_of(int(rows[i])),  # type: ignore[misc]
        )

    def numbers(self, name: str) -> Array:
        """float64 (rows,): a column as numbers; DataError names the first word that is none."""
        values = self.columns[name]
        if self.is_number(name):
            return values
        if self.is_date(name):
            raise DataError(f"{self.source}: column {name!r} holds dates; numbers are expected")
        found = np.empty(len(values))
        for row, v in enumerate(values):
            number = float("nan") if v is None else number_of(v)
            if number is None:
                raise DataError(
                    f"{self.source}: column {name!r} is {v!r} in {self.where(row)}; a number is "
                    "expected"
                )
            found[row] = number
        return found

    def words(self, name: str) -> Array:
        """object (rows,): a column as words; numbers without a needless ``.0``."""
        values = self.columns[name]
        if self.is_date(name):
            return words_array([None if v == "NaT" else str(v) for v in values.astype(str)])
        if not self.is_number(name):
            return values
        different, index = np.unique(values, return_inverse=True)
        refuse_merged(self.source, name, different)
        return words_array([None if v != v else word_of(v) for v in different])[index]

    def shown(self, name: str) -> Array:
        """object (rows,), for people: words, numbers without ``.0``, dates; "" where missing."""
        words = [("" if w is None else w) for w in self.words(name).tolist()]
        if self.is_date(name):  # no time of the day, if there is none in the column
            words = [w.removesuffix(".000000") for w in words]
            if all(w.endswith("T00:00:00") or not w for w in words):
                words = [w[:10] for w in words]
        return words_array(words)

    def moments(self, name: str) -> Array:
        """datetime64[us] (rows,): a column as dates; DataError names the first that is none."""
        values = self.columns[name]
        if self.is_date(name):
            return values
        there = np.flatnonzero(~self.missing(name))
        if len(there):
            raise DataError(
                f"{self.source}: column {name!r} is {values[there[0]]!s} in "
                f"{self.where(there[0])}; a date is expected, as in training"
            )
        return np.full(len(values), np.datetime64("NaT"), "datetime64[us]")


def no_column(source: Any, name: str, what: str = "no column") -> DataError:
    """The error for a column that ``source`` does not have, with the nearest name."""
    close = difflib.get_close_matches(name.casefold(), [n.casefold() for n in source.columns], 1)
    near = [n for n in source.columns if [n.casefold()] == close]
    guess = f"; did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(map(repr, source.columns[:8]))
    more = f" and {len(source.columns) - 8} more" * (len(source.columns) > 8)
    return DataError(
        f"{source.name}: {what} {name!r}; there are {shown}{more}{guess}{source.doubt}"
    )


def refuse_merged(source: str, name: str, numbers: Array) -> None:
    """Raise DataError for categories that are numbers too large for float64 to tell apart."""
    large = numbers[np.abs(numbers) >= 2.0**53]
    if len(large):
        raise DataError(
            f"{source}: column {name!r} has {large[0]:.0f}: numbers of 2**53 and more are not told "
            f"apart; make them words (str) to use them as categories"
        )


def word_of(number: float) -> str:
    """A number as a word, without a needless ``.0``."""
    whole = abs(number) < 1e15 and number == int(number)
    return str(int(number)) if whole else repr(float(number))


def words_array(values: Sequence[str | None]) -> Array:
    """object (n,)."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


def check_columns(source: str, columns: Sequence[str], most: int = MAX_COLUMNS) -> None:
    """Raise DataError unless there are at most so many, with different names."""
    if len(columns) > most:
        raise too_many_columns(source, len(columns))
    double = [n for n, count in Counter(columns).items() if count > 1 and n]
    if double:
        names = ", ".join(map(repr, sorted(double)[:5])) + (", ..." if len(double) > 5 else "")
        raise DataError(f"{source}: several columns are named {names}; names must differ")


def too_many_columns(source: str, count: int) -> DataError:
    """The error for a file with so many columns."""
    return DataError(f"{source}: {count} columns; at most {MAX_COLUMNS} are read")


def words_of(column: Any, source: str, name: str, first_row: int = 0) -> Array:
    """object (n,): a polars or narwhals Series of strings; equal long ones are one object.

    A file may say a long word once and use it in every row: words are made a few at a time.
    """
    lengths = column.str.len_chars()
    longest = lengths.max() or 0
    if longest > LONGEST_WORD:
        raise word_too_long(source, name, longest, first_row + int(lengths.arg_max()))
    rows = _AT_ONCE // max(longest, 1)
    if len(column) <= rows:
        return words_array([_word(v) for v in column.to_list()])
    known: dict[Any, Any] = {}
    found = np.empty(len(column), object)
    for i in range(0, len(column), rows):
        part = column[i : i + rows].to_list()
        found[i : i + len(part)] = [known.setdefault(v, v) for v in map(_word, part)]
    return found


def _word(value: Any) -> str | None:
    """pandas has NaN and NA among strings."""
    return value if isinstance(value, str) else None


def word_too_long(source: str, name: str, length: int, row: int | None = None) -> DataError:
    """The error for a column with such a word."""
    where = "" if row is None else f" in row {row + 1}"
    return DataError(
        f"{source}: column {name!r} has a word of {length} characters{where}; at most "
        f"{LONGEST_WORD} are read; drop the column"
    )


def table_of_columns(data: Mapping[Any, Any], source: str, first_row: int = 0) -> Table:
    """A Table of a dict of array-likes; raises DataError for columns of unequal length or kind."""
    columns: dict[str, Array] = {}
    for key, values in data.items():
        name = str(key)
        if name in columns:
            raise DataError(f"{source}: two columns are called {name!r}")
        columns[name] = _column(source, name, _unmasked(values))
    lengths = {k: len(v) for k, v in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"{source}: columns have unequal lengths: "
            f"{', '.join(f'{k} {n}' for k, n in lengths.items())}"
        )
    return Table(columns, source, first_row)


def table_of_frame(
    frame: Any, source: str, first_row: int = 0, objects: Collection[str] = ()
) -> Table:
    """A Table of a narwhals DataFrame; the kind of a column follows from its type alone.

    Or it is one of ``objects`` that are numbers.
    """
    nw = extra("narwhals", "reading a DataFrame")
    found: dict[str, Array] = {}
    for name, column in zip(frame.columns, frame.iter_columns(), strict=True):
        dtype = column.dtype
        if dtype.is_numeric():
            found[name] = column.cast(nw.Float64).to_numpy().astype(np.float64)
        elif name in objects:
            items = column.to_list()
            found[name] = np.array([np.nan if is_missing(v) else v for v in items], np.float64)
        elif dtype == nw.String:
            found[name] = words_of(column, source, name, first_row)
        elif dtype == nw.Boolean or dtype in (nw.Categorical, nw.Enum, nw.Object):
            items = column.to_list()
            found[name] = words_array([None if is_missing(v) else str(v) for v in items])
        elif dtype in (nw.Date, nw.Datetime):
            zone = getattr(dtype, "time_zone", None)
            local = column.dt.replace_time_zone(None) if zone else column
            found[name] = local.to_numpy().astype("datetime64[us]")
        elif dtype == nw.Time:
            found[name] = np.array([_time(v) for v in column.to_list()], "datetime64[us]")
        elif dtype == nw.Duration:
            found[name] = _seconds(column.to_numpy())
        elif dtype == nw.Object and _are_dates(column.to_list()):
            found[name] = np.array([_moment(v) for v in column.to_list()], "datetime64[us]")
        elif column.null_count() == len(frame):
            found[name] = np.full(len(frame), np.nan)
        else:
            raise DataError(
                f"{source}: column {name!r} has type {dtype}; numbers, words, booleans or dates "
                "are expected"
            )
    return Table(found, source, first_row)


def number_objects(frame: Any) -> list[str]:
    """The columns of Python objects that are all numbers: ``Decimal``, integers beside None."""
    nw, found = extra("narwhals", "reading a DataFrame"), []
    for name, dtype in frame.schema.items():
        if dtype == nw.Object:
            there = [v for v in frame[name].to_list() if not is_missing(v)]
            if there and all(is_number(v) for v in there):
                found.append(name)
    return found


def _column(source: str, name: str, values: Array) -> Array:
    if values.ndim != 1:
        raise DataError(
            f"{source}: column {name!r} has shape {values.shape}; one value per row is expected"
        )
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind == "M" and np.datetime_data(values.dtype)[0] != "generic":
        return values.astype("datetime64[us]")
    if values.dtype.kind == "m":
        return _seconds(values)
    if values.dtype.kind not in "bUSO":
        raise DataError(
            f"{source}: column {name!r} has dtype {values.dtype}; numbers or words are expected"
        )
    items = [None if is_missing(v) else v for v in values.tolist()]
    if values.dtype.kind == "O" and all(v is None or is_number(v) for v in items):
        return np.array([np.nan if v is None else v for v in items], np.float64)
    if values.dtype.kind == "O" and _are_dates(items):
        return np.array([_moment(v) for v in items], "datetime64[us]")
    words = [None if v is None else _text(source, name, v) for v in items]
    _check_characters(source, name, words)
    return words_array(words)


def _check_characters(source: str, name: str, words: Sequence[str | None]) -> None:
    """Half of a surrogate pair is no character, and cannot be written to any file."""
    try:
        "".join(w for w in words if w is not None).encode()
    except UnicodeEncodeError:
        odd = next(i for i, w in enumerate(words) if w is not None and not _is_unicode(w))
        raise DataError(
            f"{source}: column {name!r} has {words[odd]!r} in row {odd + 1}, which is not Unicode "
            "text"
        ) from None


def _is_unicode(word: str) -> bool:
    return not any("\ud800" <= c <= "\udfff" for c in word)


def _unmasked(values: Any) -> Array:
    """A column; masked elements are missing."""
    if isinstance(values, np.ma.MaskedArray):
        found = np.array(values.data, object)
        found[np.ma.getmaskarray(values)] = None
        return found
    return plain(values, "a column")


def _text(source: str, name: str, value: Any) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise DataError(f"{source}: column {name!r} has {value!r}, which is not UTF-8") from None


def _seconds(values: Array) -> Array:
    """Spans of time in seconds."""
    spans = values.astype("timedelta64[us]")
    return np.where(np.isnat(spans), np.nan, spans.astype(np.int64) / 1e6)


def _are_dates(items: Sequence[Any]) -> bool:
    there = [v for v in items if not is_missing(v)]
    kinds = (datetime.date, datetime.time)  # a datetime is a date
    return bool(there) and all(isinstance(v, kinds) for v in there)


def _moment(value: Any) -> np.datetime64:
    """A date, a date and time (of its own zone), or a time of Python."""
    if is_missing(value):
        return np.datetime64("NaT")
    if isinstance(value, datetime.time):
        return _time(value)
    if isinstance(value, datetime.datetime):
        value = value.replace(tzinfo=None)
    return np.datetime64(value, "us")


def _time(value: datetime.time | None) -> np.datetime64:
    """A time of the day, on the first day of 1970."""
    if value is None:
        return np.datetime64("NaT")
    day = datetime.datetime(1970, 1, 1)
    return np.datetime64(datetime.datetime.combine(day, value.replace(tzinfo=None)), "us")


def extra(name: str, what: str) -> Any:
    """An optional package; MissingExtraError says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtraError(f"{what} needs {name}: pip install 'chainrule[data]'") from None
