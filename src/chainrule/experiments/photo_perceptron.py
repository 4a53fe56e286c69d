"""Rosenblatt's photo-perceptron: cards marked on the left or on the right."""

from __future__ import annotations

import numpy as np

from ..core.node import Array
from .base import Report, spread
from .networks import random_numbers
from .threshold import sweep, with_bias

SIDE, UNITS, EXCITING = 20, 256, 10


def cards() -> tuple[Array, Array]:
    """All cards with a 4 x 4 square: retinas (C, 400), and 1 where the square is on the right."""
    pictures, right = [], []
    for column in (*range(7), *range(10, 17)):
        for row in range(17):
            retina = np.zeros((SIDE, SIDE))
            retina[row : row + 4, column : column + 4] = 1
            pictures.append(retina.ravel())
            right.append(column >= 10)
    return np.array(pictures), np.array(right, float)


def association(seeds: int) -> Array:
    """The fixed connections (R, 400, A): each unit has 10 points with +1 and 10 with -1."""
    numbers = random_numbers(seeds, UNITS * SIDE * SIDE, stream=7).reshape(
        seeds, UNITS, SIDE * SIDE
    )
    order = np.argsort(numbers, axis=2)
    weights = np.zeros((seeds, UNITS, SIDE * SIDE))
    np.put_along_axis(weights, order[..., :EXCITING], 1.0, axis=2)
    np.put_along_axis(weights, order[..., EXCITING : 2 * EXCITING], -1.0, axis=2)
    return weights.swapaxes(1, 2)


def photo(report: Report, seeds: int) -> None:
    """Accuracy on 500 new cards after 50, 200 and 1,000 trials, by units and straight on."""
    pictures, right = cards()
    units = (pictures @ association(seeds) > 0).astype(float)  # (R, C, A)
    straight = np.broadcast_to(pictures, (seeds, *pictures.shape))
    drawn = (random_numbers(seeds, 1500, stream=8) * len(right)).astype(int)
    wanted = {50: 0.80, 200: 0.95, 1000: 0.985}
    for name, features in (
        ("photo-perceptron", units),
        ("a perceptron on the 400 points", straight),
    ):
        x = with_bias(features)
        w = np.zeros((seeds, x.shape[2]))
        rows = np.arange(seeds)[:, None]
        test = x[rows, drawn[:, 1000:]]
        done = 0
        for trials, least in wanted.items():
            now = drawn[:, done:trials]
            sweep(w, x[rows, now], right[now])
            done = trials
            accuracy = ((np.einsum("rpm,rm->rp", test, w) > 0) == right[drawn[:, 1000:]]).mean(1)
            main = name == "photo-perceptron"
            report.add(
                f"{name}, {trials:,} trials",
                f"accuracy {spread(accuracy, 3)} over {seeds} seeds",
                bool(accuracy.mean() >= least) if main else None,
                reported="left and right told apart after 50 trials"
                if main and trials == 50
                else "",
                criterion=f"mean at least {least}" if main else "",
                accuracy=float(accuracy.mean()),
            )
