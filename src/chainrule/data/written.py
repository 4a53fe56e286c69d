"""Written values: numbers and dates as people write them, and what a cell without a value says.

A column is understood as a whole: each way of writing is counted, and the one that most of its
cells follow decides (see `understood`).
"""

from __future__ import annotations

import datetime
import math
import re
from dataclasses import dataclass
from functools import lru_cache

MISSING = ("", "?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "none")
"""Words of a text file that mean that a value is missing, unless they are classes."""
BLANK = ("", "?", "NaN", "nan")
"""Words that are no class either."""
AMONG_NUMBERS = frozenset(
    [w.casefold() for w in MISSING]
    + ["-", "--", "---", "–", "—", ".", "..", "...", "n.a.", "n.a", "na.", "#n/a", "#na", "#value!"]
    + ["#div/0!", "#ref!", "#num!", "#null!", "\\n", "<na>", "nat", "nil", "missing", "unknown"]
    + ["unk", "not available", "not applicable", "no data", "k.a.", "k. a.", "unbekannt", "s/d"]
    + ["inconnu", "desconocido", "tbd", "tba", "(null)", "(blank)", "<null>"]
)
"""Words (in lower case) that mean so in a column of numbers or dates."""
LONGEST_CELL = 64
"""No number and no date is written in more characters."""

ORDERS = ("ymd", "dmy", "mdy", "time", "number")
"""How dates are written: the order of year, month and day; a time alone; a number of seconds since
1970 (also ms, µs, ns), or YYYYMMDD."""


@dataclass(frozen=True)
class Kind:
    """What a column's cells are, and how they are written."""

    name: str = "words"
    """"number", "words" or "dates"."""
    decimal: str = "."
    thousands: str = ""
    order: str = ""
    """Of dates: one of `ORDERS`; "" where they were dates already."""


WORDS = Kind()
PLAIN = Kind("number")
NUMBERS = (
    PLAIN,
    Kind("number", ".", ","),
    Kind("number", ".", " "),
    Kind("number", ".", "'"),
    Kind("number", ",", "."),
    Kind("number", ",", " "),
    Kind("number", ",", "'"),
)
"""The ways numbers are written, the likelier first."""
DATES = tuple(Kind("dates", order=order) for order in ORDERS[:-1])
KINDS = NUMBERS + DATES

_SPACES = " \u00a0\u2009\u202f"
_GROUPS = {"": "", ",": ",", ".": r"\.", " ": f"[{_SPACES}]", "'": "['\u2019]"}
_CURRENCY = (
    r"(?:(?:US|A|C|NZ|HK)?\$|[€£¥₹₽₩₺₿¢]|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|AUD"
    r"|CAD|BRL|R\$|Rs\.?|Euro|kr\.?|Fr\.|zł|Kč)(?![a-z]))"
)
_NUMBER = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[-+\u2212]?)\s*(?P<front>{_CURRENCY})?\s*(?P<second>[-+\u2212]?)\s*"
    rf"(?P<body>(?:\d|[.,]\d)[\d.,'\u2019{_SPACES}]*?(?:[eE][-+]?\d+)?)\s*(?P<percent>%)?"
    rf"\s*(?P<back>{_CURRENCY})?(?P<after>[-\u2212])?\s*(?P<close>\))?"
)


def _body(kind: Kind) -> re.Pattern[str]:
    """The digits of a number that is written so; a group has three, in India two but the last. The
    first is no zero: 0,341 has a decimal comma."""
    point, group = re.escape(kind.decimal), _GROUPS[kind.thousands]
    grouped = rf"|[1-9]\d{{0,2}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{point}\d*)?" if group else ""
    return re.compile(rf"(?:\d+(?:{point}\d*)?|{point}\d+)(?:[eE][-+]?\d+)?{grouped}")


_BODIES = {kind: _body(kind) for kind in NUMBERS}


def number_of(word: str, kind: Kind = PLAIN) -> float | None:
    """The number that a word writes, or None; currency and percent signs say nothing.

    >>> from chainrule.data.written import Kind, number_of
    >>> number_of("1.234,50 €", Kind("number", ",", ".")), number_of("(12%)"), number_of("about 5")
    (1234.5, -12.0, None)
    """
    if len(word) > LONGEST_CELL and kind != PLAIN:
        return None
    if kind == PLAIN:
        try:
            return None if "_" in word else float(word)  # Python's 1_000 is a name to others
        except ValueError:
            pass
    found = _NUMBER.fullmatch(word.strip()) if len(word) <= LONGEST_CELL else None
    if not found or bool(found["open"]) != bool(found["close"]):
        return None
    body = found["body"]
    pattern = _BODIES.get(kind) or _body(kind)
    if not pattern.fullmatch(body):
        return None
    if kind.thousands:
        body = re.sub(_GROUPS[kind.thousands], "", body)
    value = float(body.replace(kind.decimal, "."))
    signs = [found["sign"], found["second"], found["after"], "-" if found["open"] else ""]
    minus = sum(s in ("-", "\u2212") for s in signs if s)
    return None if minus > 1 else -value if minus else value


def is_grouped(word: str, kind: Kind) -> bool:
    """Whether the sign between thousands stands in a word that is a number of this kind."""
    found = _NUMBER.fullmatch(word) if kind.thousands else None
    return bool(found and re.search(_GROUPS[kind.thousands], found["body"].strip()))


def signs_of(word: str) -> set[str]:
    """What is written around a number: "currency signs", "percent signs"."""
    found = _NUMBER.fullmatch(word)
    if not found:
        return set()
    there = {"percent signs"} if found["percent"] else set()
    return there | ({"currency signs"} if found["front"] or found["back"] else set())


# -- dates -----------------------------------------------------------------------------------------
_MONTHS = {
    name: number
    for number, names in enumerate(
        "jan january januar janvier|feb february februar|mar march mär märz mrz mars"
        "|apr april avril|may mai|jun june juni juin|jul july juli juillet|aug august août"
        "|sep sept september septembre|oct october okt oktober octobre|nov november novembre"
        "|dec december dez dezember décembre".split("|"),
        1,
    )
    for name in names.split()
}
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?\s*(?:Z|UTC|[-+]\d{2}:?\d{2})?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?"
_YEAR, _MONTH = r"(?P<year>\d{4}|'?\d{2})", r"(?P<month>\d{1,2})"
_NAME = r"(?P<name>[^\W\d_]{3,9})\.?"
_WEEKDAY = r"(?:[^\W\d_]{2,9}\.?,?\s+)?"
_DATE = {
    "ymd": [r"(?P<year>\d{4})([-/.])(?P<month>\d{1,2})(?:\2(?P<day>\d{1,2}))?"],
    "dmy": [rf"{_WEEKDAY}(?P<day>\d{{1,2}})([./-])\s?{_MONTH}\2\s?{_YEAR}"],
    "mdy": [rf"{_WEEKDAY}{_MONTH}([/-])(?P<day>\d{{1,2}})\2{_YEAR}"],
}
_NAMED = [
    rf"{_WEEKDAY}{_DAY}[-\s]+{_NAME}[-\s,]+{_YEAR}",
    rf"{_WEEKDAY}{_NAME}\s+{_DAY},?\s+{_YEAR}",
]
_NAMED += [rf"{_NAME}[-\s]+(?P<year>\d{{4}})"]
_PATTERNS = {
    order: [re.compile(rf"{p}(?:(?:[T,]|\s)\s*{_CLOCK})?") for p in patterns + _NAMED]
    for order, patterns in _DATE.items()
}
_PATTERNS["time"] = [re.compile(_CLOCK)]
_EPOCH = datetime.datetime(1970, 1, 1)
_MICROSECOND = datetime.timedelta(microseconds=1)


def moment_of(word: str, order: str) -> int | None:
    """Microseconds from 1970 to a date and time as it is written (of its own zone), or None.

    >>> from chainrule.data.written import moment_of
    >>> moment_of("2.1.1970 00:01", "dmy"), moment_of("Jan 2, 1970", "mdy"), moment_of("2", "dmy")
    (86460000000, 86400000000, None)
    """
    word = word.strip()
    if not 4 <= len(word) <= LONGEST_CELL or not any(c.isdigit() for c in word):
        return None
    for pattern in _PATTERNS[order]:
        found = pattern.fullmatch(word)
        if found:
            return _microseconds(found.groupdict())
    return None


def _microseconds(parts: dict[str, str | None]) -> int | None:
    name = parts.get("name")
    month = _MONTHS.get(name.casefold()) if name else int(parts.get("month") or 1)
    year = int((parts.get("year") or "1970").lstrip("'"))
    if year < 100:
        year += 2000 if year < 69 else 1900  # as POSIX has it
    hour, half = int(parts["hour"] or 0), (parts["half"] or "").casefold()[:1]
    if month is None or (half and not 1 <= hour <= 12):
        return None
    if half:
        hour = hour % 12 + 12 * (half == "p")
    fraction = int(((parts["fraction"] or "") + "000000")[:6])
    try:
        day = datetime.datetime(year, month, int(parts.get("day") or 1))
        clock = datetime.time(hour % 24, int(parts["minute"] or 0), int(parts["second"] or 0))
    except ValueError:
        return None
    if hour > 24 or (hour == 24 and clock != datetime.time()):
        return None
    seconds = (hour * 60 + clock.minute) * 60 + clock.second
    return (day - _EPOCH) // _MICROSECOND + seconds * 1_000_000 + fraction


def is_day(value: float) -> bool:
    """Whether a number is a date, written YYYYMMDD."""
    return _day_of(value) is not None


def _day_of(value: float) -> int | None:
    if not (10_000_000 <= value < 100_000_000 and value == int(value)):
        return None
    year, month, day = int(value) // 10_000, int(value) // 100 % 100, int(value) % 100
    return moment_of(f"{year:04d}-{month}-{day}", "ymd")


def moment_of_number(value: float) -> float:
    """Microseconds since 1970 of a number: YYYYMMDD, or seconds, ms, µs, ns; NaN for another."""
    if not math.isfinite(value):
        return math.nan
    found = _day_of(value)
    if found is not None:
        return float(found)
    size = abs(value)
    for limit, factor in ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3)):
        if size < limit:
            return value * factor
    return math.nan


@lru_cache(maxsize=1 << 14)
def ways_of(word: str, asked: tuple[int, ...] = tuple(range(len(KINDS)))) -> tuple[int, ...]:
    """Places in `KINDS`, of those ``asked``, of the ways in which a word is a number or a date."""
    if len(word) > LONGEST_CELL:
        return ()
    if not any(c.isdigit() for c in word):
        return (0,) if 0 in asked and number_of(word) is not None else ()
    return tuple(i for i in asked if value_of(word, KINDS[i]) is not None)


def value_of(word: str, kind: Kind) -> float | None:
    """The number of a word, or the microseconds of its date; None if it is none."""
    if kind.name == "number":
        return number_of(word, kind)
    if kind.order == "number":
        number = number_of(word)
        moment = math.nan if number is None else moment_of_number(number)
        return None if moment != moment else moment
    return moment_of(word, kind.order)
