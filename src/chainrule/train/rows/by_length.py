"""Batches of sequences of similar length, so that little of a batch is padding.

Each row is of a group, and a group's sequences are cut to the length of its longest one. In each
epoch the rows of a group are put in another order, a function of (seed, epoch), and all rows are
cut into batches, group after group. The batches come in an order that is a function of the seed: in
all epochs alike, so that many of them are one native run. A group is a program of its own, so there
are few, each of which saves enough.
"""

from __future__ import annotations

import numpy as np

from ...core.counter_random import philox
from ...core.node import Array
from ...tensor.value import stored

MOST_GROUPS = 8
"""Groups of lengths, at most: a program is compiled for each."""
WORTH = 0.05
"""The share of all steps (of sequences and of padding) that one more group must save."""
CANDIDATES = 64
"""The lengths among which those of the groups are chosen, at most."""


class ByLength:
    """The order of one epoch: ``rows`` (N,), a tensor, and the length of each batch."""

    def __init__(self, lengths: Array, batch: int) -> None:
        self.batch = batch
        self.edges = group_edges(lengths, batch)
        self._group = np.searchsorted(self.edges, lengths)
        self.lengths: Array = np.empty(0, np.int64)
        self.rows = stored(self._order(np.arange(len(lengths)), np.arange(len(lengths) // batch)))

    def arrange(self, seed: int, epoch: int) -> None:
        """Put everything in the order of (seed, epoch)."""
        np.copyto(self.rows._storage_for_update(), self.order(seed, epoch))

    def order(self, seed: int, epoch: int) -> Array:
        """The rows in the order of (seed, epoch), uint32 (N,); ``lengths`` follow from ``seed``."""
        count, low, high = len(self._group), seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
        of_seed, of_epoch = (philox(n, low, high)[0] for n in (0, epoch + 1))
        places = np.arange(count, dtype=np.uint32)
        turns = philox(places[: count // self.batch], of_seed, high)[0]
        return self._order(philox(places, of_epoch, high)[0], np.argsort(turns, kind="stable"))

    def _order(self, words: Array, batches: Array) -> Array:
        """Rows of a group in the order of their ``words``, those left over in the last batch.

        Full batches in the order ``batches``, where those of the shortest are first.
        """
        rows = np.lexsort((words, self._group)).astype(np.uint32)
        left = len(rows) - len(batches) * self.batch
        order = rows[: len(rows) - left].reshape(-1, self.batch)
        longest = [*self._group[order[batches, -1]], *self._group[rows[-1:]][: left > 0]]
        self.lengths = self.edges[longest]
        return np.concatenate([order[batches].ravel(), rows[len(rows) - left :]])

    def alike(self, batch: int) -> int:
        """How many batches from this one on have its length."""
        other = np.flatnonzero(self.lengths[batch:] != self.lengths[batch])
        return int(other[0]) if len(other) else len(self.lengths) - batch


def group_edges(lengths: Array, batch: int) -> Array:
    """The longest length of each group, ascending: those with the least padding in all."""
    lengths = np.sort(lengths)
    quantiles = np.linspace(0, len(lengths) - 1, CANDIDATES + 1)[1:]
    found = np.unique(lengths[np.ceil(quantiles).astype(np.int64)])
    until = np.searchsorted(lengths, found, side="right")  # how many are no longer
    # The fewest steps for all up to each candidate, with as many groups as there have been rounds.
    best = np.where(until >= batch, until * found.astype(np.float64), np.inf)
    cuts: list[Array] = []
    chosen, total = found[-1:], best[-1]
    for _ in range(MOST_GROUPS - 1):
        rows = until[None, :] - until[:, None]  # of a group from behind i up to j
        steps = best[:, None] + rows * found[None, :]
        steps[rows < batch] = np.inf
        cuts.append(steps.argmin(0))
        best = np.where(until >= batch, steps.min(0), np.inf)
        if not best[-1] < total - WORTH * until[-1] * found[-1]:
            break
        total, at, edges = best[-1], len(found) - 1, []
        for cut in reversed(cuts):
            edges.append(found[at])
            at = cut[at]
        chosen = np.array([found[at], *reversed(edges)])
    return chosen
