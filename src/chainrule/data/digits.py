"""Handwritten digits that come with the package: real data for examples, tests and the demo."""

from __future__ import annotations

from importlib.resources import files

import numpy as np

from ..core.node import Array


def load_digits() -> tuple[Array, Array]:
    """1797 handwritten digits of 8 × 8 pixels: float32 (1797, 64), 0 to 16; labels int64 (1797,).

    The same numbers in the same order as ``sklearn.datasets.load_digits(return_X_y=True)``.
    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits (test part), UCI
    Machine Learning Repository, 1998, as distributed with scikit-learn (BSD 3-clause).

    >>> from chainrule.data import load_digits
    >>> x, y = load_digits()
    >>> x.shape, x.max(), y[:10]
    ((1797, 64), np.float32(16.0), array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))
    """
    with (
        (files(__package__) / "digits8x8.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as held,
    ):
        return held["images"].astype(np.float32), held["labels"].astype(np.int64)
