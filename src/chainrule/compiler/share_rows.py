"""Results of a loop that lie where what it reads lay.

A loop reads a row of each stacked array and writes a row of each result. Where an array is not
needed behind the loop, and its row is read before the row of a result is written, the result takes
its place: what a loop keeps of each step for the loop backwards lies in its input, and a gradient
in what was kept.

A result whose rows are as long takes the place as a whole. Shorter ones lie side by side, if only
loops read them: their rows are further apart than they are long.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .loops import Buffer, Kernel, Repeat, kernel_of
from .place import Placed, moved


def share_rows(placed: Placed) -> Placed:
    """The buffers and kernels, with fewer temporaries."""
    if not any(isinstance(k.body, Repeat) for k in placed.kernels):
        return placed
    sharing = _Sharing(placed.buffers, placed.kernels)
    for n, kernel in enumerate(placed.kernels):
        if isinstance(kernel.body, Repeat):
            sharing.within(n, kernel.body)
    return sharing.placed()


@dataclass(frozen=True)
class _Home:
    """Where a result lies: in the rows of a buffer, from this byte of each on."""

    buffer: int
    offset: int
    stride: int


class _Sharing:
    def __init__(self, buffers: Sequence[Buffer], kernels: Sequence[Kernel]) -> None:
        self.buffers, self.kernels = buffers, kernels
        self.homes: dict[int, _Home] = {}
        self.touched: dict[int, list[int]] = {}  # the kernels that touch a temporary, in order
        for n, k in enumerate(kernels):
            for b in k.reads | k.writes:
                if buffers[b].kind == "temporary":
                    self.touched.setdefault(b, []).append(n)

    def within(self, n: int, loop: Repeat) -> None:
        """Let results of loop ``n`` take the place of what it reads for the last time."""
        parents = dict.fromkeys(b.parent for p in loop.places if (b := self.buffers[p]).steps)
        there = [b for b in dict.fromkeys(map(self._home, parents)) if b in self.touched]
        over = [b for b in there if self.touched[b][0] < n == self.touched[b][-1]]
        new = [b for b in there if self.touched[b][0] == n and self._by_rows(b, n)]
        for buffer in over:
            if self._by_rows(buffer, n):
                self._fill(buffer, sorted(new, key=lambda b: -self.buffers[b].nbytes), n, loop)
                new = [b for b in new if b not in self.homes]

    def _fill(self, buffer: int, results: Sequence[int], n: int, loop: Repeat) -> None:
        """Put as many results as there is room for into the rows of a buffer."""
        row, used = self.buffers[buffer].nbytes // loop.times, 0
        read = max(level for level, k in _levels(loop) if self._among(k.reads, buffer, loop))
        for b in results:
            size, align = self.buffers[b].nbytes // loop.times, self.buffers[b].dtype.itemsize
            offset = -(-used // align) * align
            written = min(level for level, k in _levels(loop) if self._among(k.writes, b, loop))
            fits = offset + size <= row and row % align == 0 and read < written
            if fits and (size == row or all(self._by_rows(b, i) for i in self.touched[b])):
                self.homes[b] = _Home(buffer, offset, row)
                self.touched[buffer] = sorted({*self.touched[buffer], *self.touched[b]})
                used = offset + size

    def _home(self, buffer: int) -> int:
        return self.homes[buffer].buffer if buffer in self.homes else buffer

    def _among(self, numbers: frozenset[int], buffer: int, loop: Repeat) -> bool:
        """Whether buffers of the loop's program are rows of this one."""
        return any(self._home(self.buffers[loop.places[b]].parent) == buffer for b in numbers)

    def _by_rows(self, buffer: int, n: int) -> bool:
        """Whether kernel ``n`` is a loop that touches the buffer, a row an iteration."""
        loop = self.kernels[n].body
        if not isinstance(loop, Repeat) or any(self._home(p) == buffer for p in loop.places):
            return False
        for part in (self.buffers[p] for p in loop.places):
            if self._home(part.parent) == buffer:
                size, step = self.buffers[part.parent].nbytes, abs(part.steps[0])
                stride = self.homes[part.parent].stride if part.parent in self.homes else step
                if step * loop.times != size or stride * loop.times != self.buffers[buffer].nbytes:
                    return False
        return True

    # -- the result --------------------------------------------------------------------------------
    def placed(self) -> Placed:
        """Everything, with results where they lie now."""
        buffers = [self._moved(n, b) for n, b in enumerate(self.buffers)]
        return Placed(buffers, [self._renamed(k) for k in self.kernels])

    def _moved(self, n: int, b: Buffer) -> Buffer:
        if n in self.homes:  # nothing is left there
            return Buffer("temporary", (0,), np.dtype(np.uint8), offset=0)
        home = self.homes.get(b.parent)
        if home is None:
            return b
        row, within = divmod(b.offset, abs(b.steps[0]))
        step = home.stride if b.steps[0] > 0 else -home.stride
        offset = row * home.stride + home.offset + within
        return replace(b, parent=home.buffer, offset=offset, steps=(step, *b.steps[1:]))

    def _renamed(self, k: Kernel) -> Kernel:
        if not self.homes.keys() & (k.reads | k.writes):
            return k
        if not isinstance(k.body, Repeat):
            return replace(kernel_of(k.name, moved(k.body, _Names(self))), beside=k.beside)
        reads, writes = (frozenset(map(self._home, x)) for x in (k.reads, k.writes))
        places = [self._home(p) for p in k.body.places]
        return kernel_of(k.name, replace(k.body, places=places, reads=reads, writes=writes))


class _Names(dict[int, list[int]]):
    """Of each buffer: the one where it lies."""

    def __init__(self, sharing: _Sharing) -> None:
        self.sharing = sharing

    def __missing__(self, buffer: int) -> list[int]:
        return [self.sharing._home(buffer)]


def _levels(loop: Repeat) -> list[tuple[int, Kernel]]:
    return list(zip(loop.program.levels, loop.program.kernels, strict=True))
