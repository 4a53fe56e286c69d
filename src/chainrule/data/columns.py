"""Columns: what is learned about each column of a table, and how it becomes inputs of a net.

Numbers: (x - mean) / std; where the value is missing, the median, and an indicator is set. Words:
one-hot, and an indicator where missing; a category that was not in the training table is all zeros.
Everything is learned in one pass, in pieces, with bounded memory.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .moments import DateColumn
from .notes import Notes, forget_rare, no_values
from .tables import Table, word_of
from .written import NUMBERS, PLAIN, Kind

MAX_CATEGORIES = 256
"""Of a column of words, so many of the most frequent ones get a column of their own."""
SAMPLE = 1 << 16
"""A median is that of at most so many rows, evenly spaced."""
_IDENTIFIER = re.compile(r"(?i)(^|[\s_.-])(id|uid|uuid|nr|no|key|index)$|[a-z]Id$|ID$")
_NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?([eE][-+]?\d{1,2})?", re.ASCII)
FAREST = 1e30
"""No number is more standard deviations from the mean: float32 could not compute with it."""


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: (x - mean) / std, and an indicator if some were missing."""

    name: str
    median: float
    mean: float
    std: float
    indicator: bool
    decimal: str = "."
    thousands: str = ""

    @property
    def kind(self) -> Kind:
        """How the training table wrote its numbers."""
        return Kind("number", self.decimal, self.thousands)

    @property
    def width(self) -> int:
        """How many inputs of the network it becomes."""
        return 1 + self.indicator

    @property
    def inputs(self) -> list[str]:
        """The inputs' names."""
        return [self.name, f"{self.name} is missing"][: self.width]

    def encode(self, table: Table, out: Array, notes: Notes) -> None:
        """Fill ``out``, zeros (rows, width)."""
        values = table.numbers(self.name)
        infinite = np.isinf(values)
        if infinite.any():
            raise _infinite(table, self.name, infinite)
        missing = np.isnan(values)
        with np.errstate(over="ignore"):
            scaled = (np.where(missing, self.median, values) - self.mean) / self.std
        far = np.abs(scaled) > FAREST
        if far.any():
            row = int(far.argmax())
            raise DataError(
                f"{table.source}: column {self.name!r} is {values[row]:g} in {table.where(row)}; "
                f"the training table has a mean of {self.mean:g} and a standard deviation of "
                f"{self.std:g}"
            )
        out[:, 0] = scaled
        if self.indicator:
            out[:, 1] = missing
        elif missing.any():
            notes.replaced[self.name] += int(missing.sum())


@dataclass(frozen=True)
class WordColumn:
    """A column of categories, one input each, and an indicator if some were missing."""

    name: str
    categories: tuple[str, ...]
    indicator: bool = False

    @property
    def width(self) -> int:
        """How many inputs of the network it becomes."""
        return len(self.categories) + self.indicator

    @property
    def inputs(self) -> list[str]:
        """The inputs' names."""
        found = [f"{self.name}={c}" for c in self.categories]
        return found + ([f"{self.name} is missing"] if self.indicator else [])

    def encode(self, table: Table, out: Array, notes: Notes) -> None:
        """Fill ``out``, zeros (rows, width)."""
        values = table.words(self.name)
        codes = codes_of(values, self.categories)
        rows = np.flatnonzero(codes >= 0)
        out[rows, codes[rows]] = 1
        missing = codes == MISSING_CODE
        if self.indicator:
            out[missing, -1] = 1
        elif missing.any():
            notes.replaced[self.name] += int(missing.sum())
        unseen = values[codes == UNSEEN_CODE]
        if len(unseen):
            seen = notes.unseen.setdefault(self.name, Counter())
            seen.update(unseen.tolist())
            forget_rare(seen)


Column = NumberColumn | WordColumn | DateColumn
KIND_NAMES: dict[type[Column], str] = {
    NumberColumn: "number",
    WordColumn: "words",
    DateColumn: "dates",
}
"""What a column is called in a model file."""
UNSEEN_CODE, MISSING_CODE = -1, -2


def codes_of(words: Array, known: Sequence[str]) -> Array:
    """int64 (rows,): the place of each word in ``known``; -1: unknown, -2: missing.

    A number that is written in another way (1.0 for 1) is found as well; 01, 1% and $1 are names.
    """
    index: dict[str | None, int] = {k: i for i, k in enumerate(known)}
    index.setdefault(None, MISSING_CODE)
    codes = np.fromiter((index.get(v, UNSEEN_CODE) for v in words), np.int64, len(words))
    for i in np.flatnonzero(codes == UNSEEN_CODE):
        if _NUMBER.fullmatch(words[i]):
            codes[i] = index.get(word_of(float(words[i])), UNSEEN_CODE)
    return codes


def column_from_json(c: Mapping[str, Any]) -> Column:
    """What the JSON of a model says. Raises KeyError, TypeError or ValueError if it is damaged."""
    if c["kind"] == "number":
        median, mean, std = (float(c[k]) for k in ("median", "mean", "std"))
        if not (math.isfinite(median) and math.isfinite(mean) and 0 < std < math.inf):
            raise ValueError(f"column {c['name']!r} has median {median}, mean {mean}, std {std}")
        decimal, thousands = c.get("decimal", "."), c.get("thousands", "")
        if Kind("number", decimal, thousands) not in NUMBERS:
            raise ValueError(
                f"column {c['name']!r} has decimal {decimal!r}, thousands {thousands!r}"
            )
        return NumberColumn(
            str(c["name"]), median, mean, std, bool(c["indicator"]), decimal, thousands
        )
    if c["kind"] == "dates":
        return DateColumn.from_json(c)
    if c["kind"] != "words":
        raise ValueError(f"column of kind {c['kind']!r}")
    categories = tuple(str(k) for k in c["categories"])
    return WordColumn(str(c["name"]), categories, bool(c["indicator"]))


# -- learning --------------------------------------------------------------------------------------
class NumberStatistics:
    """Mean, variance and median of a column, from its pieces."""

    def __init__(self, name: str, rows: int, kind: Kind = PLAIN) -> None:
        """``rows``: how many there will be."""
        self.name, self.rows, self.kind = name, 0, kind
        self._counts_rows, self._before = True, math.nan
        self._stride = max(1, -(-rows // SAMPLE))
        self._sample: list[Array] = []
        self.count, self.mean = 0, 0.0
        self._squares = np.float64(0)  # Σ(x - mean)² of the values that are there
        self._least, self._most = math.inf, -math.inf
        self._last = 0.0

    def add(self, table: Table, kept: Array) -> None:
        """The ``kept`` rows of the next piece. Chan, Golub & LeVeque (1983), pairwise update."""
        values = table.numbers(self.name)
        infinite = np.isinf(values)
        if infinite.any():
            raise _infinite(table, self.name, infinite)
        if self._counts_rows and len(values):
            line = np.concatenate([[self._before], values]) if table.first_row else values
            self._counts_rows = bool((np.diff(line) == 1).all())
            self._before = float(values[-1])
        values = values[kept]
        first = -self.rows % self._stride
        self.rows += len(values)
        sample = values[first :: self._stride]
        self._sample.append(sample[~np.isnan(sample)])
        there = values[~np.isnan(values)]
        if not len(there):
            return
        self._last = float(there[-1])
        self._least = min(self._least, float(there.min()))
        self._most = max(self._most, float(there.max()))
        n, total = len(there), self.count + len(there)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = there.mean()
            delta = mean - self.mean
            self._squares += ((there - mean) ** 2).sum() + delta * delta * self.count * n / total
            self.mean += float(delta * n / total)
        self.count = total

    def column(self, source: str, notes: list[str]) -> Column:
        """What was learned; DataError if there was no value."""
        if not self.count:
            raise no_values(source, self.name)
        if self._counts_rows and self.rows > 5:
            notes.append(
                f"{self.name!r} numbers the rows; if that means nothing, drop it (--drop "
                f"{self.name})"
            )
        elif _IDENTIFIER.search(self.name) and self._one_each():
            notes.append(
                f"{self.name!r} looks like a number that names the row; if it is, drop it (--drop "
                f"{self.name})"
            )
        sample = np.concatenate(self._sample)
        median = float(np.median(sample)) if len(sample) else self._last
        std = float(np.sqrt(self._squares / self.count))
        if not math.isfinite(std):
            raise DataError(
                f"{source}: column {self.name!r} has numbers too large to square; scale it"
            )
        missing = self.count < self.rows
        return NumberColumn(
            self.name,
            median,
            self.mean,
            std if std > 0 and self._least < self._most else 1.0,  # the mean of equals is rounded
            missing,
            self.kind.decimal,
            self.kind.thousands,
        )

    def _one_each(self) -> bool:
        """Whether its values are whole numbers, all different (of the sample)."""
        sample = np.concatenate(self._sample)
        return bool(
            (sample == np.floor(sample)).all() and len(np.unique(sample)) == len(sample) > 5
        )


class WordStatistics:
    """The categories of a column, from its pieces."""

    def __init__(self, name: str) -> None:
        self.name, self.rows, self.missing = name, 0, 0
        self._counts: Counter[str | None] = Counter()
        self._forgot = False

    def add(self, table: Table, kept: Array) -> None:
        """The ``kept`` rows of the next piece."""
        words = table.words(self.name)[kept]
        self.rows += len(words)
        self._counts.update(words.tolist())
        self.missing += self._counts.pop(None, 0)
        self._forgot |= forget_rare(self._counts)

    def column(self, source: str, notes: list[str]) -> Column | None:
        """What was learned; None for a column that only numbers the rows."""
        counts = self._counts
        if self.missing == self.rows:
            raise no_values(source, self.name)
        often = counts.most_common(1)[0][1] if counts else 1
        if often == 1 and (self._forgot or len(counts) > 20):
            notes.append(f"ignored {self.name!r}: a different word in every row")
            return None
        words = sorted(str(w) for w in counts)
        if len(words) > MAX_CATEGORIES:
            notes.append(
                f"{self.name!r}: {'more than ' * self._forgot}{len(words)} categories, the "
                f"{MAX_CATEGORIES} most frequent are used"
            )
            words = sorted(sorted(words, key=lambda w: -counts[w])[:MAX_CATEGORIES])
        return WordColumn(self.name, tuple(words), self.missing > 0)


def _infinite(table: Table, name: str, infinite: Array) -> DataError:
    where = table.where(int(infinite.argmax()))
    return DataError(f"{table.source}: column {name!r} is infinite in {where}; drop or change it")
