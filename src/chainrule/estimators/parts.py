"""Parts of a table: rows to learn from, to choose the epoch by, and to measure with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.node import Array
from ..data.split import split_rows
from ..data.tables import no_column
from ..data.understood import Understood
from ..errors import DataError, OptionError


@dataclass(frozen=True)
class Parts:
    """Sorted row numbers; ``other``: a table of its own to measure with."""

    kept: Array
    validation: Array
    test: Array
    other: Any = None


def parts_of(
    source: Understood,
    known: Array,
    validation: float,
    test: Any,
    split: str,
    seed: int,
    classes: Array | None,
) -> Parts:
    """Divide the rows ``known`` (sorted), of which ``classes`` are the classes.

    ``test``: None, a share, "last:N" or another table; ``split``: "random" or "time:COLUMN".
    """
    share, last, other = _test_of(test)
    order = _in_time(source, known, split[5:]) if split != "random" else known
    n = len(order)
    held = last if last else min(max(round(n * share), 1), n) if share else 0
    if n - held < 5:
        raise DataError(
            f"{source.name}: {n} rows, {held} of them for the test: {max(n - held, 0)} are too few"
            " to learn from; give at least 5"
        )
    if split != "random" or last:
        rest, tested = order[: n - held], order[n - held :]
    elif held:
        rest, tested = _at_random(order, share, seed + 1, classes, known)
    else:
        rest, tested = order, order[:0]
    if split != "random":
        cut = len(rest) - min(max(round(len(rest) * validation), 1), len(rest) - 1)
        kept, chosen = rest[:cut], rest[cut:]
    else:
        kept, chosen = _at_random(rest, validation, seed, classes, known)
    return Parts(np.sort(kept), np.sort(chosen), np.sort(tested), other)


def _at_random(
    rows: Array, share: float, seed: int, classes: Array | None, known: Array
) -> tuple[Array, Array]:
    own = None if classes is None else classes[np.searchsorted(known, rows)]
    kept, held = split_rows(len(rows), share, seed, own)
    return rows[kept], rows[held]


def _test_of(test: Any) -> tuple[float, int, Any]:
    """A share, a number of rows, or a table; the others are 0, 0 and None."""
    if test is None:
        return 0.0, 0, None
    if isinstance(test, str) and test.startswith("last:"):
        count = test[5:].strip()
        if not count.isdecimal() or int(count) < 1:
            raise OptionError(f"test: 'last:N' needs a number of rows, got {test!r}")
        return 0.0, int(count), None
    try:
        share = float(test) if isinstance(test, str | int | float) else None
    except ValueError:
        share = None
    if share is None:
        return 0.0, 0, test
    if not 0 < share < 1:
        raise OptionError(
            f"test is a share of the rows between 0 and 1, 'last:N', or a table, got {test!r}"
        )
    return share, 0, None


def _in_time(source: Understood, known: Array, column: str) -> Array:
    """The rows in the order of a column of dates or numbers."""
    if column not in source.columns:
        raise no_column(source, column)
    kind = source.kinds[column].name
    if kind == "words":
        raise DataError(
            f"{source.name}: split: column {column!r} holds words; dates or numbers are expected"
        )
    pieces = list(source.batches([column]))
    times = np.concatenate([t.columns[column] for t in pieces])[known]
    gone = np.isnat(times) if kind == "dates" else np.isnan(times)
    if gone.any():
        raise DataError(
            f"{source.name}: split: column {column!r} has no value in {int(gone.sum())} rows; drop "
            "these rows"
        )
    return known[np.argsort(times, kind="stable")]
