"""Principal components, and whether nearest neighbours are of one class."""

from __future__ import annotations

import numpy as np

from ..core.node import Array


def squared(made: Array, x: Array) -> float:
    """The squared error, summed over the pixels of an image: the mean over images."""
    return float(((made - x) ** 2).sum(1, dtype=float).mean())


def components(x: Array, x_test: Array, count: int) -> Array:
    """The test images from ``count`` principal components of the training images."""
    mean, axes = principal(x, count)
    return np.asarray((x_test - mean) @ axes @ axes.T + mean)


def principal(x: Array, count: int) -> tuple[Array, Array]:
    """The mean, and the axes of the largest variance, (features, count)."""
    mean = x.mean(0)
    values, vectors = np.linalg.eigh(np.cov((x - mean).T))
    return mean, vectors[:, np.argsort(values)[::-1][:count]].astype(x.dtype)


def neighbours(codes: Array, labels: Array) -> float:
    """The share of rows, in per cent, whose nearest other row has the same label."""
    right = 0
    norms = (codes**2).sum(1)
    for i in range(0, len(codes), 1000):
        apart = norms[i : i + 1000, None] - 2 * codes[i : i + 1000] @ codes.T + norms
        apart[np.arange(len(apart)), np.arange(i, i + len(apart))] = np.inf
        right += int((labels[apart.argmin(1)] == labels[i : i + 1000]).sum())
    return 100 * right / len(codes)
