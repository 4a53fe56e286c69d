"""Kept: copies of tensors, to be put back."""

from __future__ import annotations

from collections.abc import Iterable

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

    def __init__(self, tensors: Iterable[Value]) -> None:
        """Copy them, each once."""
        unique = {id(t): t for t in tensors}.values()
        self.arrays = [(t, np.array(t._read())) for t in unique]

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
