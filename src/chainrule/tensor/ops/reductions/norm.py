"""The norm of vectors, whose gradient at 0 is 0."""

from __future__ import annotations

import math
from typing import Any

from ....core import dtypes as dt
from ....core import graph as g
from ....core.node import Node
from ....errors import OptionError
from ...value import Tensor, make
from .. import elementary as el
from ..axes import Axis, Keep, normalize_axes, pick
from ..operands import float_node
from .reduce import reduced

__all__ = ["norm"]  # what `chainrule` offers


def norm(
    x: Any,
    ord: float | str = 2,
    axis: Axis = None,
    *,
    p: float | None = None,
    dim: Axis = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
) -> Tensor:
    """The vector norm (Σ |x|^ord)^(1/ord) over ``axis``; ord (or p) may be inf. Its gradient at 0
    is 0. Powers of elements do not overflow: only a norm above the dtype's largest number is inf.

    >>> import chainrule as cr
    >>> cr.norm([3.0, 4.0])
    tensor(5.)
    """
    axis, keepdims = pick("norm", axis, dim, keepdims, keepdim)
    order = p if p is not None else 2 if ord == "fro" else ord
    if isinstance(order, str) or order <= 0:
        raise OptionError(f"norm: ord is a positive number or inf, got {order!r}")
    node, tensor = float_node(x)
    axes = normalize_axes(axis, node.ndim, "norm")
    size = g.abs(node)
    if order == math.inf:
        return make(reduced(size, axes, keepdims, g.reduce_max), tensor)
    if order == 1:
        return make(reduced(size, axes, keepdims, g.sum), tensor)
    if order == 2 and node.dtype != dt.float64:  # squares of float32 fit float64
        wide = g.cast(node, dt.float64)
        total = _root(reduced(g.mul(wide, wide), axes, keepdims, g.sum), 2)
        return make(g.cast(total, node.dtype), tensor)
    # ‖x‖ = m ‖x / m‖ for any m; with the largest element, powers neither overflow nor vanish.
    if not node.size:
        return make(reduced(size, axes, keepdims, g.sum), tensor)
    largest = g.stop_gradient(reduced(size, axes, True, g.reduce_max))
    usable = g.and_(
        g.ne(largest, g.zeros_like(largest)), g.lt(largest, el.number(largest, math.inf))
    )
    largest = g.where(usable, largest, g.ones_like(largest))
    base = g.div(node if order == 2 else size, g.broadcast(largest, size.shape))
    powers = g.mul(base, base) if order == 2 else _power(base, order)
    total = _root(reduced(powers, axes, keepdims, g.sum), order)
    return make(g.mul(total, g.reshape(largest, total.shape)), tensor)


def _root(total: Node, order: float) -> Node:
    """total^(1/order) with the derivative 0 at 0, where that of a root is infinite."""
    zero = g.zeros_like(total)
    positive = g.ne(total, zero)
    safe = g.where(positive, total, g.ones_like(total))
    root = g.sqrt(safe) if order == 2 else g.pow(safe, el.number(total, 1 / order))
    return g.where(positive, root, zero)


def _power(x: Node, exponent: float) -> Node:
    """x to a power for x ≥ 0, with gradient 0 at 0."""
    positive = g.ne(x, g.zeros_like(x))
    safe = g.where(positive, x, g.ones_like(x))
    raised = g.pow(safe, el.number(x, exponent))
    return g.where(positive, raised, g.zeros_like(x))
