"""Sums and maxima of windows, and their gradients.

Element i of a padded axis is number r of row q, i = q stride + r. Of all windows only q, q - 1, …,
q - J + 1 can hold it. So the gradient by x is a sum over these J, of arrays of the size of y: no
array of all elements of all windows is made, and windows that do not overlap have J = 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from .windows import OUTSIDE, Axis, Regular, along, windows


def covering(y: Node, axes: Sequence[Regular], fill: float) -> Node:
    """y (N, *T, C) at the windows that may hold each element: (N, Q, stride, …, C, *J).

    The first window comes first.
    """
    rank = len(axes)
    low, high = [0] * y.ndim, [0] * y.ndim
    sizes, shape, whole = [], [y.shape[0]], [y.shape[0]]
    for i, a in enumerate(axes, 1):
        rows = -(-(a.size + a.padding) // a.stride)
        sizes.append((a.kernel - 1) * a.dilation // a.stride + 1)
        low[i], high[i] = sizes[-1] - 1, rows - a.outputs
        shape += [rows, 1]
        whole += [rows, a.stride]
    ones = [1] * rank
    w = g.window(g.pad(y, low, high, fill), range(1, rank + 1), sizes, ones, ones)
    rest = w.shape[rank + 1 :]
    return g.broadcast(g.reshape(w, (*shape, *rest)), (*whole, *rest))


def uncovered(z: Node, axes: Sequence[Regular]) -> Node:
    """(N, Q, stride, …, C, *J) -> (N, *S, C): the sum over the windows, without the padding."""
    rank = len(axes)
    summed = g.sum(z, range(z.ndim - rank, z.ndim))
    n, c = z.shape[0], z.shape[2 * rank + 1]
    rows = (summed.shape[2 * i + 1] * a.stride for i, a in enumerate(axes))
    merged = g.reshape(summed, (n, *rows, c))
    low = [0, *(a.padding for a in axes), 0]
    stops = [n, *(a.padding + a.size for a in axes), c]
    return g.slice(merged, low, stops, [1] * merged.ndim)


@dataclass(frozen=True)
class _SumRule:
    """x̄ = Σ g over the windows that hold an element."""

    axes: tuple[Regular, ...]

    def __call__(self, grad: Node, total: Node, x: Node) -> list[Node | None]:
        z = covering(grad, self.axes, 0)
        for i, a in enumerate(self.axes):
            taps = z.ndim - len(self.axes) + i
            last = z.shape[taps] - 1
            tap = np.arange(a.stride)[:, None] + (last - np.arange(last + 1)) * a.stride
            if (tap >= a.kernel).any():
                z = g.where(along(tap < a.kernel, z, 2 * i + 2, taps), z, g.zeros_like(z))
        return [uncovered(z, self.axes)]


def total(x: Node, axes: Sequence[Axis]) -> Node:
    """The sum (N, *T, C) of each window of x (N, *S, C)."""
    w = windows(x, axes, 0)
    found = g.sum(w, range(w.ndim - len(axes), w.ndim))
    regulars = tuple(a for a in axes if isinstance(a, Regular))
    is_plain = len(regulars) == len(axes) and all(a.dilation == 1 for a in regulars)
    return g.custom_vjp(found, [x], _SumRule(regulars)) if is_plain else found


# -- the largest element ---------------------------------------------------------------------------
def first_place(w: Node, largest: Node, axes: tuple[Axis, ...]) -> tuple[Node, Node]:
    """For windows w and their maxima: each element's position, and each window's first maximum.

    Positions are counted in one image, row by row; NaN counts as a maximum.
    """
    rank = len(axes)
    place: Node | None = None
    step = math.prod(a.size for a in axes)
    for i, axis in enumerate(axes):
        step //= axis.size
        table = axis.table()
        known = np.where(table < 0, OUTSIDE, table * step).astype(np.int32)
        part = along(known, w, i + 1, w.ndim - rank + i)
        place = part if place is None else g.add(place, part)
    assert place is not None
    taps = range(w.ndim - rank, w.ndim)
    is_largest = g.or_(g.eq(w, over(largest, w)), g.ne(w, w))
    found = g.where(is_largest, place, g.full(w.shape, 2**31 - 1, dt.int32))
    return place, g.reduce_min(found, taps)


def over(reduced: Node, w: Node) -> Node:
    """A number for each window, broadcast to its elements."""
    shape = (*reduced.shape, *[1] * (w.ndim - reduced.ndim))
    return g.broadcast(g.reshape(reduced, shape), w.shape)


@dataclass(frozen=True)
class _ToFirst:
    """w̄ = g at the first of the maxima, 0 elsewhere."""

    axes: tuple[Axis, ...]

    def __call__(self, grad: Node, largest: Node, w: Node) -> list[Node | None]:
        place, first = first_place(w, largest, self.axes)
        chosen = g.eq(place, over(first, w))
        return [g.where(chosen, over(grad, w), g.zeros_like(w))]


@dataclass(frozen=True)
class _MaxRule:
    """x̄ = Σ g over the windows whose first maximum an element is."""

    axes: tuple[Regular, ...]

    def __call__(self, grad: Node, largest: Node, x: Node) -> list[Node | None]:
        _, first = first_place(windows(x, self.axes, -math.inf), largest, self.axes)
        z = covering(grad, self.axes, 0)
        place: Node | None = None
        step = math.prod(a.size for a in self.axes)
        for i, a in enumerate(self.axes):
            step //= a.size
            rows, stride = z.shape[2 * i + 1 : 2 * i + 3]
            found = (np.arange(rows * stride).reshape(rows, stride) - a.padding) * step
            part = along(found.astype(np.int32), z, 2 * i + 1, 2 * i + 2)
            place = part if place is None else g.add(place, part)
        assert place is not None
        chosen = g.eq(covering(first, self.axes, -1), place)
        return [uncovered(g.where(chosen, z, g.zeros_like(z)), self.axes)]


def maximum(x: Node, axes: Sequence[Axis], with_places: bool) -> tuple[Node, Node | None]:
    """The largest elements (N, *T, C) of the windows of x (N, *S, C), and where they are.

    -1 for a window of padding alone (a dilated one may step over x).
    """
    w = windows(x, axes, -math.inf)
    largest = g.reduce_max(w, range(w.ndim - len(axes), w.ndim))
    regulars = tuple(a for a in axes if isinstance(a, Regular))
    if len(regulars) == len(axes):
        out = g.custom_vjp(largest, [x], _MaxRule(regulars))
    else:
        out = g.custom_vjp(largest, [w], _ToFirst(tuple(axes)))
    if not with_places:
        return out, None
    _, first = first_place(w, largest, tuple(axes))
    nowhere = g.le(g.full(first.shape, OUTSIDE, dt.int32), first)
    found = g.where(nowhere, g.full(first.shape, -1, dt.int32), first)
    return out, g.cast(found, dt.int64)
