"""A seeded split of rows for validation, stratified where there are classes."""

from __future__ import annotations

import numpy as np

from ..core.node import Array
from ..errors import DataError


def split_rows(
    rows: int, fraction: float, seed: int, classes: Array | None = None
) -> tuple[Array, Array]:
    """Sorted row numbers (kept, held); of every class about ``fraction`` is held, and one row at
    least kept.

    >>> import numpy as np
    >>> from chainrule.estimators.split import split_rows
    >>> kept, held = split_rows(10, 0.2, seed=0, classes=np.array([0] * 5 + [1] * 5))
    >>> len(kept), len(held)
    (8, 2)
    """
    rng = np.random.default_rng(seed)
    if classes is None:
        order = rng.permutation(rows)
        cut = min(max(round(rows * fraction), 1), rows - 1)
    else:
        # Rows of a class are spread evenly over [0, 1); those below the fraction are held.
        place = np.empty(rows)
        for c in np.unique(classes):
            own = np.flatnonzero(classes == c)
            place[rng.permutation(own)] = (np.arange(len(own)) + rng.random()) / len(own)
        order = np.argsort(place, kind="stable")
        cut = min(max(round(rows * fraction), 1), rows - 1)
    if rows < 2:
        raise DataError(f"{rows} row cannot be split into training and validation; give more data")
    return np.sort(order[cut:]), np.sort(order[:cut])
