"""When kernels run, and which temporaries share memory: one arena, planned from lifetimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..core.host.memory import whole_lines
from .levels import in_levels
from .loops import Buffer, Kernel, LoopProgram
from .place import Placed


def order(placed: Placed) -> LoopProgram:
    """The program: kernels by level, the longest of a level first."""
    found, at = in_levels(placed.kernels)
    turn = sorted(range(len(found)), key=lambda i: (at[i], -found[i].flops))
    kernels, levels = [found[i] for i in turn], [at[i] for i in turn]
    buffers, arena_bytes = _arena(placed.buffers, kernels, levels)
    return LoopProgram(buffers, kernels, levels, arena_bytes)


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
        size = whole_lines(max(buffers[b].nbytes, 1))
        offset = 0
        for start, end, f, l_ in sorted(taken):
            if f <= last and first <= l_ and start < offset + size and offset < end:
                offset = end
        taken.append((offset, offset + size, first, last))
        found[b] = replace(buffers[b], offset=offset)
        arena_bytes = max(arena_bytes, offset + size)
    return found, arena_bytes
