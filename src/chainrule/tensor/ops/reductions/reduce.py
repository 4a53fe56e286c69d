"""Reductions: axes disappear."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ....core import dtypes as dt
from ....core import graph as g
from ....core.node import Node
from ....errors import OptionError, ShapeError
from ...value import Tensor, as_tensor, make, use
from .. import elementary as el
from ..axes import Axis, Keep, keep, normalize_axes, normalize_axis, pick
from ..operands import float_node, of_one_dtype

# fmt: off
__all__ = [  # what `chainrule` offers
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "diff", "max", "mean", "min",
    "prod", "std", "sum", "var",
]
# fmt: on


class Extreme(NamedTuple):
    """What ``max(dim=...)`` and ``min(dim=...)`` return, as in PyTorch."""

    values: Tensor
    indices: Tensor


def reduced(
    x: Node, axes: Sequence[int], keepdims: bool, reduce: Callable[[Node, Sequence[int]], Node]
) -> Node:
    """x reduced, with the axes as lengths of 1 if they are kept."""
    result = reduce(x, axes)
    return keep(result, x, axes) if keepdims else result


def sum(
    x: Any,
    axis: Axis = None,
    *,
    dim: Axis = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
    dtype: Any = None,
) -> Tensor:
    """Σ x over ``axis`` (all axes by default). Bools and integers are summed as int64.

    >>> import chainrule as cr
    >>> cr.sum([[1.0, 2.0], [3.0, 4.0]], axis=0)
    tensor([4., 6.])
    """
    axis, keepdims = pick("sum", axis, dim, keepdims, keepdim)
    tensor = as_tensor(x)
    node = number_node(use(tensor), dtype)
    return make(reduced(node, normalize_axes(axis, node.ndim, "sum"), keepdims, g.sum), tensor)


def number_node(node: Node, dtype: Any) -> Node:
    """What sums and products of ``node`` are made of: whole numbers as int64, or ``dtype``."""
    if dtype is not None:
        return g.cast(node, dt.dtype_of(dtype))
    wide = dt.uint64 if node.dtype == dt.uint64 else dt.int64
    return node if dt.is_float(node.dtype) else g.cast(node, wide)


def mean(
    x: Any, axis: Axis = None, *, dim: Axis = None, keepdims: Keep = None, keepdim: Keep = None
) -> Tensor:
    """Σ x / n over ``axis``. Integers are averaged as float32.

    >>> import chainrule as cr
    >>> cr.mean([[1.0, 2.0], [3.0, 4.0]], axis=1)
    tensor([1.5, 3.5])
    """
    axis, keepdims = pick("mean", axis, dim, keepdims, keepdim)
    node, tensor = float_node(x)
    axes = normalize_axes(axis, node.ndim, "mean")
    return make(reduced(node, axes, keepdims, _mean), tensor)


def _mean(x: Node, axes: Sequence[int]) -> Node:
    total = g.sum(x, axes)
    return g.div(total, g.full(total.shape, math.prod(x.shape[a] for a in axes), x.dtype))


def var(
    x: Any,
    axis: Axis = None,
    *,
    dim: Axis = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
    ddof: float = 0,
    correction: float | None = None,
    unbiased: bool | None = None,
) -> Tensor:
    """Σ (x - mean)² / (n - ddof) over ``axis``. As in NumPy, ``ddof`` is 0 unless given.

    ``correction`` is the Array API's name of ``ddof``; ``unbiased=True`` is PyTorch's ``ddof=1``.

    >>> import chainrule as cr
    >>> cr.var([1.0, 3.0]), cr.var([1.0, 3.0], unbiased=True)
    (tensor(1.), tensor(2.))
    """
    axis, keepdims = pick("var", axis, dim, keepdims, keepdim)
    ddof = (
        correction if correction is not None else float(unbiased) if unbiased is not None else ddof
    )
    node, tensor = float_node(x)
    axes = normalize_axes(axis, node.ndim, "var")
    centred = g.sub(node, g.broadcast(keep(_mean(node, axes), node, axes), node.shape))
    total = reduced(g.mul(centred, centred), axes, keepdims, g.sum)
    count = builtins.max(math.prod(node.shape[a] for a in axes) - ddof, 0)
    return make(g.div(total, g.full(total.shape, count, total.dtype)), tensor)


def std(
    x: Any,
    axis: Axis = None,
    *,
    dim: Axis = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
    ddof: float = 0,
    correction: float | None = None,
    unbiased: bool | None = None,
) -> Tensor:
    """√var; arguments as for `var` (``ddof`` is 0 unless you say otherwise). Where all numbers are
    equal its gradient is 0.

    >>> import chainrule as cr
    >>> cr.std([1.0, 3.0, 5.0, 7.0])
    tensor(2.2361)
    >>> cr.std([1.0, 3.0, 5.0, 7.0], ddof=1)
    tensor(2.582)
    """
    axis, keepdims = pick("std", axis, dim, keepdims, keepdim)
    variance = var(x, axis, keepdims=keepdims, ddof=ddof, correction=correction, unbiased=unbiased)
    return make(el.root_of_sum(use(variance)), variance)


def _extreme(
    name: str,
    x: Any,
    axis: Axis,
    dim: Axis,
    keepdims: Keep,
    keepdim: Keep,
    reduce: Callable[[Node, Sequence[int]], Node],
) -> Tensor:
    axis, keepdims = pick(name, axis, dim, keepdims, keepdim)
    tensor = as_tensor(x)
    node = use(tensor)
    axes = normalize_axes(axis, node.ndim, name)
    if builtins.any(node.shape[a] == 0 for a in axes):
        raise ShapeError(f"{name} over an empty axis has no value: shape {node.shape}, axis {axis}")
    return make(reduced(node, axes, keepdims, reduce), tensor)


def _with_positions(
    name: str, x: Any, axis: Axis, dim: int, keepdims: Keep, keepdim: Keep, place: Any
) -> Extreme:
    axis, keepdims = pick(name, axis, dim, keepdims, keepdim)

    def first(node: Node, axes: Sequence[int]) -> Node:
        return el.first_extreme(node, axes[0], largest=name == "max")

    values = _extreme(name, x, axis, None, keepdims, None, first)
    return Extreme(values, place(x, dim, keepdims=keepdims))


def amax(
    x: Any, axis: Axis = None, *, dim: Axis = None, keepdims: Keep = None, keepdim: Keep = None
) -> Tensor:
    """The largest element over ``axis``; NaN if there is one. Equal maxima share the gradient.

    >>> import chainrule as cr
    >>> cr.amax([[1.0, 5.0], [4.0, 2.0]], axis=0)
    tensor([4., 5.])
    """
    return _extreme("max", x, axis, dim, keepdims, keepdim, g.reduce_max)


def amin(
    x: Any, axis: Axis = None, *, dim: Axis = None, keepdims: Keep = None, keepdim: Keep = None
) -> Tensor:
    """The smallest element over ``axis``; NaN if there is one. Equal minima share the gradient.

    >>> import chainrule as cr
    >>> cr.amin([[1.0, 5.0], [4.0, 2.0]], axis=0)
    tensor([1., 2.])
    """
    return _extreme("min", x, axis, dim, keepdims, keepdim, g.reduce_min)


def max(
    x: Any,
    axis: Axis = None,
    *,
    dim: int | None = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
) -> Any:
    """The largest element over ``axis``. With ``dim=`` (PyTorch): the pair (values, indices), and
    the first of equal maxima has the gradient that they share otherwise.

    >>> import chainrule as cr
    >>> cr.max([[1, 7], [5, 2]], axis=1)
    tensor([7, 5])
    >>> cr.max([[1, 7], [5, 2]], dim=1).indices
    tensor([1, 0])
    """
    if dim is None:
        return amax(x, axis, keepdims=keepdims, keepdim=keepdim)
    return _with_positions("max", x, axis, dim, keepdims, keepdim, argmax)


def min(
    x: Any,
    axis: Axis = None,
    *,
    dim: int | None = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
) -> Any:
    """The smallest element over ``axis``. With ``dim=`` (PyTorch): the pair (values, indices), and
    the first of equal minima has the gradient that they share otherwise.

    >>> import chainrule as cr
    >>> cr.min([[1.0, 5.0], [4.0, 2.0]], axis=1)
    tensor([1., 2.])
    """
    if dim is None:
        return amin(x, axis, keepdims=keepdims, keepdim=keepdim)
    return _with_positions("min", x, axis, dim, keepdims, keepdim, argmin)


def argmax(
    x: Any,
    axis: int | None = None,
    *,
    dim: int | None = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
) -> Tensor:
    """Position (int64) of the largest element along ``axis``, the first of several; of all if None.

    >>> import chainrule as cr
    >>> cr.argmax([[1, 7], [5, 2]], axis=1)
    tensor([1, 0])
    """
    axis, keepdims = pick("argmax", axis, dim, keepdims, keepdim)
    return _position("argmax", as_tensor(x).node, axis, keepdims)


def argmin(
    x: Any,
    axis: int | None = None,
    *,
    dim: int | None = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
) -> Tensor:
    """The position (int64) of the smallest element along ``axis``, the first if several; of all if
    None.

    >>> import chainrule as cr
    >>> cr.argmin([3.0, 1.0, 2.0])
    tensor(1)
    """
    axis, keepdims = pick("argmin", axis, dim, keepdims, keepdim)
    return _position("argmin", _reversed_order(as_tensor(x).node), axis, keepdims)


def _reversed_order(x: Node) -> Node:
    if dt.is_float(x.dtype):
        return g.neg(x)
    if x.dtype == dt.bool_:
        return g.not_(x)
    last = -1 if x.dtype.kind == "i" else 2 ** (8 * x.dtype.itemsize) - 1
    return g.sub(g.full(x.shape, last, x.dtype), x)  # -x would overflow at the smallest integer


def _position(name: str, x: Node, axis: int | None, keepdims: bool) -> Tensor:
    x = g.cast(x, dt.uint8) if x.dtype == dt.bool_ else x
    flat = g.reshape(x, (x.size,)) if axis is None else x
    along = 0 if axis is None else normalize_axis(axis, x.ndim, name)
    if flat.shape[along] == 0:
        raise ShapeError(f"{name} over an empty axis has no value: shape {x.shape}, axis {axis}")
    found = g.argmax(flat, along)
    return make(keep(found, x, range(x.ndim) if axis is None else [along]) if keepdims else found)


def _truth(
    name: str,
    x: Any,
    axis: Axis,
    keepdims: bool,
    reduce: Callable[[Node, Sequence[int]], Node],
    empty: bool,
) -> Tensor:
    node = g.cast(as_tensor(x).node, dt.bool_)
    axes = normalize_axes(axis, node.ndim, name)

    def reduce_or_empty(n: Node, over: Sequence[int]) -> Node:
        if builtins.any(n.shape[a] == 0 for a in over):
            return g.full([m for i, m in enumerate(n.shape) if i not in over], empty, dt.bool_)  # type: ignore[arg-type]
        return reduce(n, over)

    return make(reduced(node, axes, keepdims, reduce_or_empty))


def any(
    x: Any, axis: Axis = None, *, dim: Axis = None, keepdims: Keep = None, keepdim: Keep = None
) -> Tensor:
    """Whether one element over ``axis`` is not zero (False if there are none).

    >>> import chainrule as cr
    >>> cr.any([[True, False], [False, False]], axis=1)
    tensor([ True, False])
    """
    axis, keepdims = pick("any", axis, dim, keepdims, keepdim)
    return _truth("any", x, axis, keepdims, g.reduce_max, False)


def all(
    x: Any, axis: Axis = None, *, dim: Axis = None, keepdims: Keep = None, keepdim: Keep = None
) -> Tensor:
    """Whether no element over ``axis`` is zero (True if there are none).

    >>> import chainrule as cr
    >>> cr.all([[True, False], [True, True]], axis=1)
    tensor([False,  True])
    """
    axis, keepdims = pick("all", axis, dim, keepdims, keepdim)
    return _truth("all", x, axis, keepdims, g.reduce_min, True)


def count_nonzero(
    x: Any, axis: Axis = None, *, dim: Axis = None, keepdims: Keep = None, keepdim: Keep = None
) -> Tensor:
    """How many elements over ``axis`` are not zero, int64.

    >>> import chainrule as cr
    >>> cr.count_nonzero([0, 3, 0, 5])
    tensor(2)
    """
    axis, keepdims = pick("count_nonzero", axis, dim, keepdims, keepdim)
    return sum(make(g.cast(as_tensor(x).node, dt.bool_)), axis, keepdims=keepdims)


def prod(
    x: Any,
    axis: Axis = None,
    *,
    dim: Axis = None,
    keepdims: Keep = None,
    keepdim: Keep = None,
    dtype: Any = None,
) -> Tensor:
    """Π x over ``axis``, by halving: exact gradients also where elements are zero.

    >>> import chainrule as cr
    >>> cr.prod([2.0, 3.0, 4.0])
    tensor(24.)
    """
    axis, keepdims = pick("prod", axis, dim, keepdims, keepdim)
    tensor = as_tensor(x)
    node = number_node(use(tensor), dtype)
    axes = normalize_axes(axis, node.ndim, "prod")

    def reduce(n: Node, over: Sequence[int]) -> Node:
        for a in sorted(over, reverse=True):
            n = _prod(n, a)
        return n

    return make(reduced(node, axes, keepdims, reduce), tensor)


def _prod(x: Node, axis: int) -> Node:
    while x.shape[axis] > 1:
        half, odd = divmod(x.shape[axis], 2)
        pairs = g.mul(g.part(x, axis, 0, half), g.part(x, axis, half, 2 * half))
        x = g.concat([pairs, g.part(x, axis, 2 * half, 2 * half + 1)], axis) if odd else pairs
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return g.reshape(x, shape) if x.shape[axis] else g.full(shape, 1, x.dtype)


def diff(
    x: Any,
    axis: int = -1,
    n: int = 1,
    prepend: Any = None,
    append: Any = None,
    *,
    dim: int | None = None,
) -> Tensor:
    """out[i] = x[i + 1] - x[i] along ``axis``, n times; ``prepend`` and ``append`` are put at the
    ends before.

    >>> import chainrule as cr
    >>> cr.diff([1.0, 4.0, 9.0]), cr.diff([1.0, 4.0, 9.0], n=2)
    (tensor([3., 5.]), tensor([2.]))
    """
    if n < 0:
        raise OptionError(f"diff: n is not negative, got {n}")
    nodes, tensors = of_one_dtype(*(p for p in (prepend, x, append) if p is not None))
    along = normalize_axis(axis if dim is None else dim, as_tensor(x).ndim, "diff")
    node = g.concat(nodes, along)
    for _ in range(n):
        length = node.shape[along]
        if length == 0:
            break
        after, before = g.part(node, along, 1, length), g.part(node, along, 0, length - 1)
        node = g.ne(after, before) if node.dtype == dt.bool_ else g.sub(after, before)
    return make(node, *tensors)
