"""Giveaways: columns that tell the target, alone or two together."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from ..core.node import Array
from ..data import Preprocessor
from ..data.columns import NumberColumn

TELLING, ALL_BUT = 0.93, 0.99
"""A column that alone explains so much of a number, or tells so many classes right, is noted."""
EXACT, NEAR_ONE = 0.9999, 0.01
"""Two that explain so much, added or subtracted with factors so near to 1, are noted."""
_ROWS, _BINS, _EACH, _COLUMNS = 20_000, 32, 10, 40
"""Rows looked at, bins of a number, rows that a bin needs, columns that are paired."""


def giveaways(p: Preprocessor, x: Array, y: Array) -> list[str]:
    """Sentences about columns that tell the targets ``y`` of the inputs ``x``, a row each."""
    step = -(-len(x) // _ROWS)
    x, y = x[::step].astype(np.float64), y[::step]
    if len(x) < 2 * _EACH:
        return []
    found, at = [], 0
    parts: dict[str, Array] = {}  # of the columns that do not tell it alone
    for c in p.columns:
        part = x[:, at : at + c.width]
        at += c.width
        parts[c.name] = part
        if len(x) < _EACH * min(c.width, _BINS):
            continue
        if p.classes:
            share, often = told(cells_of(part), y, len(p.classes))
            sure = share >= ALL_BUT and often <= 1 - 5 * (1 - ALL_BUT)
        else:
            share = max(_explained(part, t) for t in np.atleast_2d(y.T))
            sure = share >= TELLING
        if sure:
            del parts[c.name]
            what = f"is right in {share:.1%} of the rows" if p.classes else ""
            found.append(
                f"{c.name!r} alone {what or f'explains {share:.1%} of the target'}; is it known "
                f"before the target is? If not, drop it (--drop {c.name})"
            )
    if p.classes:
        return found + _keys(parts, y, len(p.classes))
    numbers = [c for c in p.columns if isinstance(c, NumberColumn) and c.name in parts]
    if y.ndim == 1 or y.shape[1] == 1:
        found += _sums(numbers, [parts[c.name][:, 0] for c in numbers], y.reshape(len(y)))
    return found


def _sums(columns: list[NumberColumn], parts: list[Array], y: Array) -> list[str]:
    """Pairs of numbers whose sum or difference is the target, but for a constant."""
    if len(columns) < 2 or y.std() == 0:
        return []
    raw = np.array(parts) * np.array([[c.std] for c in columns])
    moments = np.cov(np.vstack([raw, y]))
    own, with_y, spread = np.diag(moments)[:-1], moments[:-1, -1], moments[-1, -1]
    found = []
    with np.errstate(divide="ignore", invalid="ignore"):
        both = moments[:-1, :-1]
        volume = own[:, None] * own[None] - both**2
        first = (with_y[:, None] * own[None] - with_y[None] * both) / volume  # of the pair's first
        explained = (first * with_y[:, None] + first.T * with_y[None]) / spread
        plain = (np.abs(np.abs(first) - 1) < NEAR_ONE) & (np.abs(np.abs(first.T) - 1) < NEAR_ONE)
    for i, j in np.argwhere(np.triu(plain & (explained >= EXACT), 1)):
        if first[i, j] < 0 < first[j, i]:
            i, j = j, i
        a, b = columns[i].name, columns[j].name
        signs = ("-" if first[i, j] < 0 else "") + repr(a), "-" if first[j, i] < 0 else "+"
        found.append(
            f"{signs[0]} {signs[1]} {b!r} is the target (but for a constant, {explained[i, j]:.2%} "
            f"explained); are both known before it is? If not, drop one (--drop {a})"
        )
    return found


def _keys(parts: dict[str, Array], y: Array, classes: int) -> list[str]:
    """Pairs of columns whose values together tell the class, many rows for each pair of values."""
    if np.bincount(y).max() > (1 - 5 * (1 - ALL_BUT)) * len(y):
        return []
    cells = {name: cells_of(part) for name, part in list(parts.items())[:_COLUMNS]}
    found = []
    for a, b in combinations(cells, 2):
        _, both = np.unique(cells[a] * (cells[b].max() + 1) + cells[b], return_inverse=True)
        if (both.max() + 1) * _EACH > len(y):
            continue
        share, _ = told(both, y, classes)
        if share >= ALL_BUT:
            found.append(
                f"{a!r} and {b!r} together are right in {share:.1%} of the rows; are both known "
                f"before the target is? If not, drop one (--drop {a})"
            )
    return found


def _explained(part: Array, y: Array) -> float:
    """R² of the best linear formula of one column's inputs."""
    spread = float(((y - y.mean()) ** 2).sum())
    if not spread:
        return 0.0
    a = np.column_stack([part, np.ones(len(part))])
    left = y - a @ np.linalg.lstsq(a, y, rcond=None)[0]
    return 1 - float((left**2).sum()) / spread


def cells_of(part: Array) -> Array:
    """The category of each row, or the bin of its number."""
    bins: Array = part.argmax(axis=1)
    if part.shape[1] > 2:
        return bins
    edges = np.unique(np.quantile(part[:, 0], np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, part[:, 0], side="right")
    return bins


def told(cells: Array, y: Array, classes: int) -> tuple[float, float]:
    """How many rows the most frequent class of each cell tells right, and that of all."""
    counts = np.zeros((int(cells.max()) + 1, classes), np.int64)
    np.add.at(counts, (cells, y), 1)
    return float(counts.max(1).sum() / len(y)), float(np.bincount(y).max() / len(y))
