"""Kept: copies of tensors, to be put back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..core.node import Array
from ..tensor.value import Value


def write_array(tensor: Value, array: Array) -> None:
    """Overwrite the numbers of a tensor; expressions made before keep theirs."""
    np.copyto(tensor._storage_for_update(), array)


class Kept:
    """Copies of some tensors. As a context, they are put back at its end, whatever happens.

    >>> import chainrule as cr
    >>> from chainrule.train.kept import Kept, write_array
    >>> weight = cr.tensor([1.0, 2.0])
    >>> with Kept([weight]):
    ...     write_array(weight, [5.0, 5.0])
    >>> weight
    tensor([1., 2.])
    """

    def __init__(self, tensors: Iterable[Value], memory: Mapping[int, Array] | None = None) -> None:
        """Copy them, each once; over the numbers of an earlier copy, where its `memory` is given:
        fresh pages take longer than the numbers."""
        unique = {id(t): t for t in tensors}.values()
        places = memory or {}
        self.arrays = [(t, _copied(t._read(), places.get(id(t)))) for t in unique]

    @property
    def memory(self) -> dict[int, Array]:
        """The arrays, by the identities of their tensors, for a later copy."""
        return {id(tensor): array for tensor, array in self.arrays}

    @property
    def tensors(self) -> list[Value]:
        """Of which these are copies."""
        return [tensor for tensor, _ in self.arrays]

    def put_back(self) -> None:
        """Overwrite the tensors with their copies."""
        for tensor, array in self.arrays:
            write_array(tensor, array)

    def __enter__(self) -> Kept:
        return self

    def __exit__(self, *error: object) -> None:
        self.put_back()


def _copied(array: Array, place: Array | None) -> Array:
    if place is None or (place.shape, place.dtype) != (array.shape, array.dtype):
        return np.array(array)
    np.copyto(place, array)
    return place
