"""Elements and slices by their positions along an axis: read, replaced, added to."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....core import dtypes as dt
from ....core import graph as g
from ....core.node import Node
from ....errors import CompileError, DTypeError, ShapeError
from ...capture import user_line
from ...ranges import check_known, check_later
from ...value import Tensor, Value, as_tensor, make, use
from ..axes import normalize_axis, pick
from ..operands import broadcast_shapes
from .index import getitem, integers, known_values, setitem, wrap_index

# fmt: off
__all__ = [  # what `chainrule` offers
    "gather", "index_add", "index_select", "masked_select", "one_hot", "scatter",
    "scatter_add", "take", "take_along_axis",
]
# fmt: on


def take(x: Any, indices: Any, axis: int | None = None, *, dim: int | None = None) -> Tensor:
    """The elements (slices) at ``indices`` along ``axis``; of the flattened tensor if None.

    >>> import chainrule as cr
    >>> cr.take([10, 20, 30], [2, 0])
    tensor([30, 10])
    """
    axis, _ = pick("take", axis, dim, None, None)
    tensor = as_tensor(x)
    index = integers("an index", as_tensor(indices))
    node = use(tensor)
    if axis is None:
        node, axis = g.reshape(node, (node.size,)), 0
    along = normalize_axis(axis, node.ndim, "take")
    positions = wrap_index(index, node.shape[along], along)
    return make(_gather(node, positions, along), tensor)


def _gather(node: Node, index: Node, axis: int) -> Node:
    order = [axis, *(i for i in range(node.ndim) if i != axis)]
    found = g.gather(g.permute(node, order), index)
    k = index.ndim
    return g.permute(found, [*range(k, k + axis), *range(k), *range(k + axis, found.ndim)])


def index_select(x: Any, dim: int, index: Any) -> Tensor:
    """PyTorch's name for ``take(x, index, axis=dim)``.

    >>> import chainrule as cr
    >>> cr.index_select(cr.tensor([[1, 2, 3], [4, 5, 6]]), 1, [0, 2])
    tensor([[1, 3],
            [4, 6]])
    """
    return take(x, index, dim)


def masked_select(x: Any, mask: Any) -> Tensor:
    """PyTorch's name for ``x[mask]``, with x and mask broadcast to one shape: the elements where
    ``mask`` holds, (n,). n must be known: not in compiled functions.

    >>> import chainrule as cr
    >>> cr.masked_select(cr.tensor([[1, 2], [3, 4]]), cr.tensor([True, False]))
    tensor([1, 3])
    """
    tensor, chosen = as_tensor(x), as_tensor(mask)
    if chosen.dtype != dt.bool_:
        raise DTypeError(f"masked_select: the mask has bools, got {chosen.dtype}")
    shape = broadcast_shapes(tensor.shape, chosen.shape, name="masked_select")
    wide = make(g.expand(use(tensor), shape), tensor)
    return getitem(wide, make(g.expand(use(chosen), shape)))


def take_along_axis(x: Any, indices: Any, axis: int = -1, *, dim: int | None = None) -> Tensor:
    """out[…, i, …] = x[…, indices[…, i, …], …]: one index for each element (PyTorch's ``gather``).

    >>> import chainrule as cr
    >>> cr.take_along_axis([[1, 2], [3, 4]], [[1], [0]], axis=1)
    tensor([[2],
            [3]])
    """
    tensor = as_tensor(x)
    index = integers("an index", as_tensor(indices))
    along = normalize_axis(axis if dim is None else dim, tensor.ndim, "take_along_axis")
    if index.ndim != tensor.ndim:
        raise ShapeError(
            f"take_along_axis: x has shape {tensor.shape}, indices {index.shape}; equal ranks "
            "expected"
        )
    last = tensor.ndim - 1
    others = [i for i in range(tensor.ndim) if i != along]
    shape = broadcast_shapes(
        tuple(tensor.shape[i] for i in others),
        tuple(index.shape[i] for i in others),
        name="take_along_axis",
    )
    n = tensor.shape[along]
    order = [*others, along]
    table = g.expand(g.permute(use(tensor), order), (*shape, n))
    positions = g.expand(
        g.permute(wrap_index(index, n, along), order), (*shape, index.shape[along])
    )
    rows = math.prod(shape)
    k = positions.shape[-1]
    flat = g.reshape(positions, (rows, k))
    linear = g.add(g.mul(g.iota((rows, k), 0, dt.int64), g.full((rows, k), n, dt.int64)), flat)
    if not linear.size:
        found = g.full((*shape, k), 0, table.dtype)
    else:
        found = g.reshape(g.gather(g.reshape(table, (rows * n,)), linear), (*shape, k))
    back = [*range(along), last, *range(along, last)]
    return make(g.permute(found, back), tensor)


def gather(x: Any, dim: int, index: Any) -> Tensor:
    """PyTorch's ``gather``: for dim 0 ``out[i, j] = x[index[i, j], j]``; index may be shorter.

    >>> import chainrule as cr
    >>> cr.gather(cr.tensor([[1, 2], [3, 4]]), 1, cr.tensor([[1], [0]]))
    tensor([[2],
            [3]])
    """
    tensor, positions = as_tensor(x), as_tensor(index)
    along = normalize_axis(dim, tensor.ndim, "gather")
    if positions.ndim != tensor.ndim:
        raise ShapeError(
            f"gather: x has shape {tensor.shape}, index {positions.shape}; equal ranks expected"
        )
    key = tuple(slice(None) if i == along else slice(0, n) for i, n in enumerate(positions.shape))
    return take_along_axis(getitem(tensor, key), positions, along)


def scatter(x: Any, dim: int, index: Any, src: Any) -> Tensor:
    """PyTorch's ``scatter``: a copy of x in which, for dim 0, x[index[i, j], j] = src[i, j]; src is
    a number or has at least the shape of index. Of equal places the last one counts.

    >>> import chainrule as cr
    >>> cr.scatter(cr.zeros(2, 3), 1, [[2], [0]], 1.0)
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    tensor, positions, new = as_tensor(x), as_tensor(index), as_tensor(src)
    along = normalize_axis(dim, tensor.ndim, "scatter")
    _check_ranks("scatter", tensor, positions, new)
    grid: list[Any] = [
        np.arange(n).reshape([-1 if a == i else 1 for a in range(tensor.ndim)])
        for i, n in enumerate(positions.shape)
    ]
    grid[along] = positions
    if new.ndim:
        new = getitem(new, tuple(slice(0, n) for n in positions.shape))
    return setitem(tensor, tuple(grid), new)


def scatter_add(x: Any, dim: int, index: Any, src: Any) -> Tensor:
    """PyTorch's ``scatter_add``: x, to which for dim 0 src[i, j] is added at [index[i, j], j]; src
    is a number or has at least the shape of index. Equal places add up.

    >>> import chainrule as cr
    >>> cr.scatter_add(cr.zeros(2, 3), 1, [[2, 2], [0, 1]], cr.tensor([[1.0, 5.0], [3.0, 4.0]]))
    tensor([[0., 0., 6.],
            [3., 4., 0.]])
    """
    tensor, new = as_tensor(x), as_tensor(src)
    positions = integers("an index", as_tensor(index))
    along = normalize_axis(dim, tensor.ndim, "scatter_add")
    _check_ranks("scatter_add", tensor, positions, new)
    shape = positions.shape
    wrong = [
        i
        for i, n in enumerate(shape)
        if (i != along and n > tensor.shape[i]) or (new.ndim and n > new.shape[i])
    ]
    if wrong:
        raise ShapeError(
            f"scatter_add: index has length {shape[wrong[0]]} in axis {wrong[0]}, where x has "
            f"{tensor.shape[wrong[0]]}{f' and src {new.shape[wrong[0]]}' if new.ndim else ''}; an "
            f"index is no longer than src, and than x except along dim {along}"
        )
    if new.ndim:
        new = getitem(new, tuple(slice(0, n) for n in shape))
    place = g.full(shape, 0, dt.int64)
    for axis, n in enumerate(tensor.shape):
        at = g.iota(shape, axis, dt.int64)
        if axis == along:
            at = wrap_index(positions, n, axis)
        place = g.add(g.mul(place, g.full(shape, n, dt.int64)), at)
    count = math.prod(shape)
    added = g.reshape(g.expand(use(new, tensor.dtype), shape), (count,))
    flat = g.reshape(use(tensor), (math.prod(tensor.shape),))
    found = g.scatter_add(flat, g.reshape(place, (count,)), added) if count else flat
    return make(g.reshape(found, tensor.shape), tensor, new)


def index_add(x: Any, dim: int, index: Any, source: Any, *, alpha: float = 1) -> Tensor:
    """x, to which alpha · source[i] is added at x[index[i]] (for dim 0); index is (n,), equal
    indices add up. ``source`` broadcasts to the shape of x with n in place of the length of dim.

    >>> import chainrule as cr
    >>> cr.index_add(cr.zeros(3, 2), 0, [0, 2, 2], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    tensor([[ 1.,  2.],
            [ 0.,  0.],
            [ 8., 10.]])
    """
    tensor, new = as_tensor(x), as_tensor(source)
    positions = integers("an index", as_tensor(index))
    along = normalize_axis(dim, tensor.ndim, "index_add")
    if positions.ndim != 1:
        raise ShapeError(f"index_add: an index of shape (n,) is expected, got {positions.shape}")
    shape = (*tensor.shape[:along], positions.shape[0], *tensor.shape[along + 1 :])
    if new.ndim > len(shape) or any(
        n not in (1, m) for n, m in zip(new.shape[::-1], shape[::-1], strict=False)
    ):
        raise ShapeError(
            f"index_add: {positions.shape[0]} positions along axis {along} of x {tensor.shape} need"
            f" a source of shape {shape}, got {new.shape}"
        )
    wide = g.expand(use(new, tensor.dtype), shape)
    if alpha != 1:
        wide = g.mul(wide, g.full(shape, alpha, tensor.dtype))
    front = [along, *(i for i in range(tensor.ndim) if i != along)]
    back = [front.index(i) for i in range(tensor.ndim)]
    found = g.scatter_add(
        g.permute(use(tensor), front),
        wrap_index(positions, tensor.shape[along], along),
        g.permute(wide, front),
    )
    return make(g.permute(found, back), tensor, new)


def _check_ranks(name: str, tensor: Value, index: Value, src: Value) -> None:
    if index.ndim != tensor.ndim or (src.ndim and src.ndim != tensor.ndim):
        raise ShapeError(
            f"{name}: x has shape {tensor.shape}, index {index.shape}, src {src.shape}; equal"
            " ranks expected"
        )


def one_hot(x: Any, num_classes: int = -1, dtype: Any = None) -> Tensor:
    """1 at position x[...], 0 elsewhere, in a new last axis of ``num_classes``; int64 unless given.

    >>> import chainrule as cr
    >>> cr.one_hot([0, 2], 3)
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    index = integers("one_hot: a class", as_tensor(x))
    known = known_values(index)
    if known is None and num_classes < 0:
        raise CompileError(f"{user_line()}: one_hot needs num_classes= inside a compiled function")
    if known is not None and known.size and num_classes < 0:
        num_classes = max(int(known.max()) + 1, 0)
    text = f"one_hot: class {{}} is outside 0 … {num_classes - 1}"
    if known is not None:
        check_known(known, 0, num_classes, text)
    else:
        check_later(index.node, 0, num_classes, text)
    shape = (*index.shape, max(num_classes, 0))
    wide = g.expand(g.reshape(g.cast(index.node, dt.int64), (*index.shape, 1)), shape)
    hot = g.eq(wide, g.iota(shape, len(shape) - 1, dt.int64))
    return make(g.cast(hot, dt.dtype_of(dtype or dt.default_int)))
