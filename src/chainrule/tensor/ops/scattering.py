"""Writing and adding at positions that an index gives, in a copy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...errors import ShapeError
from ..value import Tensor, Value, as_tensor, make, use
from .index import getitem, integers_of, setitem, wrap_index
from .reduce import normalize_axis

__all__ = ["index_add", "scatter", "scatter_add"]  # what `chainrule` offers


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
    positions = integers_of("an index", as_tensor(index))
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
    positions = integers_of("an index", as_tensor(index))
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
