"""Sequences out of tables: rows that say which sequence they belong to, or one sequence a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError, OptionError
from .corpus import text_of
from .reading import table_of
from .sequences import LIMIT, Sequences
from .tables import Table, no_column
from .understood import column_names
from .unpacking import unpacked
from .written import number_of

SEPARATORS = ",;\t|"


def sequences_of_table(
    table: Any,
    sequence: str,
    *,
    order: str | None = None,
    features: str | Iterable[str] | None = None,
    target: str | None = None,
    target_of: str = "sequence",
) -> Sequences:
    """The sequences in a long table, whose rows are steps.

    All rows of one value in the column ``sequence`` are one, in the order in which these values
    come.

    ``table``: a path, a DataFrame, a dict of columns (see `source_of`). ``order``: a column of
    numbers or dates by which steps are sorted; without one they stay in the order of the rows.
    ``features``: columns of numbers (default: all others), float32; what is missing is NaN.
    ``target``: a column with one value for each sequence, or with ``target_of="step"`` for each
    step (then ``y`` is a list); words are numbered as classes, in their order.

    Raises DataError, with the line, for a row without a sequence or a place in it, two rows in one
    place, words among features, or a target that changes within a sequence.

    >>> from chainrule.data import sequences_of_table
    >>> rows = {"id": ["a", "b", "a"], "t": [2, 1, 1], "v": [5, 6, 4], "y": ["up", "no", "up"]}
    >>> found = sequences_of_table(rows, "id", order="t", target="y")
    >>> [x.tolist() for x in found.x], found.y.tolist(), found.classes
    ([[[4.0], [5.0]], [[6.0]]], [1, 0], ('no', 'up'))
    """
    if target_of not in ("sequence", "step"):
        raise OptionError(
            f'sequences_of_table: target_of is "sequence" or "step", got {target_of!r}'
        )
    found = table_of(table)
    own = [n for n in (sequence, order, target) if n is not None]
    names = column_names(features) if features is not None else []
    for name in (*own, *names):
        if name not in found.columns:
            there = SimpleNamespace(name=found.source, columns=list(found.columns), doubt="")
            raise no_column(there, name)
    names = names or [n for n in found.columns if n not in own]
    if not names:
        raise DataError(
            f"{found.source}: no columns of features beside {', '.join(map(repr, own))}"
        )
    if not found.rows:
        raise DataError(f"{found.source}: the table has no rows")
    rows = _rows_of(found, sequence, order)
    values = np.column_stack([found.numbers(n) for n in names]).astype(np.float32)
    x = [np.ascontiguousarray(values[r]) for r in rows]
    if target is None:
        return Sequences(x, np.zeros(0, np.int64), (), found.source)
    y, classes = _targets(found, target)
    if target_of == "step":
        return Sequences(x, [y[r] for r in rows], classes, found.source)
    for r in rows:
        other = r[y[r] != y[r[0]]]
        if len(other):
            shown = found.shown(target)
            a, b = sorted((int(r[0]), int(other[0])))
            raise DataError(
                f"{found.source}: column {target!r} is {shown[a]!r} in {found.where(a)} and "
                f"{shown[b]!r} in {found.where(b)}, both of sequence "
                f'{found.shown(sequence)[a]!r}; for a target of each step: target_of="step"'
            )
    return Sequences(x, y[[r[0] for r in rows]], classes, found.source)


def _rows_of(table: Table, sequence: str, order: str | None) -> list[Array]:
    """The rows of each sequence, in the order of its steps."""
    for name in filter(None, (sequence, order)):
        missing = np.flatnonzero(table.missing(name))
        if len(missing):
            raise DataError(
                f"{table.source}: column {name!r} has no value in {table.where(missing[0])}"
            )
    _, first, which = np.unique(table.columns[sequence], return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))[which]  # sequences by their first row
    if order is None:
        rows = np.argsort(place, kind="stable")
    else:
        at = table.columns[order] if table.is_date(order) else table.numbers(order)
        rows = np.lexsort((at, place))
        same = (np.diff(place[rows]) == 0) & (at[rows][1:] == at[rows][:-1])
        if same.any():
            a, b = sorted(map(int, rows[same.argmax() :][:2]))
            raise DataError(
                f"{table.source}: {table.where(a)} and {table.where(b)} are both of sequence "
                f"{table.shown(sequence)[a]!r} at {order} {table.shown(order)[a]}"
            )
    return np.split(rows, np.cumsum(np.bincount(place))[:-1])


def _targets(table: Table, name: str) -> tuple[Array, tuple[str, ...]]:
    missing = np.flatnonzero(table.missing(name))
    if len(missing):
        raise DataError(
            f"{table.source}: column {name!r} has no value in {table.where(missing[0])}; a target "
            "must be known"
        )
    if table.is_number(name):
        return _plain_numbers(table.numbers(name)), ()
    classes, y = np.unique(table.words(name).astype(str), return_inverse=True)
    return y.astype(np.int64), tuple(classes.tolist())


def _plain_numbers(values: Array) -> Array:
    """Whole numbers, which may be classes, as integers."""
    whole = np.isfinite(values).all() and (values == np.floor(values)).all()
    return values.astype(np.int64 if whole else np.float32)


def read_sequences(
    path: str | Path,
    *,
    label: str | None = None,
    channels: int = 1,
    separator: str | None = None,
    header: bool = False,
    encoding: str = "utf-8",
) -> Sequences:
    """A text file (also with gzip) with one sequence a line: numbers, as many as there are.

    ``label``: "first" or "last", the cell that is no step but the target of the line: words are
    numbered as classes, in their order. ``channels``: so many numbers after another are one step.
    ``separator``: found by itself if it is one of ``, ; |`` or a tab. ``header``: the first line
    has names. Empty cells at the end of a line, as spreadsheets write them, are no steps; others
    are NaN. Raises DataError, with the line, for an empty line, for cells that are no numbers, and
    for a number of cells that the channels do not divide.

    >>> import tempfile
    >>> from chainrule.data import read_sequences
    >>> with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
    ...     _ = file.write("up,1,2,3\\ndown,5,4\\n")
    ...     file.flush()
    ...     found = read_sequences(file.name, label="first")
    >>> [x[:, 0].tolist() for x in found.x], found.y.tolist(), found.classes
    ([[1.0, 2.0, 3.0], [5.0, 4.0]], [1, 0], ('down', 'up'))
    """
    if label not in (None, "first", "last"):
        raise OptionError(f'read_sequences: label is None, "first" or "last", got {label!r}')
    if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
        raise OptionError(f"read_sequences: channels is an integer from 1 on, got {channels!r}")
    path = Path(path)
    text = text_of(unpacked(path, LIMIT), str(path), encoding)
    lines = text.rstrip("\r\n \t").split("\n") if text.strip() else []
    if len(lines) <= header:
        raise DataError(f"{path}: no sequences")
    by = separator or max(SEPARATORS, key=text.count)
    x: list[Array] = []
    labels: list[str] = []
    for number, line in enumerate(lines[header:], 1 + header):
        where = f"{path}, line {number}"
        cells = [c.strip().strip('"') for c in line.strip("\r").split(by)]
        while cells and not cells[-1]:
            cells.pop()
        if label is not None and cells:
            labels.append(cells.pop(0 if label == "first" else -1))
            if not labels[-1]:
                raise DataError(f"{where}: no label in the first cell")
        if not cells:
            raise DataError(f"{where}: an empty sequence; leave the line out")
        if len(cells) % channels:
            raise DataError(
                f"{where}: {len(cells)} numbers, which {channels} channels do not divide"
            )
        values = np.array([_cell(c, where) for c in cells], np.float32)
        x.append(values.reshape(-1, channels))
    y, classes = _labels(labels)
    return Sequences(x, y, classes, path.name)


def _cell(cell: str, where: str) -> float:
    if not cell:
        return float("nan")
    number = number_of(cell)
    if number is None:
        raise DataError(f"{where}: {cell[:40]!r} is no number")
    return number


def _labels(labels: Sequence[str]) -> tuple[Array, tuple[str, ...]]:
    numbers = [number_of(v) for v in labels]
    if None not in numbers:
        return _plain_numbers(np.array(numbers, np.float64)), ()
    classes, y = np.unique(np.array(labels), return_inverse=True)
    return y.astype(np.int64), tuple(classes.tolist())
