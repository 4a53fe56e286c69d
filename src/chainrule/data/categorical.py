"""Integer labels as rows of zeros and ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.node import Array
from ..errors import DataError


def to_categorical(labels: Any, num_classes: int | None = None) -> Array:
    """Rows with a 1 at the label, as float32: Keras's function.

    Losses here take labels themselves, or such rows. Raises DataError for labels that are no
    classes.

    >>> from chainrule.data import to_categorical
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    found = np.asarray(labels)
    if found.dtype.kind not in "iub" or not found.size or found.min() < 0:
        raise DataError(
            f"to_categorical: labels are integers 0, 1, …, got {found.dtype} of shape {found.shape}"
            + (f", least {found.min()}" if found.size and found.dtype.kind in "if" else "")
        )
    found = found.astype(np.int64)
    classes = int(found.max()) + 1 if num_classes is None else int(num_classes)
    if found.max() >= classes:
        raise DataError(f"to_categorical: label {found.max()}, but num_classes is {classes}")
    rows: Array = np.eye(classes, dtype=np.float32)[found]
    return rows
