"""Cumulative functions: out[i] is x[0] … x[i] combined, along one axis.

Short axes by doubling: in log2 n rounds each element takes in the one 1, 2, 4, … before it (Hillis
& Steele, 1986). Long ones by blocks of √n, at most 64, elements: a loop over the steps of all
blocks at once, the totals of the blocks cumulated, and both combined; sums are rounded fewer times
than one after another. Products go one by one: blocks could overflow after a 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ....autodiff.recurrence import loop
from ....core import dtypes as dt
from ....core import graph as g
from ....core.node import Node
from ....errors import OptionError
from ...value import Tensor, as_tensor, make, use
from .. import elementary as el
from ..axes import normalize_axis, pick
from ..indexing.gathering import take_along_axis
from ..operands import float_node
from .reduce import Extreme, number_node

# fmt: off
__all__ = [  # what `chainrule` offers
    "cummax", "cummin", "cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "logcumsumexp",
]
# fmt: on


Combine = Callable[[Node, Node], Node]

SHORT = 64
"""Up to so many elements the rounds are quicker than the loops."""


def _cumulated(x: Node, axis: int, combine: Combine, neutral: Any) -> Node:
    if x.shape[axis] <= SHORT:
        return _by_doubling(x, axis, combine, neutral)
    return _along_first(x, axis, lambda rows: _by_blocks(rows, combine, neutral))


def _by_doubling(x: Node, axis: int, combine: Combine, neutral: Any) -> Node:
    n, shift = x.shape[axis], 1
    while shift < n:
        front = list(x.shape)
        front[axis] = shift
        filler = g.full(tuple(front), neutral, x.dtype)
        x = combine(g.concat([filler, g.part(x, axis, 0, n - shift)], axis), x)
        shift *= 2
    return x


def _along_first(x: Node, axis: int, f: Callable[[Node], Node]) -> Node:
    order = (axis, *(i for i in range(x.ndim) if i != axis))
    back = tuple(int(i) for i in np.argsort(order))
    return g.permute(f(g.permute(x, order)), back)


def _by_blocks(x: Node, combine: Combine, neutral: Any) -> Node:
    n, rest = x.shape[0], x.shape[1:]
    size = min(math.isqrt(n - 1) + 1, SHORT)
    count = -(-n // size)
    if count * size > n:
        x = g.concat([x, g.full((count * size - n, *rest), neutral, x.dtype)], 0)
    swap = (1, 0, *range(2, x.ndim + 1))
    totals, inner = _steps(g.permute(g.reshape(x, (count, size, *rest)), swap), combine, neutral)
    upto = _cumulated(totals, 0, combine, neutral)  # (count, *rest)
    filler = g.full((1, *rest), neutral, x.dtype)
    before = g.concat([filler, g.part(upto, 0, 0, count - 1)], 0)
    joined = combine(g.expand(g.reshape(before, (1, *before.shape)), inner.shape), inner)
    return g.part(g.reshape(g.permute(joined, swap), x.shape), 0, 0, n)


def _steps(rows: Node, combine: Combine, neutral: Any) -> tuple[Node, Node]:
    """The last and all values of combining the rows one after another."""
    carry, row = (g.input(rows.shape[1:], rows.dtype) for _ in range(2))
    new, first = combine(carry, row), g.full(rows.shape[1:], neutral, rows.dtype)
    found = loop([carry], [row], [new], [new], [first], [rows], length=rows.shape[0])
    return found.carries[0], found.stacked[0]


def _sums(node: Node, axis: int) -> Node:
    return _cumulated(node, axis, g.add, 0)


def _products(node: Node, axis: int) -> Node:
    return _along_first(node, axis, lambda rows: _steps(rows, g.mul, 1)[1])


def _flat(node: Node, axis: int | None, name: str) -> tuple[Node, int]:
    if axis is None:
        return g.reshape(node, (node.size,)), 0
    return node, normalize_axis(axis, node.ndim, name)


def cumsum(x: Any, axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """out[i] = x[0] + … + x[i] along ``axis`` (of the flattened tensor if None).

    >>> import chainrule as cr
    >>> cr.cumsum([1, 2, 3])
    tensor([1, 3, 6])
    """
    axis, _ = pick("cumsum", axis, dim, None, None)
    tensor = as_tensor(x)
    node, along = _flat(number_node(use(tensor), None), axis, "cumsum")
    return make(_sums(node, along), tensor)


def cumprod(x: Any, axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """out[i] = x[0] · … · x[i] along ``axis`` (of the flattened tensor if None), in this order.

    >>> import chainrule as cr
    >>> cr.cumprod([1.0, 2.0, 3.0])
    tensor([1., 2., 6.])
    """
    axis, _ = pick("cumprod", axis, dim, None, None)
    tensor = as_tensor(x)
    node, along = _flat(number_node(use(tensor), None), axis, "cumprod")
    return make(_products(node, along), tensor)


def _by_standard(
    name: str, x: Any, axis: int | None, dtype: Any, include_initial: bool, neutral: int
) -> tuple[Node, int, Tensor]:
    """The numbers and the axis as the Array API has them: an axis where there are several, and
    ``neutral`` first where it is asked for."""
    tensor = as_tensor(x)
    node = number_node(use(tensor), dtype)
    if axis is None:
        if node.ndim != 1:
            raise OptionError(f"{name}: say along which axis of shape {node.shape}")
        axis = 0
    along = normalize_axis(axis, node.ndim, name)
    if include_initial:
        first = (*node.shape[:along], 1, *node.shape[along + 1 :])
        node = g.concat([g.full(first, neutral, node.dtype), node], along)
    return node, along, tensor


def cumulative_sum(
    x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """`cumsum` by the Array API: with ``include_initial`` a 0 comes first.

    >>> import chainrule as cr
    >>> cr.cumulative_sum([1, 2, 3], include_initial=True)
    tensor([0, 1, 3, 6])
    """
    node, along, tensor = _by_standard("cumulative_sum", x, axis, dtype, include_initial, 0)
    return make(_sums(node, along), tensor)


def cumulative_prod(
    x: Any, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Tensor:
    """`cumprod` by the Array API: with ``include_initial`` a 1 comes first.

    >>> import chainrule as cr
    >>> cr.cumulative_prod([2.0, 3.0])
    tensor([2., 6.])
    """
    node, along, tensor = _by_standard("cumulative_prod", x, axis, dtype, include_initial, 1)
    return make(_products(node, along), tensor)


def logcumsumexp(x: Any, axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """out[i] = ln (e^x[0] + … + e^x[i]) along ``axis``, without overflow.

    >>> import chainrule as cr
    >>> cr.logcumsumexp([1000.0, 1000.0], 0)
    tensor([1000.    , 1000.6932])
    """
    axis, _ = pick("logcumsumexp", axis, dim, None, None)
    node, tensor = float_node(x)
    node, along = _flat(node, axis, "logcumsumexp")
    return make(_cumulated(node, along, el.logaddexp, -math.inf), tensor)


def cummax(x: Any, axis: int | None = None, *, dim: int | None = None) -> Extreme:
    """(values, indices): the largest of x[0] … x[i] along ``axis``, and where it is.

    Of equal elements it is the last, and NaN is larger than all, as in PyTorch. The gradient goes
    to the element that was chosen.

    >>> import chainrule as cr
    >>> values, indices = cr.cummax([1.0, 3.0, 2.0, 3.0], dim=0)
    >>> values.tolist(), indices.tolist()
    ([1.0, 3.0, 3.0, 3.0], [0, 1, 1, 3])
    """
    return _extreme("cummax", x, axis, dim, g.max, largest=True)


def cummin(x: Any, axis: int | None = None, *, dim: int | None = None) -> Extreme:
    """(values, indices): the smallest of x[0] … x[i]; see `cummax`.

    >>> import chainrule as cr
    >>> cr.cummin([2.0, 3.0, 1.0], dim=0).values
    tensor([2., 2., 1.])
    """
    return _extreme("cummin", x, axis, dim, g.min, largest=False)


def _extreme(
    name: str, x: Any, axis: int | None, dim: int | None, combine: Combine, largest: bool
) -> Extreme:
    axis, _ = pick(name, axis, dim, None, None)
    if axis is None:
        raise OptionError(f"{name}: say along which axis, dim=0 for the first")
    tensor = as_tensor(x)
    along = normalize_axis(axis, tensor.ndim, name)
    node = g.stop_gradient(tensor.node)
    node = g.cast(node, dt.uint8) if node.dtype == dt.bool_ else node
    if dt.is_float(node.dtype):
        neutral: Any = -math.inf if largest else math.inf
    else:
        limits = np.iinfo(node.dtype)
        neutral = int(limits.min if largest else limits.max)
    values = _cumulated(node, along, combine, neutral)
    chosen = g.or_(g.eq(node, values), g.ne(node, node))  # NaN is not equal to itself
    places = g.iota(node.shape, along, dt.int64)
    last = g.where(chosen, places, g.zeros_like(places))
    indices = make(_cumulated(last, along, g.max, 0))
    return Extreme(take_along_axis(tensor, indices, along), indices)
