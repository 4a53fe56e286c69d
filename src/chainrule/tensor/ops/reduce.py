"""Reductions: axes disappear. ``axis``, ``keepdims`` (NumPy) are ``dim``, ``keepdim`` (PyTorch)."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ...core import dtypes as dt
from ...core import graph as g
from ...core.dtypes import DType
from ...core.node import Node
from ...errors import DTypeError, OptionError, ShapeError
from ..value import Tensor, as_tensor, make, use
from . import elementary as el
from .operands import float_node, of_one_dtype

# fmt: off
__all__ = [  # what `chainrule` offers
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "diff", "log_softmax",
    "logsumexp", "max", "mean", "min", "norm", "prod", "result_dtype", "softmax", "std", "sum",
    "var",
]
# fmt: on


Axis = int | Sequence[int] | None
Keep = bool | None


class Extreme(NamedTuple):
    """What ``max(dim=...)`` and ``min(dim=...)`` return, as in PyTorch."""

    values: Tensor
    indices: Tensor


def normalize_axis(axis: int, ndim: int, name: str) -> int:
    """``axis`` counted from 0."""
    if not isinstance(axis, int) and not hasattr(axis, "__index__"):
        raise OptionError(f"{name}: an axis is an integer, got {axis!r}")
    axis = int(axis)
    if not -ndim <= axis < ndim:
        raise ShapeError(f"{name}: axis {axis} of a tensor with {ndim} axes")
    return axis % ndim


def normalize_axes(axis: Axis, ndim: int, name: str) -> tuple[int, ...]:
    """All axes for None; otherwise the axes counted from 0, in order."""
    if axis is None:
        return tuple(range(ndim))
    listed = list(axis) if isinstance(axis, Sequence) else [axis]
    axes = tuple(sorted(normalize_axis(a, ndim, name) for a in listed))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"{name}: an axis is named twice in {tuple(listed)}")
    return axes


def pick(name: str, axis: Any, dim: Any, keepdims: Keep, keepdim: Keep) -> tuple[Any, bool]:
    """One of ``axis``/``dim`` and one of ``keepdims``/``keepdim``."""
    if axis is not None and dim is not None:
        raise OptionError(f"{name}: axis and dim are the same argument; give one of them")
    return dim if axis is None else axis, bool(keepdims or keepdim)


def keep(node: Node, before: Node, axes: Sequence[int]) -> Node:
    """``node`` with the reduced ``axes`` back, of length 1."""
    return g.reshape(node, [1 if i in axes else n for i, n in enumerate(before.shape)])


def _reduced(
    x: Node, axes: Sequence[int], keepdims: bool, reduce: Callable[[Node, Sequence[int]], Node]
) -> Node:
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
    return make(_reduced(node, normalize_axes(axis, node.ndim, "sum"), keepdims, g.sum), tensor)


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
    return make(_reduced(node, axes, keepdims, _mean), tensor)


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
    total = _reduced(g.mul(centred, centred), axes, keepdims, g.sum)
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
    return make(_reduced(node, axes, keepdims, reduce), tensor)


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

    return make(_reduced(node, axes, keepdims, reduce_or_empty))


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

    return make(_reduced(node, axes, keepdims, reduce), tensor)


def _prod(x: Node, axis: int) -> Node:
    while x.shape[axis] > 1:
        half, odd = divmod(x.shape[axis], 2)
        pairs = g.mul(part(x, axis, 0, half), part(x, axis, half, 2 * half))
        x = g.concat([pairs, part(x, axis, 2 * half, 2 * half + 1)], axis) if odd else pairs
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return g.reshape(x, shape) if x.shape[axis] else g.full(shape, 1, x.dtype)


def part(x: Node, axis: int, start: int, stop: int, step: int = 1) -> Node:
    """x[..., start:stop:step, ...] along one axis."""
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return g.slice(x, starts, stops, steps)


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
        after, before = part(node, along, 1, length), part(node, along, 0, length - 1)
        node = g.ne(after, before) if node.dtype == dt.bool_ else g.sub(after, before)
    return make(node, *tensors)


# -- of exponentials -------------------------------------------------------------------------------
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
        return make(_reduced(size, axes, keepdims, g.reduce_max), tensor)
    if order == 1:
        return make(_reduced(size, axes, keepdims, g.sum), tensor)
    if order == 2 and node.dtype != dt.float64:  # squares of float32 fit float64
        wide = g.cast(node, dt.float64)
        total = _root(_reduced(g.mul(wide, wide), axes, keepdims, g.sum), 2)
        return make(g.cast(total, node.dtype), tensor)
    # ‖x‖ = m ‖x / m‖ for any m; with the largest element, powers neither overflow nor vanish.
    if not node.size:
        return make(_reduced(size, axes, keepdims, g.sum), tensor)
    largest = g.stop_gradient(_reduced(size, axes, True, g.reduce_max))
    usable = g.and_(g.ne(largest, g.zeros_like(largest)), g.lt(largest, _inf(largest)))
    largest = g.where(usable, largest, g.ones_like(largest))
    base = g.div(node if order == 2 else size, g.broadcast(largest, size.shape))
    powers = g.mul(base, base) if order == 2 else _power(base, order)
    total = _root(_reduced(powers, axes, keepdims, g.sum), order)
    return make(g.mul(total, g.reshape(largest, total.shape)), tensor)


def _constant(like: Node, value: float) -> Node:
    return g.full(like.shape, value, like.dtype)


def _inf(like: Node) -> Node:
    return _constant(like, math.inf)


def _root(total: Node, order: float) -> Node:
    """total^(1/order) with the derivative 0 at 0, where that of a root is infinite."""
    zero = g.zeros_like(total)
    positive = g.ne(total, zero)
    safe = g.where(positive, total, g.ones_like(total))
    root = g.sqrt(safe) if order == 2 else g.pow(safe, _constant(total, 1 / order))
    return g.where(positive, root, zero)


def _power(x: Node, exponent: float) -> Node:
    """x to a power for x ≥ 0, with gradient 0 at 0."""
    positive = g.ne(x, g.zeros_like(x))
    safe = g.where(positive, x, g.ones_like(x))
    raised = g.pow(safe, g.full(x.shape, exponent, x.dtype))
    return g.where(positive, raised, g.zeros_like(x))


def result_dtype(*xs: Any) -> DType:
    """The dtype that operations between the arguments have.

    >>> import numpy as np
    >>> result_dtype(np.zeros(2, np.float32), np.zeros(2, np.int64))
    dtype('float32')
    """
    if not xs:
        raise DTypeError("result_dtype needs an argument")
    return dt.promote(*(as_tensor(x).dtype for x in xs))
