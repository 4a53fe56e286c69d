"""The different elements of a tensor (needs the values), by the Array API's four names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..value import Tensor, array_of, as_tensor
from .index import take
from .shape import ravel

# fmt: off
__all__ = [  # what `chainrule` offers
    "unique_all", "unique_counts", "unique_inverse", "unique_values",
]
# fmt: on


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
    return UniqueAll(take(ravel(x), where), where, number.reshape(array.shape), count)


def unique_counts(x: Any) -> UniqueCounts:
    """The different elements in ascending order, and how often each is there.

    >>> import chainrule as cr
    >>> cr.unique_counts([5, 2, 5]).counts
    tensor([1, 2])
    """
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


def unique_inverse(x: Any) -> UniqueInverse:
    """The different elements in ascending order, and for each element of ``x`` the number of its
    value.

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
