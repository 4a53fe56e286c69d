"""Cursor: which rows of a data set the next batch has.

Row i of batch b is shuffle(b·B + i), a permutation of range(N) that is a function of (seed, epoch)
and needs no table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...core import dtypes as dt
from ...core import graph as g
from ...core.counter_random import philox
from ...core.node import Array
from ...tensor.tensor import Tensor
from ...tensor.value import make, stored, use
from ..kept import write_array
from ..rows.by_length import ByLength

ORDERS = 128
"""Epochs whose orders are computed at once, at least."""


def order_keys(seeds: Sequence[int], epochs: Array) -> Array:
    """The keys of the orders of the rows, (n, 2), in ``epochs`` (n,) of ``seeds``."""
    low, high = (np.array([s >> bits & 0xFFFFFFFF for s in seeds], np.uint32) for bits in (0, 32))
    return np.stack(philox(epochs.astype(np.uint32), low, high), axis=-1)


class Cursor:
    """Where a pass over a data set is: the next row, and the key of the order."""

    def __init__(self) -> None:
        self.position = stored(np.zeros((), np.uint32))
        self.order = stored(np.zeros(2, np.uint32))
        self.by_length: ByLength | None = None
        self._known: tuple[int, int, Array] = 0, 0, np.zeros((0, 2), np.uint32)

    def start(self, seed: int = 0, epoch: int = 0) -> None:
        """Go to the first row, in the order of (seed, epoch)."""
        write_array(self.position, np.zeros((), np.uint32))
        self.arrange(seed, epoch)

    def arrange(self, seed: int, epoch: int) -> None:
        """Take the order of (seed, epoch), at the row where it is."""
        write_array(self.order, self.orders(seed, epoch, 1)[0])
        if self.by_length is not None:
            self.by_length.arrange(seed, epoch)

    def orders(self, seed: int, first: int, count: int) -> Array:
        """The keys of the orders of so many epochs, (count, 2). Many are computed at once."""
        of, begin, table = self._known
        if of != seed or not begin <= first <= first + count <= begin + len(table):
            epochs = np.arange(first, first + max(count, ORDERS))
            self._known = seed, first, order_keys([seed], epochs)
            return self.orders(seed, first, count)
        return table[first - begin : first - begin + count]

    def rows(self, count: int, total: int, order: bool | Tensor) -> Any:
        """The row numbers of the next batch (a node), and the step to the batch after it.
        ``order``: see `Dataset.order`."""
        here = self.position.node
        index = g.add(g.expand(here, (count,)), g.iota((count,), 0, dt.uint32))
        self.position.assign(make(g.add(here, g.constant(count, dt.uint32))))
        if isinstance(order, Tensor):
            return g.gather(use(order), index)
        return g.shuffle(index, self.order.node, total) if order else index
