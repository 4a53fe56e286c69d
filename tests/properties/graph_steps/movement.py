"""Steps that move elements: views, windows, rows by index."""

from __future__ import annotations

import math

import numpy as np
from graph_builder import LIMIT, SIZES, WIDE, Builder

from chainrule.core import dtypes as dt
from chainrule.core import graph as op
from chainrule.core.node import Node, Shape


def reshape(b: Builder) -> None:
    x = b.any()
    rest, shape = x.size, []
    while rest > 1 and len(shape) < 4:
        divisors = [n for n in range(2, min(rest, 40) + 1) if rest % n == 0] or [rest]
        shape.append(b.r.choice(divisors))
        rest //= shape[-1]
    if rest > 1:
        shape[-1] *= rest
    if x.size == 0:
        shape = [0, *shape]
    if b.r.random() < 0.3 and len(shape) < 5:
        shape.insert(b.r.randint(0, len(shape)), 1)
    b.moved(op.reshape(x, shape), x)


def permute(b: Builder) -> None:
    x = b.any(rank=2)
    b.moved(op.permute(x, b.r.sample(range(x.ndim), x.ndim)), x)


def broadcast(b: Builder) -> None:
    x = b.any()
    shape = [b.r.choice((1, 2, 3, 5)) if n == 1 and b.r.random() < 0.7 else n for n in x.shape]
    if b.r.random() < 0.4 and x.ndim < 5:
        shape.insert(0, b.r.choice((1, 2, 3)))
    if math.prod(shape) <= LIMIT:
        b.moved(op.expand(x, shape), x)


def sliced(b: Builder) -> None:
    x = b.any(rank=1)
    starts, stops, steps = [], [], []
    for n in x.shape:
        start = b.r.randint(0, n) if b.r.random() < 0.05 else b.r.randint(0, n // 2)
        starts.append(start)
        stops.append(b.r.randint(min(start + 1, n), n))
        steps.append(b.r.choice((1, 1, 2, 3)))
    b.moved(op.slice(x, starts, stops, steps), x)


def flip(b: Builder) -> None:
    x = b.any(rank=1)
    b.moved(op.flip(x, b.axes(x)), x)


def pad(b: Builder) -> None:
    x = b.any(rank=1)
    low, high = ([b.r.choice((0, 0, 1, 3)) for _ in x.shape] for _ in range(2))
    if math.prod(n + i + j for n, i, j in zip(x.shape, low, high, strict=True)) > LIMIT:
        return
    value = b.r.choice((0, 0, 1))
    node = op.pad(x, low, high, value)
    first, last = b.range[x]
    b.put(node, min(first, value), max(last, value), x in b.exact)


def _window_over(b: Builder, shape: Shape) -> tuple[tuple[int, ...], ...]:
    """Axes, sizes, strides and dilations of windows that fit."""
    axes = [a for a in range(len(shape)) if shape[a] and b.r.random() < 0.6]
    sizes, strides, dilation = [], [], []
    for a in axes:
        sizes.append(b.r.choice([k for k in (1, 2, 2, 3, 4) if k <= shape[a]]))
        most = (shape[a] - 1) // max(sizes[-1] - 1, 1)
        dilation.append(b.r.randint(1, max(min(most, 3), 1)) if b.r.random() < 0.3 else 1)
        strides.append(sizes[-1] if b.r.random() < 0.4 else b.r.choice((1, 1, 2, 3)))
    return tuple(axes), tuple(sizes), tuple(strides), tuple(dilation)


def window(b: Builder) -> None:
    x = b.any(rank=1)
    given = _window_over(b, x.shape)
    if x.ndim + len(given[0]) <= 6:
        node = op.window(x, *given)
        if node.size <= LIMIT:
            b.moved(node, x)


def fold(b: Builder) -> None:
    shape = b.shape() or (5,)
    given = _window_over(b, shape)
    wanted = op.window(op.input(shape, dt.bool_), *given).shape
    if math.prod(wanted) > LIMIT or len(wanted) > 6:
        return
    fitting = [x for x in b.pool if x.dtype.kind in "iuf" and x.size == math.prod(wanted)]
    dtype = b.r.choice([d for d in b.dtypes if d.kind in "iuf"] or [dt.float64])
    y = b.r.choice(fitting) if fitting else b.input(wanted, dtype)
    y = b.moved(op.reshape(b.within(y, WIDE) if y.dtype.kind == "f" else y, wanted), y)
    count = math.prod(given[1])
    low, high = b.range[y]
    b.put(op.fold(y, shape, *given), min(0, count * low), max(0, count * high), False)


def concat(b: Builder) -> None:
    x = b.any(rank=1)
    others = [b.like(x) for _ in range(b.r.randint(1, 3))]
    axis = b.r.randrange(x.ndim)
    if b.r.random() < 0.5:  # one of another length
        shape = (*x.shape[:axis], b.r.choice((0, 1, 2, 5)), *x.shape[axis + 1 :])
        others.insert(b.r.randint(0, 1), b.input(shape, x.dtype))
    if (len(others) + 5) * max(x.size, 1) <= 5 * LIMIT:
        b.moved(op.concat([x, *others], axis), x, *others)


def minibatch(b: Builder) -> None:
    """Rows of a matrix as an operand of a contraction, on either side, also transposed."""
    dtype = b.r.choice([d for d in b.dtypes if d.kind in "iuf"])
    n, size, rows, other = (b.r.choice(SIZES) for _ in range(4))
    x = b.input((n, size), dtype)
    index = b.input((rows,), b.r.choice([d for d in b.dtypes if d.kind in "iu"] or [dt.int32]))
    if b.r.random() < 0.3:
        index = op.flip(index, (0,)) if b.r.random() < 0.5 else _repeated(index)
    taken = b.moved(op.gather(x, index), x)
    turned = b.r.random() < 0.5
    operand = op.permute(taken, (1, 0)) if turned else taken
    left = b.r.random() < 0.5
    inner = operand.shape[1 if left else 0]
    if rows * other > LIMIT or operand.size // max(inner, 1) * other > LIMIT:
        return
    y = b.input((inner, other) if left else (other, inner), dtype)
    high = inner * max(map(abs, b.range[taken])) * max(map(abs, b.range[y]))
    b.put(op.dot(operand, y) if left else op.dot(y, operand), -high, high, False)


def _repeated(x: Node) -> Node:
    """The first element in every place."""
    first = op.slice(x, (0,), (1,), (1,))
    return op.broadcast(first, x.shape)


def _index(b: Builder, n: int) -> Node:
    """Indices, mostly inside range(n)."""
    fitting = [i for i in b.pool if i.dtype.kind in "iu" and i.size <= 40]
    if fitting and b.r.random() < 0.5:
        return b.r.choice(fitting)
    shape = tuple(b.r.choice((1, 2, 3, 5)) for _ in range(b.r.randint(0, 2)))
    integers = [d for d in b.dtypes if d.kind in "iu"] or [dt.int32]
    return b.input(shape, b.r.choice(integers))


def gather(b: Builder) -> None:
    x = b.any(rank=1)
    index = _index(b, x.shape[0])
    if x.shape[0] and index.size * x.size // x.shape[0] <= LIMIT:
        b.moved(op.gather(x, index), x)


def scatter_add(b: Builder) -> None:
    x = b.any("iuf", rank=1)
    index = _index(b, x.shape[0])
    if x.shape[0] and index.size * x.size // x.shape[0] <= LIMIT:
        updates = b.input(index.shape + x.shape[1:], x.dtype)
        low, high = b.range[x]
        most = 12 * (index.size + 1)
        b.put(op.scatter_add(x, index, updates), low - most, high + most, False)


def put(b: Builder) -> None:
    x = b.any("biuf", rank=1)
    if x.shape[0]:
        index = op.input((), b.r.choice([dt.int32, dt.int64, dt.uint32]))
        number = b.r.randrange(0 if index.dtype.kind == "u" else -1, x.shape[0] + 1)
        b.values[index] = np.array(number, index.dtype)
        value = b.input(x.shape[1:], x.dtype)
        (low, high), (least, most) = b.range[x], b.range[value]
        b.put(op.put(x, index, value), min(low, least), max(high, most), False)
