"""Steps that begin a graph, or end its gradient."""

from __future__ import annotations

import math

import numpy as np
from graph_builder import Builder

from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.node import Node


def _key(b: Builder) -> Node:
    if b.r.random() < 0.5:
        return op.constant([b.r.getrandbits(32), b.r.getrandbits(32)], dt.uint32)
    node = op.input((2,), dt.uint32)
    b.values[node] = np.array([b.r.getrandbits(32), b.r.getrandbits(32)], np.uint32)
    return node


def random_bits(b: Builder) -> None:
    b.put(op.random_bits(_key(b), b.shape(2)), 0, 2.0**32 - 1, True)


def fold_in(b: Builder) -> None:
    count = op.constant(b.r.randint(0, 5), dt.uint32)
    b.put(op.random_bits(op.fold_in(_key(b), count), b.shape(2)), 0, 2.0**32 - 1, True)


def shuffle(b: Builder) -> None:
    n = b.r.choice((1, 2, 7, 30))
    position = op.iota((n,), 0, dt.uint32)
    b.put(op.shuffle(position, _key(b), n=n), 0, n - 1, True)


def iota(b: Builder) -> None:
    shape = b.shape() or (3,)
    axis = b.r.randrange(len(shape))
    dtype = b.r.choice([d for d in b.dtypes if d.kind != "b"] or [dt.int64])
    b.put(op.iota(shape, axis, dtype), 0, max(shape[axis] - 1, 0), True)


def constant(b: Builder) -> None:
    shape = b.shape(2)
    dtype = b.r.choice([d for d in b.dtypes if d.kind != "b"] or [dt.int64])
    value = [b.r.uniform(0, 2) for _ in range(math.prod(shape))]
    b.put(op.constant(np.reshape(value, shape), dtype), 0, 2, True)


def stop_gradient(b: Builder) -> None:
    x = b.any()
    b.moved(op.stop_gradient(x), x)


def sine_rule(g: Node, y: Node, x: Node) -> list[Node | None]:
    """The gradient of a custom sin."""
    return [op.mul(g, op.cos(x))]


def custom_vjp(b: Builder) -> None:
    x = b.within(b.floating(), 10)
    b.put(op.custom_vjp(op.sin(x), [x], sine_rule), -1, 1, False)
