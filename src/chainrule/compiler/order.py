"""When kernels run, and which temporaries share memory.

Kernels of one level need no barrier between them. Temporary buffers share one arena, planned from
their lifetimes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .loops import Buffer, Kernel, LoopProgram
from .place import Placed

ALIGN = 64


def order(placed: Placed) -> LoopProgram:
    """The program: kernels by level, the longest of a level first."""
    found = _levels(placed.kernels)
    turn = sorted(range(len(placed.kernels)), key=lambda i: (found[i], -placed.kernels[i].flops))
    kernels, levels = [placed.kernels[i] for i in turn], [found[i] for i in turn]
    buffers, arena_bytes = _arena(placed.buffers, kernels, levels)
    return LoopProgram(buffers, kernels, levels, arena_bytes)


def _levels(kernels: Sequence[Kernel]) -> list[int]:
    """Each kernel's level: after all that it must wait for."""
    levels: list[int] = []
    last_write: dict[int, int] = {}
    last_read: dict[int, int] = {}
    beside: dict[int, tuple[int, int]] = {}  # the kernels that write now, and the write before them
    for k in kernels:
        level = 0
        for b in k.reads:
            level = max(level, last_write.get(b, -1) + 1)
        for b in k.writes:
            if k.beside < 0 or beside.get(b, (-1, -1))[0] != k.beside:
                beside[b] = (k.beside, last_write.get(b, -1))
            level = max(level, beside[b][1] + 1, last_read.get(b, -1) + 1)
        levels.append(level)
        for b in k.reads:
            last_read[b] = max(last_read.get(b, -1), level)
        for b in k.writes:
            last_write[b] = max(last_write.get(b, -1), level)
    return levels


def _arena(
    buffers: Sequence[Buffer], kernels: Sequence[Kernel], levels: Sequence[int]
) -> tuple[list[Buffer], int]:
    """The buffers with offsets for the temporaries (first fit among those alive at the same time),
    and how many bytes that takes."""
    alive: dict[int, tuple[int, int]] = {}
    for kernel, level in zip(kernels, levels, strict=True):
        for b in kernel.reads | kernel.writes:
            if buffers[b].kind == "temporary":
                first, last = alive.get(b, (level, level))
                alive[b] = (min(first, level), max(last, level))
    found = [replace(b, offset=0) if b.kind == "temporary" else b for b in buffers]  # if empty
    arena_bytes = 0
    taken: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    for b in sorted(alive, key=lambda b: -buffers[b].nbytes):
        first, last = alive[b]
        size = -(-max(buffers[b].nbytes, 1) // ALIGN) * ALIGN
        offset = 0
        for start, end, f, l_ in sorted(taken):
            if f <= last and first <= l_ and start < offset + size and offset < end:
                offset = end
        taken.append((offset, offset + size, first, last))
        found[b] = replace(buffers[b], offset=offset)
        arena_bytes = max(arena_bytes, offset + size)
    return found, arena_bytes
