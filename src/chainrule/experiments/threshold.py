"""The threshold unit: after each case  w += (d - o) x,  o = 1 if w·x > 0."""

from __future__ import annotations

import numpy as np

from ..core.node import Array
from .base import bits
from .networks import random_orders


def present(w: Array, x: Array, d: Array) -> Array:
    """Present a case to each of R perceptrons; returns which were wrong and have been corrected.

    Weights (R, m), changed in place; inputs (R, m), a bias having the input 1; targets (R,).
    """
    change = d - (np.einsum("rm,rm->r", w, x) > 0)
    w += change[:, None] * x
    return np.asarray(change != 0)


def sweep(w: Array, x: Array, d: Array) -> Array:
    """Present all cases (R, P, m) with targets (R, P); returns how often each was corrected."""
    return np.asarray(np.sum([present(w, x[:, k], d[:, k]) for k in range(x.shape[1])], axis=0))


def with_bias(x: Array) -> Array:
    """The cases with one more input, always 1."""
    return np.concatenate([x, np.ones((*x.shape[:-1], 1))], axis=-1)


def best_found(x: Array, targets: Array, sweeps: int = 100, orders: int = 10) -> Array:
    """The most cases any unit met during learning got right, for each row of ``targets`` (T, P).

    Every target is learned in ``orders`` orders of the cases; weights after each are tried on all.
    """
    count, target = len(x), np.repeat(targets, orders, axis=0)
    best = np.zeros(len(targets))
    order = random_orders(orders, count, stream=99)
    shuffled = np.concatenate([x[order]] * len(targets))
    wanted = np.concatenate([t[order] for t in targets])
    w = np.zeros((len(shuffled), x.shape[1]))
    for k in range(sweeps * count):
        present(w, shuffled[:, k % count], wanted[:, k % count])
        right = ((w @ x.T > 0) == target).sum(1)
        best = np.maximum(best, right.reshape(len(targets), orders).max(1))
    return best


def cycle(targets: Array) -> Array:
    """The weights after each of the last 40 presentations of 1,000 sweeps."""
    x, w = with_bias(bits(2)), np.zeros((1, 3))
    path = []
    for _ in range(1000):
        for k in range(4):
            present(w, x[k : k + 1], targets[k : k + 1])
            path.append(w[0].copy())
    return np.array(path[-40:])
