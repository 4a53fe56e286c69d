"""What random graphs are made with: the nodes so far, and what is known of their values."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.dtypes import DType
from chainrule.core.node import Array, Node, Shape

SIZES = (1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33)
LIMIT = 700  # elements of a node
STEEP = 3.0  # the largest argument of exp and pow
WIDE = 100.0  # what grows beyond is squashed before it grows again
INFINITE = 1e30  # the range of integers that may have wrapped around


@dataclass
class Builder:
    """The nodes so far, with what is known of their values."""

    r: random.Random
    dtypes: tuple[DType, ...]
    smooth: bool
    special: bool
    pool: list[Node] = field(default_factory=list)
    values: dict[Node, Array] = field(default_factory=dict)
    range: dict[Node, tuple[float, float]] = field(default_factory=dict)
    exact: set[Node] = field(default_factory=set)

    # making nodes
    def put(self, node: Node, low: float, high: float, exact: bool) -> Node:
        """Enter a node: its values lie in [low, high]; exact if no rounding entered them."""
        if node.dtype.kind in "iu":
            info = np.iinfo(node.dtype)
            exact = True
            if low < info.min or high > info.max:
                low, high = -INFINITE, INFINITE
        if node not in self.range:
            self.pool.append(node)
            self.range[node] = (low, high)
            if exact:
                self.exact.add(node)
        return node

    def moved(self, node: Node, *origins: Node, zeros: bool = False) -> Node:
        """Enter a node whose elements are elements of ``origins`` (or zeros)."""
        ranges = [self.range[x] for x in origins] + ([(0.0, 0.0)] if zeros else [])
        low, high = min(a for a, _ in ranges), max(b for _, b in ranges)
        return self.put(node, low, high, all(x in self.exact for x in origins))

    def shape(self, most: int = 4) -> Shape:
        shape: list[int] = []
        for _ in range(self.r.choice((0, 1, 1, 2, 2, 2, 3, 3, 4)[: 2 * most])):
            n = 0 if self.r.random() < 0.01 else self.r.choice(SIZES)
            shape.append(n if math.prod(shape) * n <= LIMIT else 1)
        return tuple(shape)

    def input(self, shape: Shape, dtype: DType) -> Node:
        node = op.input(shape, dtype)
        rng = np.random.default_rng(self.r.getrandbits(32))
        low, high = -2.0, 2.0
        if dtype.kind == "f":
            value = rng.uniform(-2, 2, shape).astype(dtype)
            if self.special and self.r.random() < 0.7:
                odd = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-310], shape)
                value = np.where(rng.random(shape) < 0.2, odd, value).astype(dtype)
        elif dtype.kind == "b":
            value, low, high = rng.random(shape) < 0.5, 0.0, 1.0
        else:
            low, high = (0.0, 12.0) if dtype.kind == "u" else (-12.0, 12.0)
            value = rng.integers(int(low), int(high), shape, endpoint=True).astype(dtype)
        self.values[node] = np.asarray(value)
        return self.put(node, low, high, True)

    # choosing operands
    def any(self, kinds: str = "biuf", exact: bool = False, rank: int = 0) -> Node:
        """A node from the pool (late ones more often), or a new input if none fits."""
        fitting = [
            x
            for x in self.pool
            if x.dtype.kind in kinds and x.ndim >= rank and (not exact or x in self.exact)
        ]
        if fitting and self.r.random() < 0.95:
            return fitting[-1 - int(len(fitting) * self.r.random() ** 3)]
        shape = self.shape()
        shape += tuple(self.r.choice((1, 2, 3, 5)) for _ in range(rank - len(shape)))
        allowed = [d for d in self.dtypes if d.kind in kinds] or [
            d for d in dt.ALL if d.kind in kinds
        ]
        return self.input(shape, self.r.choice(allowed))

    def floating(self, exact: bool = False, rank: int = 0) -> Node:
        return self.any("f", exact, rank)

    def like(self, x: Node, exact: bool = False, dtype: DType | None = None) -> Node:
        """Another operand of x's shape: from the pool, or something broadcast."""
        dtype = dtype or x.dtype
        roll = self.r.random()
        if roll < 0.5:
            same = [y for y in self.pool if y.shape == x.shape and (not exact or y in self.exact)]
            same = [y for y in same if y.dtype == dtype] or ([] if exact else same)
            if same:
                return self.as_type(self.r.choice(same), dtype)
        if roll < 0.75:
            number = self.r.choice(
                (-1.5, -1, -0.5, 0, 0.5, 1, 2) if dtype.kind == "f" else (0, 1, 2, 3)
            )
            return self.put(op.full(x.shape, number, dtype), float(number), float(number), True)
        shape = [1 if self.r.random() < 0.4 else n for n in x.shape]
        while shape and shape[0] == 1 and self.r.random() < 0.5:
            shape.pop(0)
        y = self.input(tuple(shape), dtype)
        return self.moved(op.expand(y, x.shape), y)

    def as_type(self, x: Node, dtype: DType) -> Node:
        """x cast to ``dtype``; integers that may be large are clamped before they become floats."""
        if x.dtype == dtype:
            return x
        if x.dtype.kind == "f" and dtype.kind != "f" and x not in self.exact:
            fresh = self.input(x.shape, dtype)
            return fresh
        if dtype.kind == "f" and x.dtype.kind in "iu":
            x = self.clamped(x, 0 if x.dtype.kind == "u" else -8, 8)
        low, high = self.range[x]
        if dtype.kind == "b":
            low, high = 0, 1
        if dtype.kind == "u" and low < 0:
            low, high = -INFINITE, INFINITE
        return self.put(op.cast(x, dtype), low, high, x in self.exact)

    def clamped(self, x: Node, low: int, high: int) -> Node:
        a, b = self.range[x]
        if low <= a and b <= high:
            return x
        above = op.max(x, op.full(x.shape, low, x.dtype))
        return self.put(op.min(above, op.full(x.shape, high, x.dtype)), low, high, x in self.exact)

    # keeping values tame
    def within(self, x: Node, limit: float) -> Node:
        """x if |x| <= limit, else tanh x."""
        low, high = self.range[x]
        if max(-low, high) <= limit:
            return x
        return self.put(op.tanh(x), -1, 1, False)

    def positive(self, x: Node) -> Node:
        """x if it stays away from 0, else |x| + 1/2."""
        low, high = self.range[x]
        if low >= 0.2:
            return x
        size = op.add(op.abs(x), op.full(x.shape, 0.5, x.dtype))
        return self.put(size, 0.5, max(-low, high) + 0.5, False)

    def axes(self, x: Node, nonempty: bool = False) -> tuple[int, ...]:
        all_ = [i for i in range(x.ndim) if not (nonempty and x.shape[i] == 0)]
        return tuple(sorted(self.r.sample(all_, self.r.randint(1, len(all_))))) if all_ else ()


Step = Callable[[Builder], object]
