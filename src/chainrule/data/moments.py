"""Dates as inputs of a net: the time since the first of them, and the parts of calendar and clock.

Each part that varies in the training table (month, day, weekday, hour) is three inputs: a line from
-1 to 1, and a cyclic pair sin 2πx, cos 2πx, in which December lies beside January.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError
from .notes import Notes
from .tables import Table
from .written import ORDERS, Kind

PARTS = ("month", "day", "weekday", "hour")
_DAY = 86_400e6  # in microseconds
_MOST_DAYS = 4e8
"""No date is further from 1970: NumPy's calendar ends there."""


@dataclass(frozen=True)
class DateColumn:
    """A column of dates; ``first``, ``mean`` and ``std`` in days since 1970."""

    name: str
    first: float
    mean: float
    std: float
    year_mean: float
    year_std: float
    """0: all dates are of one year, which is no input."""
    parts: tuple[str, ...]
    indicator: bool = False
    order: str = ""

    @property
    def kind(self) -> Kind:
        """How the training table wrote its dates."""
        return Kind("dates", order=self.order)

    @property
    def width(self) -> int:
        """How many inputs of the network it becomes."""
        return len(self.inputs)

    @property
    def inputs(self) -> list[str]:
        """The inputs' names."""
        n = self.name
        found = [f"{n}: days since {np.datetime64(int(self.first), 'D')}"]
        found += [f"{n}: year"] if self.year_std else []
        for part in self.parts:
            found += [f"{n}: {part}", f"{n}: sin {part}", f"{n}: cos {part}"]
        return found + ([f"{n} is missing"] if self.indicator else [])

    def encode(self, table: Table, out: Array, notes: Notes) -> None:
        """Fill ``out``, zeros (rows, width); of a missing date all are 0."""
        moments = table.moments(self.name)
        missing = np.isnat(moments)
        there = moments[~missing]
        days = days_of(there)
        columns = [(days - self.mean) / self.std]
        if self.year_std:
            columns.append((years_of(there) - self.year_mean) / self.year_std)
        for part in self.parts:
            share = part_of(there, part)
            turn = 2 * np.pi * share
            columns += [2 * share - 1, np.sin(turn), np.cos(turn)]
        out[~missing, : len(columns)] = np.stack(columns, 1)
        if self.indicator:
            out[:, -1] = missing
        elif missing.any():
            notes.replaced[self.name] += int(missing.sum())

    @classmethod
    def from_json(cls, c: Mapping[str, Any]) -> DateColumn:
        """What the JSON of a model says. Raises KeyError, TypeError or ValueError if damaged."""
        names = ("first", "mean", "std", "year_mean", "year_std")
        numbers = {k: float(c[k]) for k in names}
        parts, order = tuple(c["parts"]), c["order"]
        valid = all(math.isfinite(v) and abs(v) < _MOST_DAYS for v in numbers.values())
        valid = valid and numbers["std"] > 0 and numbers["year_std"] >= 0
        if (
            not valid
            or order not in ("", *ORDERS)
            or parts != tuple(p for p in PARTS if p in parts)
        ):
            raise ValueError(
                f"column {c['name']!r} has {numbers}, parts {parts!r}, order {order!r}"
            )
        return cls(
            str(c["name"]), **numbers, parts=parts, indicator=bool(c["indicator"]), order=order
        )


def days_of(moments: Array) -> Array:
    """float64: days since 1970."""
    return np.asarray(moments.astype(np.int64) / _DAY)


def years_of(moments: Array) -> Array:
    """float64: the calendar's years."""
    return np.asarray(moments.astype("datetime64[Y]").astype(np.int64) + 1970.0)


def part_of(moments: Array, part: str) -> Array:
    """float64 in [0, 1): where in its cycle a part of the dates is."""
    day = moments.astype("datetime64[D]")
    if part == "month":
        return np.asarray(day.astype("datetime64[M]").astype(np.int64) % 12 / 12)
    if part == "day":
        return np.asarray(
            (day - day.astype("datetime64[M]").astype("datetime64[D]")).astype(int) / 31
        )
    if part == "weekday":  # the first of January 1970 was a Thursday; 0 is Monday
        return np.asarray((day.astype(np.int64) + 3) % 7 / 7)
    return np.asarray((moments - day.astype("datetime64[us]")).astype(np.int64) / _DAY)


class DateStatistics:
    """What a column of dates is, from its pieces."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name, self.kind, self.rows, self.count = name, kind, 0, 0
        self._first = math.inf
        self._sums = np.zeros(4)  # of days and years, and their squares, from the first date seen
        self._origin: tuple[float, float] | None = None
        self._seen: dict[str, set[float]] = {p: set() for p in PARTS}

    def add(self, table: Table, kept: Array) -> None:
        """The ``kept`` rows of the next piece."""
        moments = table.moments(self.name)[kept]
        self.rows += len(moments)
        moments = moments[~np.isnat(moments)]
        if not len(moments):
            return
        self.count += len(moments)
        days, years = days_of(moments), years_of(moments)
        self._first = min(self._first, float(days.min()))
        self._origin = self._origin or (float(days[0]), float(years[0]))
        d, y = days - self._origin[0], years - self._origin[1]
        self._sums += [d.sum(), (d * d).sum(), y.sum(), (y * y).sum()]
        for part, seen in self._seen.items():
            if len(seen) < 2:
                seen.update(np.unique(part_of(moments, part))[:2].tolist())

    def column(self, source: str, notes: list[str]) -> DateColumn:
        """What was learned; DataError if there was no value."""
        if self._origin is None:
            raise DataError(
                f"{source}: no row of column {self.name!r} has a date; drop it, or say how its "
                f"dates are written: --dates {self.name}:dmy (:mdy, :ymd)"
            )
        d, dd, y, yy = self._sums / self.count
        std, year_std = math.sqrt(max(dd - d * d, 0)), math.sqrt(max(yy - y * y, 0))
        return DateColumn(
            self.name,
            math.floor(self._first),
            self._origin[0] + d,
            std if std > 0 else 1.0,
            self._origin[1] + y,
            year_std if year_std > 1e-6 else 0.0,
            tuple(p for p in PARTS if len(self._seen[p]) > 1),
            self.count < self.rows,
            self.kind.order,
        )
