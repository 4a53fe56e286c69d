"""Pooling by windows that are not equally far apart (Graham, "Fractional max-pooling", 2014)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.node import Node
from ...errors import OptionError, ShapeError
from ...tensor.ops.operands import float_node
from ...tensor.ops.random import rand
from ...tensor.ops.reductions.reduce import argmax
from ...tensor.tensor import Tensor
from ...tensor.value import as_tensor, make, use
from ..options import number
from .convolution import Sizes, sizes

_RATIO = number(0, 1, "()")


def fractional_max_pool2d(
    input: Any,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """The largest element of each of T windows of x (N, C, H, W) or (C, H, W), T chosen freely.

    Window i begins at ⌊(i + u) α⌋ - ⌊u α⌋ with α = (S - K) / (T - 1), the last one at S - K; u,
    uniform on [0, 1), is drawn for each example, channel and axis. ``output_size`` T, or
    ``output_ratio``: T = ⌊ratio · S⌋. ``_random_samples`` (N, C, 2): u, of x's last axis first.
    With ``return_indices`` also the positions in x, row by row. The gradient goes to the first of
    equal maxima. Raises OptionError or ShapeError.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.fractional_max_pool2d(cr.rand(1, 3, 9, 9), 2, output_ratio=0.7).shape
    (1, 3, 6, 6)
    """
    return fractional_max_pool(
        "fractional_max_pool2d",
        input,
        2,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
    )


def fractional_max_pool3d(
    input: Any,
    kernel_size: Sizes,
    output_size: Sizes | None = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """`fractional_max_pool2d` over three positions: x (N, C, D, H, W) or (C, D, H, W).

    ``_random_samples`` (N, C, 3), of x's first position first, as in PyTorch.

    >>> import chainrule as cr
    >>> from chainrule.nn import functional as F
    >>> F.fractional_max_pool3d(cr.rand(3, 8, 8, 8), 2, output_size=(4, 5, 5)).shape
    (3, 4, 5, 5)
    """
    return fractional_max_pool(
        "fractional_max_pool3d",
        input,
        3,
        kernel_size,
        output_size,
        output_ratio,
        return_indices,
        _random_samples,
    )


def check_fractional(
    owner: str, rank: int, kernel_size: Sizes, output_size: Any, output_ratio: Any
) -> tuple[tuple[int, ...], tuple[int, ...] | None, tuple[float, ...]]:
    """The kernel, and the sizes of the result or the ratios."""
    kernel = sizes(owner, "kernel_size", kernel_size, rank, 1)
    if (output_size is None) == (output_ratio is None):
        raise OptionError(f"{owner}: give one of output_size and output_ratio")
    if output_size is not None:
        return kernel, sizes(owner, "output_size", output_size, rank, 1), ()
    several = isinstance(output_ratio, list | tuple)
    ratios = list(output_ratio) if several else [output_ratio] * rank
    if len(ratios) != rank or not all(map(_RATIO.holds, ratios)):
        raise OptionError(
            f"{owner}: output_ratio must be {_RATIO.words}, or {rank} of them, got {output_ratio!r}"
        )
    return kernel, None, tuple(map(float, ratios))


def fractional_max_pool(
    owner: str,
    x: Any,
    rank: int,
    kernel_size: Sizes,
    output_size: Any,
    output_ratio: Any,
    return_indices: bool,
    samples: Any,
) -> Any:
    """`fractional_max_pool2d`, for any number of positions; ``owner`` is named in messages."""
    kernel, wanted, ratios = check_fractional(owner, rank, kernel_size, output_size, output_ratio)
    node, tensor = float_node(as_tensor(x))
    if node.ndim not in (rank + 1, rank + 2):
        places = ", ".join("DHW"[-rank:])
        raise ShapeError(f"{owner} expects (N, C, {places}) or (C, {places}), got {node.shape}")
    shape = node.shape[-rank:]
    out = wanted or tuple(int(n * r) for n, r in zip(shape, ratios, strict=True))
    for n, t, k in zip(shape, out, kernel, strict=True):
        if t < 1 or t + k - 1 > n:
            raise ShapeError(
                f"{owner}: windows of {k} at {t} places need at least {max(t, 1) + k - 1} "
                f"positions, the input {node.shape} has {n}"
            )
    lead = (1, *node.shape[:1]) if node.ndim == rank + 1 else node.shape[:2]
    images = math.prod(lead)
    u = rand((*lead, rank), dtype=node.dtype) if samples is None else as_tensor(samples)
    if u.shape != (*lead, rank):
        raise ShapeError(f"{owner}: _random_samples have shape {(*lead, rank)}, got {u.shape}")
    draws = g.reshape(g.cast(g.stop_gradient(use(u)), node.dtype), (images, rank))
    order = range(rank) if rank == 3 else range(rank - 1, -1, -1)
    starts = [
        _starts(draws, column, n, t, k)
        for column, n, t, k in zip(order, shape, out, kernel, strict=True)
    ]
    index = _positions(starts, shape, kernel)  # (images, T, K)
    first = g.constant((np.arange(images) * math.prod(shape)).astype(np.int64)[:, None])
    flat = g.reshape(node, (node.size,))

    def taken(at: Node) -> Node:
        """The elements at positions (images, n) of each image."""
        every = g.add(at, g.broadcast(first, at.shape))
        return g.reshape(g.gather(flat, g.reshape(every, (at.size,))), at.shape)

    _, count, taps = index.shape
    seen = g.stop_gradient(taken(g.reshape(index, (images, count * taps))))
    windows = make(g.reshape(seen, (images, count, taps)))
    best = g.reshape(use(argmax(windows, -1)), (images * count,))
    row = g.constant(np.arange(images * count) * taps)
    chosen = g.gather(g.reshape(index, (images * count * taps,)), g.add(row, best))
    chosen = g.reshape(chosen, (images, count))
    shaped = (*node.shape[:-rank], *out)
    found: Tensor = make(g.reshape(taken(chosen), shaped), tensor)
    if not return_indices:
        return found
    return found, make(g.reshape(chosen, shaped))


def _starts(u: Node, column: int, size: int, outputs: int, kernel: int) -> Node:
    """(images, T): where the windows along an axis begin."""
    images = u.shape[0]
    if outputs == 1:
        return g.full((images, 1), size - kernel, dt.int64)
    i = np.arange(outputs - 1).astype(u.dtype)
    alpha = u.dtype.type((size - kernel) / (outputs - 1))
    own = g.slice(u, (0, column), (images, column + 1), (1, 1))
    wide = (images, outputs - 1)
    by = g.full(wide, float(alpha), u.dtype)
    drawn = g.broadcast(own, wide)
    later = g.mul(g.add(g.broadcast(g.constant(i[None]), wide), drawn), by)
    begin = g.sub(g.cast(later, dt.int64), g.cast(g.mul(drawn, by), dt.int64))
    return g.concat([begin, g.full((images, 1), size - kernel, dt.int64)], 1)


def _positions(starts: Sequence[Node], shape: Sequence[int], kernel: Sequence[int]) -> Node:
    """(images, T, K): the positions of all elements of all windows, row by row."""
    rank, images = len(shape), starts[0].shape[0]
    counts = [s.shape[1] for s in starts]
    wide = (images, *counts, *kernel)
    total: Node | None = None
    for a, (start, k) in enumerate(zip(starts, kernel, strict=True)):
        apart = [1] * (1 + 2 * rank)
        apart[0], apart[1 + a] = images, counts[a]
        along = [1] * (1 + 2 * rank)
        along[1 + rank + a] = k
        inner = g.constant(np.arange(k, dtype=np.int64).reshape(along))
        at = g.add(g.broadcast(g.reshape(start, apart), wide), g.broadcast(inner, wide))
        if total is not None:
            total = g.mul(total, g.full(wide, shape[a], dt.int64))
        total = at if total is None else g.add(total, at)
    assert total is not None
    return g.reshape(total, (images, math.prod(counts), math.prod(kernel)))
