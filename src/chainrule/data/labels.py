"""Labels of examples: words or whole numbers become numbers of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError


def labels_in(y: Any) -> Array:
    """Labels (N,), words or numbers, of a list, a column (N, 1), or a column of a DataFrame."""
    labels = np.asarray(y)
    if labels.dtype.kind == "O":
        labels = np.array(labels.tolist())
    if labels.dtype.kind == "S":
        labels = labels.astype(str)
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def class_numbers(
    labels: Array, rows: int, classes: Sequence[str] | None, name: str, what: str
) -> tuple[Array, tuple[str, ...]]:
    """The number of each label's class, int64 (N,), and the names of the classes.

    These are ``classes``, or all there are, numbers in their order and words in theirs.

    Raises DataError, which begins with ``name``, for another number of labels than of ``what``,
    labels of another kind, and one that is none of the classes.
    """
    if labels.shape != (rows,):
        raise DataError(f"{name}: {rows} {what} and labels of the shape {labels.shape}")
    if labels.dtype.kind not in "iubU":
        raise DataError(f"{name}: labels are words or whole numbers, got {labels.dtype}")
    named = tuple(str(c) for c in np.unique(labels)) if classes is None else tuple(classes)
    number = {c: i for i, c in enumerate(named)}
    words = labels.astype(str).tolist()
    unknown = sorted(set(words) - number.keys())
    if unknown:
        raise DataError(f"{name}: the class {unknown[0]!r} is none of {', '.join(named)}")
    return np.array([number[w] for w in words], np.int64), named
