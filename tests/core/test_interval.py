"""Intervals of integers contain all values found, and are sharp where indices need it."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.core import dtypes as dt
from chainrule.core import graph as g
from chainrule.core.interpret import evaluate
from chainrule.core.interval import interval
from chainrule.core.node import Node

X = g.input((4, 3), dt.int32)
F = g.input((4, 3), dt.float32)
TEN = g.full((4, 3), 10, dt.int32)

KNOWN = {
    "a constant": (g.constant(np.array([3, -7, 2])), (-7, 3)),
    "positions": (g.iota((2, 5), 1, dt.int64), (0, 4)),
    "argmax": (g.argmax(F, 1), (0, 2)),
    "a byte": (g.cast(g.input((2,), dt.uint8), dt.int64), (0, 255)),
    "a bool": (g.cast(g.lt(X, TEN), dt.int32), (0, 1)),
    "a remainder": (g.mod(X, TEN), (0, 9)),
    "clipped": (g.max(g.min(X, TEN), g.zeros_like(X)), (0, 10)),
    "moved": (g.flip(g.permute(g.mod(X, TEN), (1, 0)), (0,)), (0, 9)),
    "padded": (g.pad(g.full((2,), 5, dt.int64), (1,), (0,)), (0, 5)),
    "of a float": (g.cast(F, dt.int32), (-(2**31), 2**31 - 1)),
    "a sum that may wrap": (g.add(X, TEN), (-(2**31), 2**31 - 1)),
    "a difference": (g.sub(g.iota((3,), 0, dt.int64), g.full((3,), 4, dt.int64)), (-4, -2)),
    "a product": (g.mul(g.iota((3,), 0, dt.int64), g.full((3,), -4, dt.int64)), (-8, 0)),
    "a choice": (g.where(g.lt(X, TEN), TEN, g.zeros_like(X)), (0, 10)),
    "a narrow cast": (g.cast(g.full((2,), 2**32, dt.int64), dt.int32), (-(2**31), 2**31 - 1)),
}


@pytest.mark.parametrize("name", KNOWN)
def test_bounds(name: str) -> None:
    node, expected = KNOWN[name]
    assert interval(node) == expected


def random_node(rng: np.random.Generator, depth: int) -> Node:
    if depth == 0:
        return (X, TEN, g.iota((4, 3), 0, dt.int32), g.neg(TEN))[rng.integers(4)]
    a, b = (random_node(rng, depth - 1) for _ in range(2))
    ops = [g.add, g.sub, g.mul, g.min, g.max, g.mod]
    kind = int(rng.integers(len(ops) + 2))
    if kind < len(ops):
        return ops[kind](a, b)
    return g.where(g.lt(a, b), a, b) if kind == len(ops) else g.cast(g.cast(a, dt.uint8), dt.int32)


@pytest.mark.parametrize("seed", range(40))
def test_every_value_lies_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    node = random_node(rng, 4)
    values = rng.integers(-(2**31), 2**31, X.shape).astype(np.int32)
    low, high = interval(node)
    for given in (values, values % 7):
        [found] = evaluate([node], {X: given})
        assert low <= found.min() and found.max() <= high
