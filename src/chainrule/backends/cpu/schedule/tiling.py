"""How a contraction is cut: tiles, panels, what is packed, who takes which part; all as data.

The output is cut into *tiles* of rows (as many as the register tile holds, balanced) and *panels*
of columns (a few vectors). Which is a function of the contraction and the target only.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from ..machine.target import Target
from .contraction import Contraction, batches
from .panels import Panel, panel_of

FEWEST_SHARED = 12  # tiles: with fewer, whole tiles are no fair shares
PACKED_A_LIMIT = 8 << 20  # bytes of a packed at once
PAGE = 4096  # bytes after which addresses fall into the same set of the first cache
WAYS = 8  # lines a set of it holds at least
KEPT_B_LIMIT = 2 << 20  # bytes of all packed panels of b, kept for every piece of rows
SHARED_FLOPS = 1_500_000  # of a contraction whose threads take work from each other


class Plan(NamedTuple):
    """How a contraction is cut; a function of the contraction and the target only."""

    rows: int  # of the taller tiles; the others have one less
    tall: int  # how many tiles are tall: they come first
    tiles: int
    full: Panel | None
    panels: int  # full panels
    rest: Panel | None  # the columns after them
    group: int  # panels that share a pass over the tiles
    block: int  # tiles whose rows of a are packed at once
    pack_a: bool
    pack_b: bool
    strip: int  # elements to a step of k in a packed tile of a
    by_rows: bool  # each thread takes some tiles and all groups, instead of some of both
    keeps_b: bool  # all groups of panels stay packed
    shared: bool  # threads take work from each other

    @property
    def blocks(self) -> int:
        return -(-self.tiles // self.block)

    @property
    def groups(self) -> int:
        return -(-(self.panels + (self.rest is not None)) // self.group)

    @property
    def width(self) -> int:
        return max(p.width for p in (self.full, self.rest) if p is not None)

    def weight(self, group: int) -> int:
        """Work of a group, in vectors of columns."""
        full = min(self.panels - group * self.group, self.group)
        vectors = full * len(self.full.vectors) if self.full else 0
        return vectors + (len(self.rest.vectors) if self.rest and group == self.groups - 1 else 0)


def _is_read_slowly(c: Contraction, rows: int, panels: int) -> bool:
    """Whether reading a as it lies, once a panel, takes longer than packing it. (Packing all else,
    too, made a step of a GPT 8 % slower and one of an LSTM of 256 units 4 %.)"""
    if c.a.col_stride == 1:  # rows that fall into few sets of the first cache, and do not fit there
        row_bytes = abs(c.a.row_stride) * c.itemsize
        in_a_set = -(-rows // (PAGE // math.gcd(row_bytes, PAGE))) if row_bytes else 0
        return row_bytes % 1024 == 0 and in_a_set > WAYS and panels > 8
    step_bytes = abs(c.a.col_stride) * c.itemsize
    # The micro-kernel asks ahead for what is not too far away.
    near = c.a.row_stride == 1 and step_bytes <= 2048 and panels <= 16 and c.n >= 32
    return c.k * step_bytes > 1 << 16 and not near


@functools.lru_cache(maxsize=1024)
def plan_of(c: Contraction, target: Target, tallest: int = 14) -> Plan:
    """Choose tiles, of ``tallest`` rows at most, panels and what is packed."""
    lanes, size = target.lanes(c.dtype), c.itemsize
    spare = 1 if target.has_fma and "float" in c.dtype else 2  # the broadcast element, the product
    registers = target.vector_registers - spare
    vectors = -(-c.n // lanes)
    # A register tile of v vectors and r rows needs r v accumulators and v columns.
    # With few rows, more columns: sums enough side by side hide the latency of a multiply-add.
    width = min(2, vectors)
    if c.m < 4:
        width = min(vectors, 8, registers // (c.m + 1))
    elif c.m < 7:
        width = min(vectors, 4, registers // (c.m + 1))
    width = max(width, 1)
    most = min((registers - width) // width, tallest)
    tiles = -(-c.m // most)
    rows = -(-c.m // tiles)
    tall = c.m - tiles * (rows - 1)
    panels, columns = divmod(c.n, width * lanes)
    full = panel_of(width * lanes, lanes, 16 // size) if panels else None
    rest = panel_of(columns, lanes, 16 // size) if columns else None

    total_panels = panels + (rest is not None)
    slow = not c.a.table and _is_read_slowly(c, rows, total_panels)
    pack_a = c.a.table == "columns" or (slow and total_panels >= 4 and c.m > 1)
    pack_b = bool(c.b.table) or (c.n > 1 and not (c.b.col_stride == 1 and tiles <= 2))
    panel_bytes = max(c.k * width * lanes * size, 1)
    a_bytes = c.m * c.k * size
    group = 1
    if total_panels * panel_bytes <= target.l2_bytes // 4 <= c.m * c.n * size:
        group = total_panels  # rows of a large output are touched from end to end
    elif a_bytes > target.l2_bytes // 4:
        # the rest of the second cache is for the rows of a and of the output that pass by
        group = max(1, min(total_panels, target.l2_bytes // 8 // panel_bytes))
    strip = panel_of(rows, lanes, 16 // size).width
    blocks = -(-tiles * strip * c.k * size // PACKED_A_LIMIT) if pack_a else 1
    block = -(-tiles // max(blocks, 1))
    plain = blocks == batches(c) == 1
    by_rows = plain and tiles >= FEWEST_SHARED and _rows_travel_less(c)
    keeps_b = by_rows and pack_b and total_panels * panel_bytes <= KEPT_B_LIMIT
    enough = tiles * -(-total_panels // group) >= FEWEST_SHARED
    enough = enough and 2 * c.m * c.n * c.k >= SHARED_FLOPS
    return Plan(
        rows=rows,
        tall=tall,
        tiles=tiles,
        full=full,
        panels=panels,
        rest=rest,
        group=group,
        block=block,
        pack_a=pack_a,
        pack_b=pack_b,
        strip=strip,
        by_rows=by_rows,
        keeps_b=keeps_b,
        shared=plain and enough and (keeps_b if by_rows else not pack_a),
    )


def _rows_travel_less(c: Contraction) -> bool:
    """Whether fewer numbers go from core to core if each thread keeps to its rows of the output.

    Forward (a: rows of a minibatch, b: weights), the rows stay with one thread from layer to layer
    and only the weights are read by all, unless these are the larger part: then each thread keeps
    to its columns, and so to its part of the weights. The gradient of the weights (a transposed)
    goes by rows where the forward pass reads them by columns, so that a thread updates what it
    will read; elsewhere the smaller operand is the one that all read.
    """
    if abs(c.a.col_stride) <= abs(c.a.row_stride):
        return c.n * c.k < c.m * c.k + c.m * c.n
    kept = c.m * c.n >= c.k * (c.m + c.n)
    return kept or c.n < c.m
