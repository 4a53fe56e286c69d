"""Stack: the numbers that tensors of one trainer have for every seed, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.host.memory import aligned
from ...core.node import Array
from ...tensor.value import Value
from ..kept import write_array


class Stack:
    """An array (P, *shape) for each tensor: a row for each of R seeds.

    In groups of ``group`` seeds that are trained together; behind the last seed there are copies of
    the first, so that all groups are whole.
    """

    def __init__(self, seeds: int) -> None:
        self.seeds, self.group = seeds, seeds
        self._arrays: dict[int, Array] = {}
        self._tensors: dict[int, Value] = {}
        self._views: dict[tuple[int, int], Array] = {}
        self._memory: dict[int, list[Array]] = {}

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return -(-self.seeds // self.group)

    def regroup(self, most: int) -> None:
        """Groups of at most ``most`` seeds, as equal as they can be."""
        count = -(-self.seeds // max(most, 1))
        self.group = -(-self.seeds // count)
        self._arrays = {k: self._padded(a[: self.seeds]) for k, a in self._arrays.items()}
        self._views.clear()
        self._memory.clear()

    @property
    def lead(self) -> tuple[int, ...]:
        """The axis that the tensors of a group have before their own."""
        return () if self.group == 1 else (self.group,)

    def _padded(self, rows: Array) -> Array:
        more = self.groups * self.group - self.seeds
        return aligned(np.concatenate([rows, np.repeat(rows[:1], more, axis=0)]) if more else rows)

    def __contains__(self, tensor: Value) -> bool:
        return id(tensor) in self._arrays

    def add(self, tensor: Value) -> None:
        """Have rows for a tensor: its numbers, for every seed, unless it has some."""
        if tensor not in self:
            self.put(tensor, np.repeat(tensor._read()[None], self.seeds, axis=0))

    def put(self, tensor: Value, rows: Array) -> None:
        """Set the rows of a tensor, (R, *shape)."""
        rows = np.asarray(rows, tensor.dtype)
        assert rows.shape == (self.seeds, *tensor.shape), (rows.shape, tensor.shape)
        self._tensors[id(tensor)] = tensor
        if tensor in self:
            held = self._arrays[id(tensor)]
            held[: self.seeds] = rows
            held[self.seeds :] = rows[:1]
        else:
            self._arrays[id(tensor)] = self._padded(rows)

    def fill(self, tensor: Value, row: Array) -> None:
        """The same numbers for every seed."""
        if tensor in self:
            self._arrays[id(tensor)][...] = row
        else:
            self.put(tensor, np.repeat(np.asarray(row)[None], self.seeds, axis=0))

    def rows(self, tensor: Value) -> Array:
        """The rows of a tensor, (R, *shape): a view."""
        return self._arrays[id(tensor)][: self.seeds]

    def of_group(self, tensor: Value, number: int) -> Array:
        """The rows of a group, (group, *shape), or of its only seed: a view, always the same."""
        key = id(tensor), number
        if key not in self._views:
            first = number * self.group
            found = self._arrays[id(tensor)][first : first + self.group]
            self._views[key] = found.reshape((*self.lead, *tensor.shape))
        return self._views[key]

    def memory_of(self, tensor: Value, most: int) -> list[Array]:
        """Arrays (most, group, *shape) for each group, to be written to.

        Those of the last time, where they fit: fresh pages take longer than the numbers.
        """
        shape, held = (most, *self.lead, *tensor.shape), self._memory.get(id(tensor))
        if held is None or (held[0].shape, held[0].dtype) != (shape, tensor.dtype):
            held = [np.empty(shape, tensor.dtype) for _ in range(self.groups)]
            self._memory[id(tensor)] = held
        return held

    def take(self, tensors: Mapping[str, Value], seed: int) -> None:
        """Give tensors the numbers of a seed (by its place)."""
        for tensor in tensors.values():
            if tensor in self:
                write_array(tensor, self.rows(tensor)[seed])
