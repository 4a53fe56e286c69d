"""Where the values of a loop's program lie in the program around it.

A carry is the state of the loop's program: a buffer that holds the first value when the loop
begins, and the last when it ends. What is stacked is read and written where its row lies: a *part*
of a buffer outside, which moves on with every iteration. The loop's temporaries are parts of one
temporary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .loops import Buffer, Repeat


def placed_loop(loop: Repeat, places: Mapping[int, Sequence[int]], buffers: list[Buffer]) -> Repeat:
    """The loop with the buffers of its program among those outside, where they are added."""
    inside = _Inside(loop, places, buffers)
    found = [inside.place(b) for b in loop.program.buffers]

    def outside(numbers: frozenset[int]) -> set[int]:
        at = {found[n] for n in numbers}
        return {buffers[n].parent if buffers[n].kind == "part" else n for n in at}

    kernels = loop.program.kernels
    reads = frozenset[int]().union(*(outside(k.reads) for k in kernels))
    writes = frozenset[int]().union(*(outside(k.writes) for k in kernels))
    return replace(loop, places=found, reads=reads, writes=writes)


class _Inside:
    def __init__(
        self, loop: Repeat, places: Mapping[int, Sequence[int]], buffers: list[Buffer]
    ) -> None:
        self.loop, self.places, self.buffers = loop, places, buffers
        self.found: list[int] = []
        self.arena = -1
        if loop.program.arena_bytes:
            shape = (loop.program.arena_bytes,)
            self.arena = self._add(Buffer("temporary", shape, np.dtype(np.uint8)))

    def _add(self, buffer: Buffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def place(self, b: Buffer) -> int:
        """The number outside of one of the program's buffers; they come in order."""
        self.found.append(self._place(b))
        return self.found[-1]

    def _place(self, b: Buffer) -> int:
        loop = self.loop
        match b.kind:
            case "input":
                outside = self.places[loop.inputs[b.number]][0]
                return self._row(outside, b) if b.number < loop.stacked else outside
            case "state":
                return self.places[loop.carries[b.number]][0]
            case "output":
                return self._row(self.places[loop.results[b.number]][0], b)
            case "temporary" if self.arena >= 0:
                return self._part(self.arena, b, b.offset, (0,))
            case "part":
                return self._inner_part(b, self.found[b.parent])
        return self._add(b)  # a constant, or what has no elements

    def _part(self, parent: int, b: Buffer, offset: int, steps: tuple[int, ...]) -> int:
        part = replace(b, kind="part", number=-1, offset=offset, parent=parent, steps=steps)
        return self._add(part)

    def _row(self, parent: int, b: Buffer) -> int:
        """The row of a stacked array that an iteration reads or writes."""
        last = (self.loop.times - 1) * b.nbytes
        if self.loop.reverse:
            return self._part(parent, b, last, (-b.nbytes,))
        return self._part(parent, b, 0, (b.nbytes,))

    def _inner_part(self, b: Buffer, number: int) -> int:
        """A part that a loop within this one reads or writes: a part of what its parent is a part
        of."""
        parent = self.buffers[number]
        if parent.kind != "part":
            return self._part(number, b, b.offset, (0, *b.steps))
        return self._part(parent.parent, b, parent.offset + b.offset, (*parent.steps, *b.steps))
