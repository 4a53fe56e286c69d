"""Order: sorted elements and where they lie. All but `searchsorted` need the values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ....core import dtypes as dt
from ....core import graph as g
from ....errors import OptionError
from ...value import Tensor, array_of, as_tensor, make
from ..axes import normalize_axis
from .gathering import take, take_along_axis
from .index import getitem

# fmt: off
__all__ = [  # what `chainrule` offers
    "argsort", "searchsorted", "sort", "topk",
]
# fmt: on


class Sorted(NamedTuple):
    """What ``sort(dim=...)`` and ``topk`` return, as in PyTorch."""

    values: Tensor
    indices: Tensor


def argsort(
    x: Any, axis: int = -1, *, dim: int | None = None, descending: bool = False, stable: bool = True
) -> Tensor:
    """The positions that would sort ``x`` along ``axis``; equal ones keep their order, NaN is last.

    >>> import chainrule as cr
    >>> cr.argsort([3.0, 1.0, 2.0])
    tensor([1, 2, 0])
    """
    tensor = as_tensor(x)
    along = normalize_axis(axis if dim is None else dim, tensor.ndim, "argsort")
    values = array_of(tensor)
    if not descending:
        return as_tensor(np.argsort(values, along, kind="stable"))
    backwards = np.argsort(np.flip(values, along), along, kind="stable")
    return as_tensor(np.flip(values.shape[along] - 1 - backwards, along))


def sort(
    x: Any, axis: int = -1, *, dim: int | None = None, descending: bool = False, stable: bool = True
) -> Any:
    """``x`` sorted along ``axis``. With ``dim=`` (PyTorch): the pair (values, indices).

    >>> import chainrule as cr
    >>> cr.sort([3.0, 1.0, 2.0])
    tensor([1., 2., 3.])
    >>> cr.sort([3.0, 1.0, 2.0], descending=True)
    tensor([3., 2., 1.])
    """
    order = argsort(x, axis, dim=dim, descending=descending)
    values = take_along_axis(x, order, axis, dim=dim)
    return values if dim is None else Sorted(values, order)


def topk(x: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Sorted:
    """The ``k`` largest (or smallest) elements along ``dim``, in order, and their positions.

    >>> import chainrule as cr
    >>> values, indices = cr.topk([3.0, 1.0, 2.0], 2)
    >>> values, indices
    (tensor([3., 2.]), tensor([0, 2]))
    """
    tensor = as_tensor(x)
    along = normalize_axis(dim, tensor.ndim, "topk")
    if not 0 <= k <= tensor.shape[along]:
        raise OptionError(f"topk: k = {k}, axis {along} has length {tensor.shape[along]}")
    order = argsort(tensor, along, descending=largest)
    key = (*[slice(None)] * along, slice(0, k))
    index = getitem(order, key)
    return Sorted(take_along_axis(tensor, index, along), index)


def searchsorted(
    boundaries: Any, x: Any, side: str = "left", right: bool = False, sorter: Any = None
) -> Tensor:
    """Where ``x`` would be inserted into the sorted 1-d ``boundaries`` to keep them sorted,
    int64. NaN comes last. ``sorter``: the positions that sort the boundaries, if they are not.

    >>> import chainrule as cr
    >>> cr.searchsorted([1.0, 2.0, 3.0], [0.5, 2.5])
    tensor([0, 2])
    """
    sorted_, tensor = as_tensor(boundaries), as_tensor(x)
    sorted_ = sorted_ if sorter is None else take(sorted_, sorter)
    if sorted_.ndim != 1 or side not in ("left", "right"):
        raise OptionError(f"searchsorted: boundaries of shape {sorted_.shape}, side {side!r}")
    dtype = dt.promote(sorted_.dtype, tensor.dtype)
    shape = (*tensor.shape, sorted_.shape[0])
    a = g.expand(g.cast(sorted_.node, dtype), shape)
    b = g.expand(g.reshape(g.cast(tensor.node, dtype), (*tensor.shape, 1)), shape)
    is_last = g.ne(b, b)  # NaN
    if right or side == "right":
        before = g.or_(g.le(a, b), is_last)
    else:
        before = g.or_(g.lt(a, b), g.and_(is_last, g.eq(a, a)))
    return make(g.sum(g.cast(before, dt.int64), (len(shape) - 1,)))
