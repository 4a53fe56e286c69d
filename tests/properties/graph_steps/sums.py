"""Steps that add up: reductions, contractions, matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from graph_builder import LIMIT, SIZES, WIDE, Builder, Step

from chainrule.core import graph as op
from chainrule.core.node import Node
from chainrule.core.primitives.convolution import output_size


def total(b: Builder) -> None:
    x = b.any("iuf")
    x = b.within(x, WIDE) if x.dtype.kind == "f" else x
    axes = b.axes(x)
    n = math.prod(x.shape[a] for a in axes)
    low, high = b.range[x]
    b.put(op.sum(x, axes), min(0, n * low), max(0, n * high), x in b.exact and not axes)


def reduce_extreme(name: str) -> Step:
    def step(b: Builder) -> None:
        x = b.any()
        axes = b.axes(x, nonempty=True)
        if axes:
            b.moved(op.apply(name, x, axes=axes), x)

    return step


def argmax(b: Builder) -> None:
    x = b.any("iuf", exact=True, rank=1)
    axis = b.r.randrange(x.ndim)
    if x.shape[axis]:
        b.put(op.argmax(x, axis), 0, x.shape[axis] - 1, True)


def dot(b: Builder) -> None:
    x = b.any("iuf", rank=2)
    x = b.within(x, 10) if x.dtype.kind == "f" else x
    *batch, m, k = x.shape
    if b.r.random() < 0.2:
        y = op.permute(x, [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2])
        y = b.moved(y, x)
    else:
        n = b.r.choice(SIZES) if math.prod(batch) * m * 33 <= 4 * LIMIT else 1
        y = b.input((*batch, k, n), x.dtype)
    if m * y.shape[-1] * math.prod(batch) > 4 * LIMIT:
        return
    high = k * max(-b.range[x][0], b.range[x][1]) * max(-b.range[y][0], b.range[y][1])
    b.put(op.dot(x, y), -high, high, False)


def conv(b: Builder) -> None:
    """A convolution of any rank up to 2, of what is there or of a new image."""
    x = b.any("iuf", rank=2)
    x = b.within(x, 10) if x.dtype.kind == "f" else x
    n, *sizes, channels = x.shape
    sizes = sizes[:2] if math.prod(sizes[2:]) == 1 else [math.prod(sizes)]
    groups = b.r.choice([g for g in (1, 1, 1, 2, 3) if channels % g == 0])
    if b.r.random() < 0.2:
        groups = channels
    if 0 in x.shape[1:]:
        return
    image = b.moved(op.reshape(x, (n, *sizes, groups, channels // groups)), x)
    low, high, strides, hole, dilation, taps = ([] for _ in range(6))
    for size in sizes:
        taps.append(b.r.choice((1, 2, 3, 5)))
        plain = b.r.random() < 0.6
        strides.append(1 if plain else b.r.choice((1, 2, 3)))
        hole.append(1 if plain else b.r.choice((1, 1, 2, 3)))
        dilation.append(1 if plain else b.r.choice((1, 1, 2)))
        low.append(b.r.choice((0, 0, 1, 2, -1)))
        missing = (taps[-1] - 1) * dilation[-1] + 1 - low[-1] - (size - 1) * hole[-1] - 1
        high.append(max(b.r.choice((0, 0, 1, 3, -1)), missing))
    outputs = b.r.choice(SIZES)
    w = b.input((*taps, channels // groups, groups, outputs), x.dtype)
    if op_size(image, w, strides, low, high, hole, dilation) > 4 * LIMIT or w.size > 4 * LIMIT:
        return
    count = math.prod(taps) * (channels // groups)
    most = count * max(map(abs, b.range[image])) * max(map(abs, b.range[w]))
    b.put(op.conv(image, w, strides, low, high, hole, dilation), -most, most, False)


def matrices(name: str) -> Step:
    """Of matrices whose eigenvalues lie apart from each other and from zero: 6, 12, … and a matrix
    of numbers up to 1/2. Vectors are squared, as their sign is free."""

    def step(b: Builder) -> None:
        if b.special:  # LAPACK says nothing of what comes of NaN
            return
        x = b.within(b.floating(rank=2), 1)
        n = min(*x.shape[-2:], 5)
        if n == 0:
            return
        x = op.slice(x, [0] * x.ndim, [*x.shape[:-2], n, n], [1] * x.ndim)
        if name in ("cholesky", "eigh"):
            axes = [*range(x.ndim - 2), x.ndim - 1, x.ndim - 2]
            x = op.mul(op.add(x, op.permute(x, axes)), op.full(x.shape, 0.5, x.dtype))
        apart = op.expand(op.constant(np.diag(np.arange(6, 6 * n + 1, 6)), x.dtype), x.shape)
        x = op.add(op.mul(x, op.full(x.shape, 0.5, x.dtype)), apart)
        if name == "solve":
            right = b.like(x)
            b.put(op.solve(x, right), *(edge / 3 for edge in _around(b, right)), False)
        elif name == "slogdet":
            b.put(op.slogdet(x), -1, 4 * n, False)
        elif name == "cholesky":
            b.put(op.cholesky(x), -6, 6, False)
        elif name == "qr":
            b.put(op.qr(x), -1, 1, False)
        else:
            y = op.eigh(x) if name == "eigh" else op.svd(x)
            b.put(op.mul(y, y), 0, 1200, False)

    return step


def _around(b: Builder, x: Node) -> tuple[float, float]:
    most = max(map(abs, b.range[x]))
    return -most, most


def op_size(x: Node, w: Node, *params: Sequence[int]) -> int:
    """Elements of a convolution that need not be made for it."""
    sizes = map(output_size, x.shape[1:-2], w.shape[:-3], *params)
    return math.prod((x.shape[0], *sizes, *w.shape[-2:]))
