"""Convolutions and windows in the forms that kernels compute.

    conv     without padding and holes: over x with zeros around it; a hole becomes one convolution
             for each phase, of the taps that meet elements of x
    fold     tiles that do not overlap are a reshape; others are sums of shifted parts
    window   tiles that do not overlap are a reshape

What is left is conv(x, w; strides, dilation), and window views.
"""

from __future__ import annotations

import math

from ...core import graph as g
from ...core.node import Node


def _wider(x: Node, axis: int, low: int, high: int) -> Node:
    """Zeros around one axis; less than none: cut."""
    x = g.part(x, axis, max(-low, 0), x.shape[axis] - max(-high, 0))
    lows, highs = [0] * x.ndim, [0] * x.ndim
    lows[axis], highs[axis] = max(low, 0), max(high, 0)
    return g.pad(x, lows, highs)


# -- conv ----------------------------------------------------------------------------------------
def conv_padding(node: Node) -> Node | None:
    """conv(x; low, high) = conv(pad(x)), where there is no hole"""
    x, w = node.inputs
    p = node.params
    if max(p["hole"], default=1) > 1 or not any((*p["low"], *p["high"])):
        return None
    starts = [max(-low, 0) for low in p["low"]]
    stops = [n - max(-high, 0) for n, high in zip(x.shape[1:-2], p["high"], strict=True)]
    rest = x.shape[-2:]
    ones = [1] * x.ndim
    x = g.slice(x, (0, *starts, 0, 0), (x.shape[0], *stops, *rest), ones)
    low = [max(n, 0) for n in p["low"]]
    high = [max(n, 0) for n in p["high"]]
    x = g.pad(x, (0, *low, 0, 0), (0, *high, 0, 0))
    zeros = [0] * len(low)
    return g.conv(x, w, p["strides"], zeros, zeros, p["hole"], p["dilation"])


def conv_phases(node: Node) -> Node | None:
    """conv with a hole = convolutions without, side by side: output t meets the taps for which the
    hole divides t stride + k dilation - low, which are the same for every t of one phase"""
    axis = next((a for a, h in enumerate(node.params["hole"]) if h > 1), None)
    if axis is None:
        return None
    x, w = node.inputs
    stride, low, _, hole, dilation = (node.params[p][axis] for p in g.CONV)
    size, taps, outputs = x.shape[axis + 1], w.shape[axis], node.shape[axis + 1]
    period, every = hole // math.gcd(stride, hole), hole // math.gcd(dilation, hole)
    most = -(-outputs // period)
    phases = []
    for phase in range(min(period, outputs)):
        count = -(-(outputs - phase) // period)
        first = next(
            (
                k
                for k in range(min(every, taps))
                if not (phase * stride + k * dilation - low) % hole
            ),
            None,
        )
        if first is None:
            shape = (*node.shape[: axis + 1], most, *node.shape[axis + 2 :])
            phases.append(g.full(shape, 0, node.dtype))
            continue
        kernel = g.part(w, axis, first, taps, every)
        begin = -(phase * stride + first * dilation - low) // hole
        step, spread = stride * period // hole, dilation * every // hole
        end = (count - 1) * step + (kernel.shape[axis] - 1) * spread + 1 - begin - size
        params = {p: list(node.params[p]) for p in g.CONV}
        for name, value in zip(g.CONV, (step, begin, end, 1, spread), strict=True):
            params[name][axis] = value
        out = g.conv(x, kernel, **params)
        phases.append(_wider(out, axis + 1, 0, most - count))
    if period == 1:
        return phases[0]
    while len(phases) < period:
        phases.append(g.zeros_like(phases[0]))
    sizes = list(phases[0].shape)
    apart = [g.reshape(y, (*sizes[: axis + 2], 1, *sizes[axis + 2 :])) for y in phases]
    sizes[axis + 1] *= period
    beside = g.reshape(g.concat(apart, axis + 2), sizes)
    return g.part(beside, axis + 1, 0, outputs)


def conv_of_nothing(node: Node) -> Node | None:
    """conv over no channels = zeros; where padding cuts all of x away, conv of one zero in its
    place (not zeros: a weight that is no number is multiplied all the same)"""
    x, w = node.inputs
    p = node.params
    if x.shape[-1] == 0:  # the gradient by the weights for a minibatch of no examples
        return g.full(node.shape, 0, node.dtype)
    for a, (low, high, hole) in enumerate(zip(p["low"], p["high"], p["hole"], strict=True)):
        n = (x.shape[a + 1] - 1) * hole + 1
        if -low < n and -high < n:
            continue
        before = low % hole
        behind = low + high + n - 1 - before
        if behind < 0:  # the hole divides no place that is left
            return g.full(node.shape, 0, node.dtype)
        zero = g.full((*x.shape[: a + 1], 1, *x.shape[a + 2 :]), 0, x.dtype)
        params = {name: list(p[name]) for name in g.CONV}
        params["low"][a], params["high"][a] = before, behind
        return g.conv(zero, w, **params)
    return None


OFTEN = 8  # times that a weight is read: copying it then costs little
LONG_SUM = 16384  # terms
LEADING = 8  # long enough an axis to be summed last
MOST_OUTPUTS = 4  # of a group of one channel: more are columns enough for a contraction


def conv_depthwise(node: Node) -> Node | None:
    """one channel in every group, or one output: nothing that a product of matrices would share:
    out[n, t, g, o] = sum_{c, k} window(x)[n, t, g, c, k] w[k, c, g, o]"""
    x, w = node.inputs
    p, rank = node.params, node.ndim - 3
    taps, channels, groups, outputs = w.shape[:-3], *w.shape[-3:]
    if groups == 1 or not _is_plain(node) or 0 in (*taps, channels):
        return None
    if outputs > 1 and (channels > 1 or outputs > MOST_OUTPUTS):
        return None
    rows = g.window(x, range(1, rank + 1), taps, p["strides"], p["dilation"])  # (N, *T, G, C, *K)
    if w.size * OFTEN <= node.size and not w.primitive.copies:
        w = g.copy(w)  # its channels side by side, as those of x
    weights = g.permute(w, (rank + 1, rank + 2, rank, *range(rank)))  # (G, O, C, *K)
    shape = (*node.shape, channels, *taps)
    left = g.broadcast(g.reshape(rows, (*node.shape[:-1], 1, channels, *taps)), shape)
    right = g.broadcast(g.reshape(weights, (*[1] * (rank + 1), *weights.shape)), shape)
    return _sum_of_products(left, right, node.ndim)


def _sum_of_products(left: Node, right: Node, kept: int) -> Node:
    """The sum of left * right over the axes behind those ``kept``; a long one over the first of
    them last, so that what it reads, again and again where windows overlap, is near."""
    product = g.mul(left, right)
    long = math.prod(product.shape[kept:]) >= LONG_SUM and product.shape[kept] >= LEADING
    if not long or product.ndim == kept + 1:
        return g.sum(product, range(kept, product.ndim))
    return g.sum(g.sum(product, range(kept + 1, product.ndim)), [kept])


def conv_pointwise(node: Node) -> Node | None:
    """one tap and one group: a product of matrices"""
    x, w = node.inputs
    p = node.params
    if math.prod(w.shape[:-3]) != 1 or w.shape[-2] != 1 or not _is_plain(node):
        return None
    for a, stride in enumerate(p["strides"]):
        x = g.part(x, a + 1, 0, (node.shape[a + 1] - 1) * stride + 1, stride)
    rows = g.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    return g.reshape(g.dot(rows, g.reshape(w, (w.shape[-3], w.shape[-1]))), node.shape)


def _is_plain(node: Node) -> bool:
    p = node.params
    return not any((*p["low"], *p["high"])) and all(h == 1 for h in p["hole"])


# -- window and fold -----------------------------------------------------------------------------
def _are_tiles(node: Node) -> bool:
    p = node.params
    return p["sizes"] == p["strides"] and all(
        d == 1 or k == 1 for d, k in zip(p["dilation"], p["sizes"], strict=True)
    )


def window_tiles(node: Node) -> Node | None:
    """windows that do not overlap = reshape and permute"""
    (x,) = node.inputs
    if not _are_tiles(node):
        return None
    axes, sizes = node.params["axes"], node.params["sizes"]
    shape: list[int] = []
    place: list[int] = []  # of each axis of x, and then of each window axis
    inside: list[int] = []
    for a in range(x.ndim):
        place.append(len(shape))
        if a in axes:
            k = sizes[axes.index(a)]
            x = g.part(x, a, 0, node.shape[a] * k)
            shape += [node.shape[a], k]
            inside.append(len(shape) - 1)
        else:
            shape.append(x.shape[a])
    return g.permute(g.reshape(x, shape), [*place, *inside])


def fold_tiles(node: Node) -> Node | None:
    """tiles put together = permute, reshape, and zeros behind"""
    (y,) = node.inputs
    if not _are_tiles(node):
        return None
    axes, shape = node.params["axes"], node.params["shape"]
    order: list[int] = []
    merged: list[int] = []
    for a in range(len(shape)):
        order.append(a)
        merged.append(y.shape[a])
        if a in axes:
            order.append(len(shape) + axes.index(a))
            merged[-1] *= y.shape[order[-1]]
    whole = g.reshape(g.permute(y, order), merged)
    return g.pad(whole, [0] * len(shape), [n - m for n, m in zip(shape, merged, strict=True)])


def fold_one_axis(node: Node) -> Node | None:
    """fold over several axes = over the last, then over the others"""
    (y,) = node.inputs
    axes, sizes, strides, dilation = (node.params[p] for p in g.WINDOW)
    if len(axes) < 2:
        return None
    shape = list(y.shape[:-1])
    last = axes[-1]
    shape[last] = node.params["shape"][last]
    first = g.fold(y, shape, [last], sizes[-1:], strides[-1:], dilation[-1:])
    rest = (axes[:-1], sizes[:-1], strides[:-1], dilation[:-1])
    return g.fold(first, node.params["shape"], *rest)


def fold_taps(node: Node) -> Node | None:
    """fold = the sum over the taps of y[..., k] in its places"""
    (y,) = node.inputs
    (axis,), (size,), (stride,), (dilation,) = (node.params[p] for p in g.WINDOW)
    shape = node.params["shape"]
    total: Node | None = None
    for k in range(size):
        part = g.part(y, y.ndim - 1, k, k + 1)
        part = g.reshape(part, y.shape[:-1])
        part = _placed(part, axis, k * dilation, stride, shape[axis])
        total = part if total is None else g.add(total, part)
    return total


def _placed(x: Node, axis: int, start: int, stride: int, size: int) -> Node:
    """x's elements ``stride`` apart along an axis of ``size``, zeros elsewhere."""
    n = x.shape[axis]
    if stride > 1:
        apart = g.reshape(x, (*x.shape[: axis + 1], 1, *x.shape[axis + 1 :]))
        apart = _wider(apart, axis + 1, 0, stride - 1)
        x = g.reshape(apart, (*x.shape[:axis], n * stride, *x.shape[axis + 1 :]))
        x = g.part(x, axis, 0, (n - 1) * stride + 1)
    return _wider(x, axis, start, size - start - x.shape[axis])
