"""Records: what tensors of a stack are in each of several epochs."""

from __future__ import annotations

import numpy as np

from ...core.node import Array
from ...tensor.value import Value
from .stack import Stack


class Record:
    """A tensor's rows of every seed in up to ``most`` epochs: (most, group, *shape) a group."""

    def __init__(self, stack: Stack, tensor: Value, most: int) -> None:
        self.stack, self.shape = stack, tensor.shape
        self.of_group = stack.memory_of(tensor, most)

    def read(self, count: int) -> Array:
        """The rows of the first ``count`` epochs, (count, R, *shape)."""
        shape = (count, self.stack.group, *self.shape)
        parts = [held[:count].reshape(shape) for held in self.of_group]
        whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return whole[:, : self.stack.seeds]

    def write(self, epoch: int, rows: Array) -> None:
        """Set the rows of an epoch, (R, *shape)."""
        size = self.stack.group
        for number, held in enumerate(self.of_group):
            part = rows[number * size : (number + 1) * size]
            own = held.reshape(len(held), size, *self.shape)[epoch]
            own[: len(part)], own[len(part) :] = part, rows[:1]

    def rows_at(self, epochs: Array, seeds: Array) -> Array:
        """The rows of some seeds (by their places), each of an epoch of its own."""
        size = self.stack.group
        found = np.empty((len(seeds), *self.shape), self.of_group[0].dtype)
        for number, held in enumerate(self.of_group):
            here = np.flatnonzero(seeds // size == number)
            if len(here):
                rows = held.reshape(len(held), size, *self.shape)
                found[here] = rows[epochs[here], seeds[here] % size]
        return found
