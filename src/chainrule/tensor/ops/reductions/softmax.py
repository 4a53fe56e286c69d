"""Sums of exponentials, without overflow: x minus its maximum first."""

from __future__ import annotations

import math
from typing import Any

from ....core import graph as g
from ....core.node import Node
from ...value import Tensor, make
from .. import elementary as el
from ..axes import Axis, Keep, keep, normalize_axes, pick
from ..operands import float_node

__all__ = ["log_softmax", "logsumexp", "softmax"]  # what `chainrule` offers


def _shifted(name: str, x: Any, axes: Axis) -> tuple[Node, Node, tuple[int, ...], Tensor]:
    """x minus its maximum m over the axes, and m (without gradient: it cancels)."""
    node, tensor = float_node(x)
    over = normalize_axes(axes, node.ndim, name)
    if not node.size:
        return node, g.sum(node, over), over, tensor
    m = g.stop_gradient(g.reduce_max(node, over))
    finite = g.lt(g.abs(m), g.full(m.shape, math.inf, m.dtype))
    m = g.where(finite, m, g.zeros_like(m))
    return g.sub(node, g.broadcast(keep(m, node, over), node.shape)), m, over, tensor


def logsumexp(
    x: Any, axis: Axis = None, *, dim: Axis = None, keepdims: Keep = None, keepdim: Keep = None
) -> Tensor:
    """ln Σ eˣ over ``axis``, without overflow.

    >>> import chainrule as cr
    >>> cr.logsumexp([1000.0, 1000.0])
    tensor(1000.6932)
    """
    axis, keepdims = pick("logsumexp", axis, dim, keepdims, keepdim)
    shifted, m, over, tensor = _shifted("logsumexp", x, axis)
    result = g.add(g.log(g.sum(g.exp(shifted), over)), m)
    return make(keep(result, shifted, over) if keepdims else result, tensor)


def softmax(x: Any, axis: Axis = -1, *, dim: Axis = None) -> Tensor:
    """eˣ / Σ eˣ over ``axis`` (the last by default).

    >>> import chainrule as cr
    >>> cr.softmax([0.0, 1.0, 2.0])
    tensor([0.09  , 0.2447, 0.6652])
    """
    shifted, _, over, tensor = _shifted("softmax", x, axis if dim is None else dim)
    e = g.exp(shifted)
    y = g.div(e, g.broadcast(keep(g.sum(e, over), e, over), e.shape))
    return make(g.custom_vjp(y, [shifted], el.SoftmaxRule(tuple(over))), tensor)


def log_softmax(x: Any, axis: Axis = -1, *, dim: Axis = None) -> Tensor:
    """x - ln Σ eˣ over ``axis`` (the last by default), without overflow.

    >>> import chainrule as cr
    >>> cr.log_softmax([0.0, 0.0])
    tensor([-0.6931, -0.6931])
    """
    shifted, _, over, tensor = _shifted("log_softmax", x, axis if dim is None else dim)
    total = g.log(g.sum(g.exp(shifted), over))
    return make(g.sub(shifted, g.broadcast(keep(total, shifted, over), shifted.shape)), tensor)
