"""Doubts: what a model's numbers should make its user look at twice."""

from __future__ import annotations

import numpy as np

from ..core.node import Array
from ..data import Preprocessor

TELLING, ALL_BUT = 0.93, 0.99
"""A column that alone explains so much of a number, or tells so many classes right, is noted."""
_ROWS, _BINS, _EACH = 20_000, 32, 10


def doubts(
    p: Preprocessor, x: Array, y: Array, metrics: dict[str, float], baseline: dict[str, float]
) -> list[str]:
    """Sentences about a model trained on inputs ``x`` and targets ``y``, of these measures."""
    found = []
    if p.width > len(x):
        found.append(
            f"the {p.width} inputs outnumber the {len(x)} rows learned from: nets do badly there; "
            "drop columns, or give more rows"
        )
    found += giveaways(p, x, y)
    if p.classes:
        more = metrics["accuracy"] - baseline["accuracy"]
        better = more > 0 or (more == 0 and metrics["log_loss"] < baseline["log_loss"])
    else:
        better = metrics["rmse"] < baseline["rmse"]
    if not better:
        always = "the most frequent class" if p.classes else "the mean"
        found.append(
            f"warning: the model is not better than always answering {always}; look at lr, epochs "
            "and columns before you use it"
        )
    return found


def giveaways(p: Preprocessor, x: Array, y: Array) -> list[str]:
    """Columns that alone tell the target."""
    step = -(-len(x) // _ROWS)
    x, y = x[::step].astype(np.float64), y[::step]
    if len(x) < 2 * _EACH:
        return []
    found, at = [], 0
    for c in p.columns:
        part = x[:, at : at + c.width]
        at += c.width
        if len(x) < _EACH * min(c.width, _BINS):
            continue
        if p.classes:
            share, often = _told(part, y, len(p.classes))
            told = share >= ALL_BUT and often <= 1 - 5 * (1 - ALL_BUT)
        else:
            share = max(_explained(part, t) for t in np.atleast_2d(y.T))
            told = share >= TELLING
        if told:
            what = "is right" if p.classes else "explains"
            of = "of the rows" if p.classes else "of the target"
            found.append(
                f"{c.name!r} alone {what} in {share:.1%} {of}; is it known before the target is? "
                f"If not, drop it (--drop {c.name})".replace("explains in", "explains")
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


def _told(part: Array, y: Array, classes: int) -> tuple[float, float]:
    """How many rows the most frequent class of each bin (each category) tells right, and the most
    frequent class of all."""
    first = part[:, 0]
    if part.shape[1] > 2:
        cells = part.argmax(axis=1)
    else:
        edges = np.unique(np.quantile(first, np.linspace(0, 1, _BINS + 1)[1:-1]))
        cells = np.searchsorted(edges, first, side="right")
    counts = np.zeros((int(cells.max()) + 1, classes), np.int64)
    np.add.at(counts, (cells, y), 1)
    return float(counts.max(1).sum() / len(y)), float(np.bincount(y).max() / len(y))
