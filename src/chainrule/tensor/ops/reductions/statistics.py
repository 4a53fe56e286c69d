"""Statistics: quantiles, counts, distances; the different elements in NumPy's one function."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ....core import dtypes as dt
from ....core import graph as g
from ....core.node import Node
from ....errors import DataError, DTypeError, OptionError, ShapeError
from ...value import Tensor, array_of, as_tensor, make
from .. import elementwise as e
from .. import shape as s
from ..axes import normalize_axis
from ..indexing.gathering import index_add, take, take_along_axis
from ..indexing.sorting import sort
from ..joining import narrow, stack
from .norm import norm

# fmt: off
__all__ = [  # what `chainrule` offers
    "bincount", "cdist", "median", "quantile", "unique", "unique_all", "unique_counts",
    "unique_inverse", "unique_values",
]
# fmt: on


class Middle(NamedTuple):
    """What `median` with ``dim=`` returns."""

    values: Tensor
    indices: Tensor


def quantile(
    x: Any,
    q: Any,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    dim: int | None = None,
    keepdim: bool | None = None,
) -> Tensor:
    """The value below which a share ``q`` in [0, 1] of the elements lies, along an axis or of all.

    Between the sorted elements i and i + 1, i = ⌊q (n - 1)⌋, linearly. A list of q puts an axis of
    its length first. NaN where there is a NaN. Sorts, so not for compiled functions.

    >>> import chainrule as cr
    >>> cr.quantile([1.0, 2.0, 3.0, 4.0], 0.5), cr.quantile([1.0, 2.0, 3.0], [0.0, 0.75])
    (tensor(2.5), tensor([1. , 2.5]))
    """
    shares = np.asarray(q, np.float64)
    if shares.ndim > 1 or not ((shares >= 0) & (shares <= 1)).all():
        raise OptionError(f"quantile: q is a number in [0, 1], or a list of them, got {q!r}")
    keep = keepdims if keepdim is None else keepdim
    tensor, along = _sorted("quantile", x, axis if dim is None else dim)
    found = [_between(tensor, float(p) * (tensor.shape[along] - 1), along) for p in shares.flat]
    results = [_kept(f, along, x, axis if dim is None else dim, keep) for f in found]
    return results[0] if shares.ndim == 0 else stack(results)


def median(
    x: Any,
    axis: int | None = None,
    keepdims: bool = False,
    *,
    dim: int | None = None,
    keepdim: bool = False,
) -> Any:
    """The middle element, or the mean of the two in the middle, along an axis or of all, as NumPy.

    With ``dim=``, PyTorch's: the lower of the two in the middle, and where it is. NaN where
    there is a NaN.

    >>> import chainrule as cr
    >>> x = cr.tensor([[4.0, 1.0, 2.0, 3.0]])
    >>> cr.median(x), cr.median(x, dim=1).values, cr.median(x, dim=1).indices
    (tensor(2.5), tensor([2.]), tensor([2]))
    """
    if dim is None:
        return quantile(_floats(x), 0.5, axis, keepdims)
    tensor = as_tensor(x)
    along = normalize_axis(dim, tensor.ndim, "median")
    there = (tensor == tensor).sum(axis=along, keepdims=True)  # NaN, if one is there, comes after
    n = tensor.shape[along]
    place = e.where(there < n, there, (n - 1) // 2)
    parts = [take_along_axis(part, place, along) for part in sort(tensor, dim=dim)]
    return Middle(*(p if keepdim else s.squeeze(p, along) for p in parts))


def _floats(x: Any) -> Tensor:
    tensor = as_tensor(x)
    return tensor if dt.is_float(tensor.dtype) else tensor.float()


def _sorted(name: str, x: Any, axis: int | None) -> tuple[Tensor, int]:
    """The elements in ascending order along an axis, or all; and that axis. NaN where one is."""
    tensor = _floats(x)
    if axis is None:
        tensor, axis = tensor.reshape(-1), 0
    along = normalize_axis(axis, tensor.ndim, name)
    if tensor.shape[along] == 0:
        raise ShapeError(f"{name}: axis {along} of shape {tensor.shape} has no element")
    bad = e.isnan(tensor).any(axis=along, keepdims=True)
    return e.where(bad, float("nan"), tensor.sort(axis=along)), along


def _between(ordered: Tensor, place: float, along: int) -> Tensor:
    low = math.floor(place)
    share = place - low
    first = narrow(ordered, along, low, 1)
    if share == 0:
        return first
    second = narrow(ordered, along, low + 1, 1)
    apart = first * (1 - share) + second * share  # where one is infinite there is no way between
    found: Tensor = e.where(e.isfinite(second - first), e.lerp(first, second, share), apart)
    return found


def _kept(found: Tensor, along: int, x: Any, axis: int | None, keep: bool) -> Tensor:
    if axis is not None:
        return found if keep else s.squeeze(found, along)
    return found.reshape((1,) * as_tensor(x).ndim if keep else ())


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, …, max(x) is among the integers ``x`` of shape (n,), or the sum of
    their ``weights``; at least ``minlength`` numbers.

    >>> import chainrule as cr
    >>> cr.bincount([0, 2, 2]), cr.bincount([0, 2, 2], weights=[0.5, 1.0, 1.0])
    (tensor([1, 0, 2]), tensor([0.5, 0. , 2. ]))
    """
    tensor = as_tensor(x)
    if not dt.is_integer(tensor.dtype) or tensor.ndim != 1:
        raise DTypeError(
            f"bincount: integers of shape (n,) are expected, got {tensor.dtype}{list(tensor.shape)}"
        )
    array = array_of(tensor)
    if array.size and array.min() < 0:
        raise DataError(f"bincount: the integers are not negative, got {array.min()}")
    length = max(int(minlength), int(array.max()) + 1 if array.size else 0)
    if weights is None:
        return as_tensor(np.bincount(array, minlength=length).astype(np.int64))
    added = as_tensor(weights)
    if added.shape != tensor.shape:
        raise ShapeError(f"bincount: x has shape {tensor.shape}, weights {added.shape}")
    return index_add(make(g.expand(_zero(added), (length,))), 0, tensor, added)


def _zero(like: Tensor) -> Node:
    return g.constant(0, like.dtype)


def unique(
    x: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    *,
    sorted: bool = True,
) -> Any:
    """The different elements in ascending order, and as many of `unique_all`'s other answers as are
    asked for: a tuple, in the order of the arguments.

    >>> import chainrule as cr
    >>> cr.unique([5, 2, 5]), cr.unique([5, 2, 5], return_counts=True)
    (tensor([2, 5]), (tensor([2, 5]), tensor([1, 2])))
    """
    found = unique_all(x)
    wanted = (True, return_index, return_inverse, return_counts)
    parts = tuple(part for part, asked in zip(found, wanted, strict=True) if asked)
    return parts if len(parts) > 1 else parts[0]


def cdist(x1: Any, x2: Any, p: float = 2.0) -> Tensor:
    """Distances (Σ |aᵢ - bᵢ|ᵖ)^(1/p) of pairs of rows: (..., n, d) and (..., m, d) to (..., n, m).

    >>> import chainrule as cr
    >>> cr.cdist([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]])
    tensor([[5., 1.]])
    """
    a, b = as_tensor(x1), as_tensor(x2)
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-1]:
        raise ShapeError(
            f"cdist: rows of equal length are expected, got shapes {a.shape} and {b.shape}"
        )
    return norm(s.unsqueeze(a, -2) - s.unsqueeze(b, -3), p, axis=-1)


# -- the different elements, by the Array API's four names -----------------------------------------
class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Any) -> UniqueAll:
    """The different elements in ascending order; where each is first; for each element of ``x`` the
    number of its value; how often each value is there. NaN differs from NaN.

    >>> import chainrule as cr
    >>> found = cr.unique_all([5, 2, 5])
    >>> found.values, found.indices, found.inverse_indices, found.counts
    (tensor([2, 5]), tensor([1, 0]), tensor([1, 0, 1]), tensor([1, 2]))
    """
    array = array_of(as_tensor(x))
    _, first, inverse, counts = np.unique(
        array, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    where, number, count = (as_tensor(i.astype(np.int64)) for i in (first, inverse, counts))
    return UniqueAll(take(s.ravel(x), where), where, number.reshape(array.shape), count)


def unique_counts(x: Any) -> UniqueCounts:
    """The different elements in ascending order, and how often each is there.

    >>> import chainrule as cr
    >>> cr.unique_counts([5, 2, 5]).counts
    tensor([1, 2])
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Any) -> UniqueInverse:
    """The different elements in ascending order, and for each of ``x`` its value's number.

    >>> import chainrule as cr
    >>> cr.unique_inverse([5, 2, 5]).inverse_indices
    tensor([1, 0, 1])
    """
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)


def unique_values(x: Any) -> Tensor:
    """The different elements in ascending order.

    >>> import chainrule as cr
    >>> cr.unique_values([5, 2, 5])
    tensor([2, 5])
    """
    return unique_all(x).values
