"""A case: code that PyTorch and Chainrule both run, and inputs drawn from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Normal numbers."""
    return np.random.default_rng([len(shape), *shape, seed]).normal(size=shape)


def uniform(*shape: int, seed: int = 0, low: float = 0.05, high: float = 0.95) -> np.ndarray:
    """Uniform numbers."""
    return np.random.default_rng([len(shape), *shape, seed]).uniform(low, high, size=shape)


def labels(*shape: int, n: int, seed: int = 0) -> np.ndarray:
    """Integers below n."""
    return np.random.default_rng([len(shape), *shape, seed]).integers(0, n, size=shape)


def signs(*shape: int, seed: int = 0) -> np.ndarray:
    """1.0 and -1.0."""
    return 2.0 * labels(*shape, n=2, seed=seed) - 1


def simplex(*shape: int, seed: int = 0) -> np.ndarray:
    """Probabilities along axis 1."""
    e = np.exp(normal(*shape, seed=seed))
    return e / e.sum(1, keepdims=True)


def ignoring(x: np.ndarray, value: int) -> np.ndarray:
    """The labels, the first and the last two of which are ``value``."""
    x = x.copy()
    x.flat[0] = x.flat[-1] = x.flat[-2] = value
    return x


class Case(NamedTuple):
    """A module made by ``make(nn, T)`` (T makes a tensor of an array), and its inputs."""

    make: Callable[[Any, Callable[[np.ndarray], Any]], Any]
    inputs: tuple[np.ndarray, ...]
    evaluate: bool = False
