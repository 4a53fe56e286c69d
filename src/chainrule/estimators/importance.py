"""Permutation importance: how much worse a model is when the values of a column are shuffled.

Source: Breiman (2001), Random forests.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..core.node import Array
from ..data import Preprocessor
from .measure import scores_of
from .network import Spec, outputs
from .said import shown

ROWS = 2000
"""More rows than this are not looked at."""
TIMES = 3
"""So often each column is shuffled."""


def importances(
    p: Preprocessor, spec: Spec, weights: Mapping[str, Array], x: Array, y: Array
) -> dict[str, float]:
    """By column, the largest first: what shuffling it costs.

    That is what the accuracy falls by, or the RMSE rises by, if its inputs ``x`` (rows, width) are
    those of other rows; ``y``: class numbers or numbers of the target.
    """
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(len(x))[:ROWS])
    x, y = np.array(x[chosen]), y[chosen]

    def error() -> float:
        scores = scores_of(len(p.classes))
        scores.add(y, shown(p, outputs(spec, weights, x)))
        found = scores.result()
        return -found["accuracy"] if p.classes else found["rmse"]

    whole, at, found = error(), 0, {}
    for c in p.columns:
        own = slice(at, at + c.width)
        at += c.width
        before, total = x[:, own].copy(), 0.0
        for _ in range(TIMES):
            x[:, own] = before[rng.permutation(len(x))]
            total += error() - whole
        x[:, own] = before
        found[c.name] = total / TIMES
    return dict(sorted(found.items(), key=lambda item: -item[1]))
