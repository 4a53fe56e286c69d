"""Packing: copies a strip of a matrix into the order in which the micro-kernel reads it.

    destination[k * width + j] = source[k * k_stride + j * j_stride]   j < count, zero up to width

Three ways, by the source's layout: vectors copied (unit stride along j), vectors transposed in
registers (unit stride along k), elements gathered (neither). Nothing outside the strip is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ....llvm.builder import Function, Value, const, i64, vector
from ....llvm.types import SCALAR_OF_DTYPE, SIZE_OF_SCALAR
from ...schedule.panels import Panel

Steps = tuple[Value | int, Value | int]


class Source(NamedTuple):
    """Element (k, j) lies at ``start + k * k_stride + j * j_stride`` from ``pointer``; with
    ``table``, at ``start + j * j_stride`` from the address that ``pointer`` has for k."""

    pointer: Value
    start: Value
    k_stride: int
    j_stride: int
    table: bool = False


def pack(
    f: Function,
    dtype: str,
    source: Source,
    destination: Value,
    steps: Steps,
    panel: Panel,
    width: int,
) -> None:
    """Pack rows ``steps[0] .. steps[1]`` of ``panel.count`` elements; lanes past them become zero.

    The steps are literals where the source is contiguous along k.
    """
    scalar = SCALAR_OF_DTYPE[dtype]
    block = 16 // SIZE_OF_SCALAR[scalar]
    # the transpose is written for 32- and 64-bit elements
    contiguous = block <= 4 and source.k_stride == 1 and not source.table
    contiguous = contiguous and all(v.lanes % block == 0 for v in panel.vectors)
    if contiguous and source.j_stride != 1 and steps[0] == 0 and isinstance(steps[1], int):
        at = f.gep(source.pointer, source.start, scalar)
        transpose(f, scalar, at, destination, steps[1], panel, source.j_stride, width)
    else:
        copy(f, scalar, source, destination, steps, panel, width)


def copy(
    f: Function,
    scalar: str,
    source: Source,
    destination: Value,
    steps: Steps,
    panel: Panel,
    width: int,
) -> None:
    """Vector by vector where the source is contiguous along j, else element by element."""
    stride = source.j_stride
    with f.for_range(*steps, hint="k") as k:
        if source.table:
            row = f.load("ptr", f.gep(source.pointer, k, "ptr"))
        else:
            row = f.gep(source.pointer, f.mul(k, i64(source.k_stride)), scalar)
        row = f.gep(row, source.start, scalar)
        packed = f.gep(destination, f.mul(k, i64(width)), scalar)
        for v in panel.vectors:
            pointer = f.gep(row, v.offset * stride, scalar)
            values = strided_load(f, scalar, pointer, v.lanes, v.count, stride)
            f.store(values, f.gep(packed, v.offset, scalar))


def pack_together(
    f: Function,
    scalar: str,
    source: Source,
    destination: Value,
    steps: int,
    panel: Panel,
    together: int,
) -> None:
    """The one vector of a panel, ``together`` steps of k side by side for each column; steps that
    are left over have zeros beside them."""
    (v,) = panel.vectors
    lanes = v.lanes * together
    whole, rest = divmod(steps, together)

    def place(k: Value, at: Value, count: int) -> None:
        values = const(vector(scalar, lanes), 0)
        for i in range(count):
            row = f.gep(source.pointer, f.mul(f.add(k, i64(i)), i64(source.k_stride)), scalar)
            for j in range(v.count):
                element = f.load(scalar, f.gep(row, j * source.j_stride, scalar))
                values = f.insert(values, element, j * together + i)
        f.store(values, f.gep(destination, f.mul(at, i64(lanes)), scalar))

    with f.for_range(0, whole, hint="k") as k:
        place(f.mul(k, i64(together)), k, together)
    for i in range(rest):
        place(i64(whole * together + i), i64(whole + i), 1)


def strided_load(
    f: Function, scalar: str, pointer: Value, lanes: int, count: int, stride: int
) -> Value:
    """A vector of ``count`` elements ``stride`` apart and zeros."""
    if stride == 1:
        return f.load_first(vector(scalar, lanes), pointer, count)
    if lanes == 1:
        return f.load(scalar, pointer)
    values = const(vector(scalar, lanes), 0)
    for lane in range(count):
        values = f.insert(values, f.load(scalar, f.gep(pointer, lane * stride, scalar)), lane)
    return values


def transpose(
    f: Function,
    scalar: str,
    source: Value,
    destination: Value,
    steps: int,
    panel: Panel,
    j_stride: int,
    width: int,
) -> None:
    """The source is contiguous along k: square blocks of 128 bits are turned in registers.

    A destination vector is made of 128-bit groups. Loading into group g of register c the elements
    k..k+D of source row D g + c leaves only D x D transposes *inside* the groups (D = 4 for 32
    bits): two shuffles for each vector written, and none that crosses groups.
    """
    block = 16 // SIZE_OF_SCALAR[scalar]
    whole, rest = divmod(steps, block)

    def step(
        k: Value, rows: Value, column: Value | int, lanes: int, count: int, present: int
    ) -> None:
        at = f.gep(rows, k, scalar)
        packed = f.gep(f.gep(destination, f.mul(k, i64(width)), scalar), column, scalar)
        registers = []
        for first in range(block):
            pieces: list[Value | None] = []
            for row in range(first, lanes, block):
                pointer = f.gep(at, row * j_stride, scalar) if row < count else at
                type_ = vector(scalar, block)
                pieces.append(f.load_first(type_, pointer, present) if row < count else None)
            registers.append(_concatenate(f, vector(scalar, block), pieces))
        for i, values in enumerate(_turn_groups(f, registers, block)[:present]):
            f.store(values, f.gep(packed, i * width, scalar))

    def strip(column: Value | int, lanes: int, count: int) -> None:
        """One vector of columns for all k: its few source rows are followed along their cache
        lines."""
        at = f.mul(column, i64(j_stride)) if isinstance(column, Value) else column * j_stride
        rows = f.gep(source, at, scalar)
        with f.for_range(0, whole * block, block, hint="k") as k:
            step(k, rows, column, lanes, count, block)
        if rest:
            step(i64(whole * block), rows, column, lanes, count, rest)

    equal = [v for v in panel.vectors if v.count == v.lanes == panel.vectors[0].lanes]
    if len(equal) > 1:
        with f.for_range(0, len(equal) * equal[0].lanes, equal[0].lanes, hint="j") as j:
            strip(j, equal[0].lanes, equal[0].lanes)
    for v in panel.vectors[0 if len(equal) <= 1 else len(equal) :]:
        strip(v.offset, v.lanes, v.count)


def _concatenate(f: Function, type_: str, pieces: Sequence[Value | None]) -> Value:
    """Pieces of one type side by side; None is zeros."""
    parts = [const(type_, 0) if p is None else p for p in pieces]
    while len(parts) > 1:
        mask = range(2 * parts[0].lanes)
        parts = [f.shuffle(a, b, list(mask)) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


def _turn_groups(f: Function, rows: Sequence[Value], block: int) -> list[Value]:
    """Transpose the block x block matrix that each 128-bit group of ``rows`` holds."""
    lanes = rows[0].lanes

    def interleave(a: Value, b: Value, size: int, high: int) -> Value:
        """Alternate runs of ``size`` lanes from the low (high) half of each group of a and of b."""
        mask = []
        for group in range(0, lanes, block):
            for run in range(group + high * block // 2, group + (high + 1) * block // 2, size):
                mask += [*range(run, run + size), *range(lanes + run, lanes + run + size)]
        return f.shuffle(a, b, mask)

    if block == 2:
        return [interleave(rows[0], rows[1], 1, high) for high in (0, 1)]
    assert block == 4, block
    low, high = ([interleave(rows[i], rows[i + 1], 1, h) for i in (0, 2)] for h in (0, 1))
    return [interleave(a, b, 2, h) for a, b in (low, high) for h in (0, 1)]
