"""Understood tables: columns of words of which most are numbers or dates become such.

A source says what its cells are as far as it knows: a text file, numbers where every cell is one; a
DataFrame, the type. `Understood` reads the columns of words once and counts in which ways (see
`written`) their cells are numbers or dates. What most cells are, the column is; the others have no
value, and a note says how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from .source import Source
from .tables import Table, no_column, words_array
from .written import (
    AMONG_NUMBERS,
    BLANK,
    DATES,
    KINDS,
    MISSING,
    NUMBERS,
    ORDERS,
    PLAIN,
    WORDS,
    Kind,
    is_day,
    is_grouped,
    moment_of_number,
    signs_of,
    value_of,
    ways_of,
)

MOSTLY = 0.75
"""A column is numbers, or dates, if more than this share of the cells that have a value are."""
_LEARNT = 2000
"""After so many cells, only ways of writing that are near the best are looked at further."""
_SHOWN = 4
"""So many different words of a column that is no number are remembered, to be named."""
_ASKED = tuple(range(len(KINDS)))
_THOUSANDS = (
    "numbers have three digits behind the point, or no point: read as decimals; if the point is "
    "between thousands, say so (thousands: .)"
)


@dataclass(frozen=True)
class Reading:
    """What the user says about how cells are to be read, and what a model knows.

    ``decimal``, ``thousands``: the signs in numbers; ``missing``: more words for no value;
    ``words``: columns of categories, even if they are numbers; ``text``: columns to be taken as
    they are written, where only an empty cell has no value; ``dates``: columns of dates, each with
    its order (see `ORDERS`) or ""; ``known``: the kinds of a model's columns.
    """

    decimal: str | None = None
    thousands: str | None = None
    missing: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()
    text: frozenset[str] = frozenset()
    dates: Mapping[str, str] = field(default_factory=dict)
    known: Mapping[str, Kind] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.decimal not in (None, ".", ","):
            raise OptionError(f"decimal is '.' or ',', got {self.decimal!r}")
        if self.thousands not in (None, "", ",", ".", " ", "'"):
            raise OptionError(
                f"thousands is ',', '.', ' ', \"'\" or '' (none), got {self.thousands!r}"
            )
        if self.decimal is not None and self.decimal == self.thousands:
            raise OptionError(f"decimal and thousands are both {self.decimal!r}; they must differ")
        for name, order in self.dates.items():
            if order not in ("", *ORDERS):
                raise OptionError(
                    f"dates: {name!r} is to be read as {order!r}; known are {', '.join(ORDERS)}"
                )

    def over(self, other: Reading) -> Reading:
        """This one, and what it leaves open as in ``other``."""
        return Reading(
            other.decimal if self.decimal is None else self.decimal,
            other.thousands if self.thousands is None else self.thousands,
            tuple(dict.fromkeys(self.missing + other.missing)),
            self.words | other.words,
            self.text | other.text,
            {**other.dates, **self.dates},
            {**other.known, **self.known},
        )

    def allows(self, kind: Kind) -> bool:
        """Whether numbers may be written so."""
        if kind.name != "number":
            return True
        grouped = self.thousands in (None, "", kind.thousands)
        return grouped and self.decimal in (None, kind.decimal)


def reading_of(
    decimal: str | None = None,
    thousands: str | None = None,
    missing: str | Iterable[str] = (),
    categorical: str | Iterable[str] = (),
    text: str | Iterable[str] = (),
    dates: str | Iterable[str] | Mapping[str, str] = (),
) -> Reading:
    """A `Reading` from options; a date's order may follow its column's name: "when:dmy"."""
    if isinstance(dates, Mapping):
        orders = {str(k): str(v) for k, v in dates.items()}
    else:
        parts = [d.rpartition(":") for d in column_names(dates)]
        orders = {n: o if o in ORDERS else "" for n, _, o in parts if n and o in ORDERS}
        orders |= {n + mark + o: "" for n, mark, o in parts if not n or o not in ORDERS}
    words, exact = frozenset(column_names(categorical)), frozenset(column_names(text))
    both = sorted((words | exact) & set(orders))
    if both:
        raise OptionError(f"column {both[0]!r} is to be read as dates and as words; choose one")
    return Reading(decimal, thousands, tuple(column_names(missing)), words, exact, orders)


def column_names(names: Any) -> list[str]:
    """Columns as the user names them, by their text: a DataFrame may number its columns."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        return [str(names)]
    return [str(n) for n in names]


class Understood(Source):
    """A source whose columns are numbers (float64), dates (datetime64[us]) or words."""

    def __init__(self, raw: Source, reading: Reading | None = None) -> None:
        self.raw, self.reading = raw, reading or Reading()
        self.name, self.columns, self.rows = raw.name, raw.columns, raw.rows
        self.doubt, self.first_notes = raw.doubt, raw.first_notes
        self.row_numbers = raw.row_numbers
        self._guesses: dict[str, _Guess] | None = None
        self._kinds: dict[str, Kind] | None = None

    def read_as(self, reading: Reading) -> Understood:
        """The same source, read so."""
        if isinstance(self.raw, Understood):
            return self.raw.read_as(reading)
        found = Understood(self.raw, reading.over(self.reading))
        if found.reading.missing == self.reading.missing:
            found._guesses = self._guesses
        return found

    @property
    def kinds(self) -> dict[str, Kind]:
        """What each column is; the columns of words are read for it, once."""
        if self._kinds is None:
            self._kinds = self._decide()
        return self._kinds

    def notes_of(self, names: Collection[str]) -> list[str]:
        """How columns were read that are not plain numbers, words or dates by their type."""
        alike: dict[str, list[str]] = {}
        kinds, found = self.kinds, []
        guesses = self._guesses or {}
        for n in self.columns:
            guess = guesses.get(n)
            if n not in names or guess is None:
                continue
            if kinds[n] == self.raw.kinds[n] == PLAIN:
                found += [f"{n!r}: {_THOUSANDS}"] if 0 < guess.digits < guess.there else []
                continue
            how, odd = guess.sentence(kinds[n])
            if odd:
                found.append(f"{n!r}: {how}{odd}")
            elif how:
                alike.setdefault(how, []).append(n)
        for how, columns in alike.items():
            shown = ", ".join(map(repr, columns[:6]))
            found.append(
                shown + (f" and {len(columns) - 6} more" * (len(columns) > 6)) + f": {how}"
            )
        return found

    def batches(
        self,
        columns: Sequence[str] | None = None,
        words: Collection[str] = (),
        text: Collection[str] = (),
    ) -> Iterator[Table]:
        """As `Source.batches`; of columns in ``text`` only empty cells are missing."""
        kinds, wanted = self.kinds, list(self.columns if columns is None else columns)
        text = {*text, *self.reading.text}
        words = {*words, *text, *self.reading.words}
        for table in self.raw.batches(wanted, {*words, *self._written()}):
            found = {
                n: self._read(table, n, WORDS if n in words else kinds[n], n in text)
                for n in wanted
            }
            yield replace(table, columns=found)

    def _written(self) -> list[str]:
        """Columns of plain numbers that are to be read in another way."""
        return [n for n, k in self.kinds.items() if k.name == "number" and k != PLAIN]

    def _read(self, table: Table, name: str, kind: Kind, as_written: bool) -> Array:
        values = table.columns[name]
        if values.dtype.kind == "f" and kind.name == "dates":
            return _moments([moment_of_number(v) for v in values.tolist()])
        if values.dtype.kind != "O":
            return values
        if kind.name == "words":
            return self._without_missing(values, as_written)
        known: dict[str | None, float] = {None: np.nan}
        found = np.empty(len(values))
        for i, word in enumerate(values.tolist()):
            value = known.get(word)
            if value is None:
                number = None if word in self.reading.missing else value_of(word, kind)
                value = known[word] = np.nan if number is None else number
            found[i] = value
        return found if kind.name == "number" else _moments(found)

    def _without_missing(self, values: Array, as_written: bool) -> Array:
        gone = {"", *self.reading.missing}
        if self.raw.from_text:
            gone |= set(BLANK if as_written else MISSING)
        if gone.isdisjoint(w for w in set(values.tolist()) if w is not None):
            return values
        return words_array([None if w in gone else w for w in values.tolist()])

    # -- learning ----------------------------------------------------------------------------------
    def _decide(self) -> dict[str, Kind]:
        reading, there = self.reading, set(self.columns)
        for n in (*reading.dates, *reading.words, *reading.text):
            if n not in there:
                raise no_column(self, n)
        plain = self.raw.kinds
        if self._guesses is None:
            self._guesses = self._count()
        found = dict(plain)
        commas = {g.best(reading).decimal for g in self._guesses.values() if g.sure(reading)}
        comma = "," in commas and "." not in commas
        for n in self.columns:
            guess, hint = self._guesses.get(n), reading.known.get(n)
            if n in reading.words or n in reading.text:
                found[n] = WORDS
            elif n in reading.dates:
                order = reading.dates[n]
                if plain[n] == PLAIN:
                    order = self._order_of_numbers(n, order)
                elif not order:
                    order = guess.order(comma, hint) if guess else "number"
                found[n] = Kind("dates", order=order if plain[n].name != "dates" else "")
            elif guess is not None and plain[n] == PLAIN:
                found[n] = guess.best(reading, comma, hint) if guess.there else PLAIN
            elif guess is not None:
                found[n] = guess.kind(reading, comma, hint)
        return found

    def _order_of_numbers(self, name: str, order: str) -> str:
        """How a column of plain numbers is dates: DataError unless that is clear."""
        if order in ("dmy", "mdy", "time"):
            raise DataError(
                f"{self.name}: column {name!r} is to be read as {_DATES_ARE[order]}, and holds "
                f"plain numbers; write {_LIKE[order]}, or leave it a number"
            )
        for table in self.raw.batches([name]) if order != "number" else ():
            values = table.columns[name]
            days = [*filter(is_day, np.unique(values).tolist())]
            odd = (np.abs(values) < 1e8) & ~np.isin(values, days)
            if odd.any():
                row = int(odd.argmax())
                raise DataError(
                    f"{self.name}: column {name!r} is {values[row]:g} in {table.where(row)}, "
                    "which is no YYYYMMDD; if it is seconds since 1970, say so (dates: "
                    f"{name}:number), and if a year, leave it a number"
                )
        return "number"

    def _count(self) -> dict[str, _Guess]:
        names = [n for n, k in self.raw.kinds.items() if k.name == "words"]
        names += [n for n in self.raw.pointed if n not in names]
        guesses = {n: _Guess(self.raw.from_text) for n in names}
        if names:
            gone = frozenset(self.reading.missing)
            for table in self.raw.batches(names, names):
                for n, guess in guesses.items():
                    guess.add(table.columns[n], gone)
        return guesses


class _Guess:
    """In which ways the cells of one column are numbers or dates."""

    def __init__(self, from_text: bool) -> None:
        self.from_text = from_text
        self.counts = np.zeros(len(KINDS), np.int64)
        self.rows = self.there = self.digits = self.among = 0
        self.odd: list[Counter[str]] = [Counter() for _ in KINDS]
        self.signs: set[str] = set()
        self.grouped: set[str] = set()  # the signs that stand between thousands
        self._asked = _ASKED

    def add(self, words: Array, missing: Collection[str]) -> None:
        """The next cells."""
        counted = Counter(words.tolist())
        counted.pop(None, None)
        self.rows += len(words)
        for word, times in counted.items():
            if word in missing or word in BLANK:
                continue
            if word.casefold() in AMONG_NUMBERS:
                self.among += times
                self._odd(word, times, ())
                continue
            ways = ways_of(word, self._asked)
            self.there += times
            self.digits += times * word.isdigit()
            self._odd(word, times, ways)
            for i in ways:
                self.counts[i] += times
            if ways and len(self.signs) < 2:
                self.signs |= signs_of(word)
            if ways and not word.isdigit():
                self.grouped |= {KINDS[i].thousands for i in ways if is_grouped(word, KINDS[i])}
        if self.there > _LEARNT:
            best = self.counts.max(initial=0)
            kept = tuple(i for i in self._asked if self.counts[i] >= best * 0.9)
            self._asked = kept if best > 0.01 * self.there else (kept or _ASKED)[:1]

    def _odd(self, word: str, times: int, ways: tuple[int, ...]) -> None:
        if len(word) > 200:
            word = word[:30] + "..."
        for i in self._asked:
            if i not in ways and (word in self.odd[i] or len(self.odd[i]) < _SHOWN):
                self.odd[i][word] += times

    def _of(self, kind: Kind) -> int:
        return int(self.counts[KINDS.index(kind)]) if kind in KINDS else 0

    def best(self, reading: Reading, comma: bool = False, hint: Kind | None = None) -> Kind:
        """The way that most cells follow; of equals the model's, the file's, the likeliest."""
        allowed = [k for k in NUMBERS if reading.allows(k)]
        most = max(map(self._of, allowed))
        equal = [k for k in allowed if self._of(k) == most]
        if hint in equal:
            return hint
        return next((k for k in equal if k.decimal == ("," if comma else k.decimal)), equal[0])

    def sure(self, reading: Reading) -> bool:
        """Whether the cells are numbers with one decimal sign only."""
        best = self.best(reading)
        others = [self._of(k) for k in NUMBERS if k.decimal != best.decimal]
        return self._mostly(best) and max(others) < self._of(best)

    def order(self, comma: bool, hint: Kind | None = None) -> str:
        """How dates are written; of equals the model's, day first where numbers have commas."""
        most = max(map(self._of, DATES))
        equal = [k.order for k in DATES if self._of(k) == most]
        if hint is not None and hint.order in equal:
            return hint.order
        if not most:
            return "number"
        return "dmy" if "dmy" in equal and comma else "mdy" if "mdy" in equal else equal[0]

    def _mostly(self, kind: Kind) -> bool:
        return self._of(kind) > MOSTLY * self.there

    def kind(self, reading: Reading, comma: bool, hint: Kind | None) -> Kind:
        """What the column is."""
        if not self.there and self.among and hint is not None:
            return hint
        number = self.best(reading, comma, hint)
        if self._mostly(number) and self._of(number):
            # Texts of digits alone in a DataFrame are names, as their type says.
            names = not self.from_text and self.digits == self.there and not self.among
            if not names or (hint is not None and hint.name == "number"):
                return number
        order = Kind("dates", order=self.order(comma, hint))
        self.doubtful = order.order in ("dmy", "mdy") and (self._of(DATES[1]) == self._of(DATES[2]))
        return order if order in DATES and self._mostly(order) else WORDS

    def sentence(self, kind: Kind) -> tuple[str, str]:
        """How the column was read, and what was not understood; "" where nothing is to say."""
        if kind.name == "words" or kind not in KINDS:
            return self._not_read(kind), ""
        if kind.name == "dates":
            how = f"read as {_DATES_ARE[kind.order]}"
            other = {"dmy": "month/day/year", "mdy": "day/month/year"}.get(kind.order)
            if other and getattr(self, "doubtful", False) and not self._named_months(kind):
                how += f" ({other} would fit as well; say which by dates: COLUMN:dmy or :mdy)"
        else:
            signs = [f"decimal {_SIGNS[kind.decimal]}"] if kind.decimal == "," else []
            signs += (
                [f"thousands {_SIGNS[kind.thousands]}"] if kind.thousands in self.grouped else []
            )
            signs += sorted(self.signs)
            how = "read as numbers" + (f" with {_and(signs)}" if signs else "")
        count = self.there + self.among - self._of(kind)
        if not count:
            return how, ""
        odd = self.odd[KINDS.index(kind)]
        shown = ", ".join(repr(w) for w, _ in odd.most_common(3))
        more = ", ..." if sum(odd.values()) < count or len(odd) > 3 else ""
        return how, f"; {count} of {self.rows} cells are not understood ({shown}{more}): missing"

    def _named_months(self, kind: Kind) -> bool:
        return self._of(DATES[0]) == self._of(kind)

    def _not_read(self, kind: Kind) -> str:
        """A word on columns of which many cells are numbers, but not most."""
        share = int(self.counts.max(initial=0)) / max(self.there, 1)
        if kind != WORDS or not 0.5 < share < 1:
            return ""
        return f"{share:.0%} of the cells are numbers or dates, too few: read as words"


_SIGNS = {",": "comma", ".": "point", " ": "space", "'": "apostrophe"}
_LIKE = {"dmy": "31.12.2020", "mdy": "12/31/2020", "time": "23:59"}
_DATES_ARE = {
    "ymd": "dates",
    "dmy": "dates, day.month.year",
    "mdy": "dates, month/day/year",
    "time": "times of the day",
}


def _and(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _moments(microseconds: Any) -> Array:
    """datetime64[us]; NaN is no time."""
    values = np.asarray(microseconds, np.float64)
    there = np.isfinite(values)
    found = np.where(there, values, 0).astype(np.int64).astype("datetime64[us]")
    found[~there] = np.datetime64("NaT")
    return found
