"""Contractions: out[b, m, n] = epilogue(sum_k a[b, m, k] * b[b, k, n]), as LLVM IR.

The output is cut into *tiles* of rows (as many as the register tile holds, balanced) and *panels* of
columns (a few vectors). A panel of b is packed once, then every tile of rows passes over it. The whole
sum over k stays in registers, so the epilogue sees finished numbers while they are in the nearest cache.

    for (batch, block of tiles, group of panels) of this thread's share:
        pack the block of a (where its layout is bad), pack the panels of b
        for tile in block:
            for panel in group:
                micro-kernel -> a small buffer -> epilogue, vector by vector

All of it is decided by :func:`plan_of` as data. Threads divide the list of (batch, block, group, tile),
weighted by its columns, into contiguous shares; each packs what it uses: there is no barrier inside.
The sum of one element is one chain over k fixed by the shape, so neither the number of threads nor
the tile it falls into changes its bits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from chainrule.backends.cpu import matvec, tiny
from chainrule.backends.cpu.blocks import Function, Value, i64, vector
from chainrule.backends.cpu.contraction import (
    Contraction,
    Epilogue,
    Operand,
    base,
    batch_indices,
    batches,
    divide,
    least,
    scaled,
)
from chainrule.backends.cpu.microkernel import Panel, micro_kernel, panel_of
from chainrule.backends.cpu.pack import pack
from chainrule.backends.cpu.target import Target

__all__ = ["Contraction", "Epilogue", "Operand", "Plan", "emit_contraction", "plan_of", "scratch_bytes"]

PACKED_A_LIMIT = 8 << 20  # bytes of a packed at once


@dataclass(frozen=True)
class Plan:
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


@functools.lru_cache(maxsize=1024)
def plan_of(c: Contraction, target: Target) -> Plan:
    """Choose tiles, panels and what is packed."""
    lanes, size = target.lanes(c.dtype), c.itemsize
    spare = 1 if target.has_fma and "float" in c.dtype else 2  # the broadcast element, the product
    registers = target.vector_registers - spare
    vectors = -(-c.n // lanes)
    # A register tile of v vectors and r rows needs r v accumulators and v columns.
    width = min(2, vectors)
    if c.m < 4:
        width = min(vectors, 8, registers // (c.m + 1))
    elif c.m < 7:
        width = min(vectors, 4, registers // (c.m + 1))
    width = max(width, 1)
    most = min((registers - width) // width, 14)
    tiles = -(-c.m // most)
    rows = -(-c.m // tiles)
    tall = c.m - tiles * (rows - 1)
    panels, columns = divmod(c.n, width * lanes)
    full = panel_of(width * lanes, lanes, 16 // size) if panels else None
    rest = panel_of(columns, lanes, 16 // size) if columns else None

    row_bytes = abs(c.a.row_stride) * size
    contiguous = c.a.col_stride == 1
    total_panels = panels + (rest is not None)
    bad = (
        (row_bytes % 1024 == 0 and row_bytes > 0)
        if contiguous
        else c.k * abs(c.a.col_stride) * size > 1 << 16
    )
    pack_a = bad and total_panels >= 4 and c.m > 1
    pack_b = c.n > 1 and not (c.b.col_stride == 1 and tiles <= 2)
    panel_bytes = max(c.k * width * lanes * size, 1)
    a_bytes = c.m * c.k * size
    group = 1
    if a_bytes > target.l2_bytes // 4:
        group = max(1, min(total_panels, target.l2_bytes // 2 // panel_bytes))
    tile_bytes = panel_of(rows, lanes, 16 // size).width * c.k * size
    blocks = -(-tiles * tile_bytes // PACKED_A_LIMIT) if pack_a else 1
    block = -(-tiles // max(blocks, 1))
    return Plan(rows, tall, tiles, full, panels, rest, group, block, pack_a, pack_b)


def scratch_bytes(c: Contraction, target: Target) -> int:
    """Scratch one thread needs (aligned to 64 bytes)."""
    if 0 in (c.m, c.n, *c.batch):
        return 0
    if tiny.suits(c, target) or matvec.suits(c, target):
        return 0
    plan, size = plan_of(c, target), c.itemsize
    return _b_bytes(c, plan, size) + _a_bytes(c, plan, target, size)


def _b_bytes(c: Contraction, plan: Plan, size: int) -> int:
    panels = min(plan.group, plan.panels + (plan.rest is not None))
    return -(-c.k * plan.width * panels * size // 64) * 64 if plan.pack_b else 0


def _a_bytes(c: Contraction, plan: Plan, target: Target, size: int) -> int:
    width = panel_of(plan.rows, target.lanes(c.dtype), 16 // size).width
    return -(-c.k * width * plan.block * size // 64) * 64 if plan.pack_a else 0


def emit_contraction(
    f: Function,
    c: Contraction,
    target: Target,
    a: Value,
    b: Value,
    scratch: Value,
    tid: Value,
    nt: Value,
    epilogue: Epilogue,
) -> None:
    """Emit thread ``tid`` of ``nt``'s share of ``c`` into ``f``.

    ``a`` and ``b`` are the operands' pointers, ``scratch`` points to :func:`scratch_bytes` bytes of this
    thread's own. Nothing outside the operands' elements is read.
    """
    if 0 in (c.m, c.n, *c.batch):
        return
    for variant in (tiny, matvec):
        if variant.suits(c, target):
            variant.emit(f, c, target, a, b, tid, nt, epilogue)
            return
    _Emitter(f, c, target, a, b, scratch, epilogue).emit(tid, nt)


class _Emitter:
    """The state of one emission."""

    def __init__(
        self,
        f: Function,
        c: Contraction,
        target: Target,
        a: Value,
        b: Value,
        scratch: Value,
        epilogue: Epilogue,
    ) -> None:
        self.f, self.c, self.target, self.epilogue = f, c, target, epilogue
        self.a, self.b = a, b
        self.scalar = c.scalar
        self.size = c.itemsize
        self.plan = plan = plan_of(c, target)
        self.packed_b = scratch
        self.packed_a = f.gep(scratch, _b_bytes(c, plan, self.size) // self.size, self.scalar)
        self.strip = panel_of(plan.rows, target.lanes(c.dtype), 16 // self.size)  # a tile of a, packed
        self.buffer = f.alloca(self.scalar, plan.rows * plan.width, align=64)

    # -- shares -------------------------------------------------------------------------------
    def emit(self, tid: Value, nt: Value) -> None:
        f, plan = self.f, self.plan
        count = batches(self.c)
        if count * plan.tiles * plan.groups == 1:
            with f.if_then(f.compare("eq", tid, i64(0))):
                self.pass_over(i64(0), i64(0), i64(0), i64(0), i64(1), None)
            return
        per_group = [plan.weight(g) for g in range(plan.groups)]
        total = count * plan.tiles * sum(per_group)
        start, stop = (
            self._unit(f.sdiv(scaled(f, f.add(tid, i64(extra)), total), nt), per_group) for extra in (0, 1)
        )
        self._walk(start, stop)

    def _unit(self, weight: Value, per_group: Sequence[int]) -> Value:
        """The first (batch, block, group, tile) in linear order with ``weight`` of work before it."""
        f, plan = self.f, self.plan
        row, each, last = sum(per_group), per_group[0], per_group[-1]
        batch, inside = divide(f, weight, plan.tiles * row)
        block, inside = divide(f, inside, plan.block * row)
        tiles = self._tiles_in(block)
        before = scaled(f, tiles, (plan.groups - 1) * each)  # work of the groups but the last
        early = f.sdiv(f.add(inside, i64(each - 1)), i64(each))
        late = f.add(
            scaled(f, tiles, plan.groups - 1),
            f.sdiv(f.add(f.sub(inside, before), i64(last - 1)), i64(last)),
        )
        unit = f.select(f.compare("slt", inside, before), early, late)
        unit = f.add(unit, scaled(f, block, plan.block * plan.groups))
        return f.add(unit, scaled(f, batch, plan.tiles * plan.groups))

    def _tiles_in(self, block: Value) -> Value:
        """Tiles of a block: the last one may have fewer."""
        plan = self.plan
        return least(self.f, i64(plan.block), self.f.sub(i64(plan.tiles), scaled(self.f, block, plan.block)))

    def _walk(self, start: Value, stop: Value) -> None:
        """While units are left: one pass over the rest of the present group's tiles."""
        f, plan = self.f, self.plan
        head, body, done = f.new_label("head"), f.new_label("body"), f.new_label("done")
        before = f.block
        unit, after = Value("i64", f._name("unit")), Value("i64", f._name("unit"))
        seen, latch = Value("i64", f._name("seen")), f.new_label("latch")
        f.branch(head)
        f.start_block(head)
        outer = Value("i64", f._name("outer"))
        f.line(f"{unit.text} = phi i64 [ {start.text}, %{before} ], [ {after.text}, %{latch} ]")
        f.line(f"{seen.text} = phi i64 [ -1, %{before} ], [ {outer.text}, %{latch} ]")
        f.branch_if(f.compare("slt", unit, stop), body, done)
        f.start_block(body)
        batch, inside = divide(f, unit, plan.tiles * plan.groups)
        block, inside = divide(f, inside, plan.block * plan.groups)
        tiles = self._tiles_in(block)
        group, first = f.sdiv(inside, tiles), f.srem(inside, tiles)
        left = f.sub(stop, unit)
        last = least(self.f, tiles, f.add(first, left))
        blocks = -(-plan.tiles // plan.block)
        f.line(f"{outer.text} = add nsw i64 {scaled(f, batch, blocks).text}, {block.text}")
        # A block of a is packed when it is met first: all of it, unless this pass is the only one.
        alone = f.compare("sle", left, f.sub(tiles, first))
        fresh = f.compare("ne", outer, seen)
        to_pack = (fresh, f.select(alone, first, i64(0)), f.select(alone, last, tiles))
        self.pass_over(batch, scaled(f, block, plan.block), group, first, last, to_pack)
        f.branch(latch)
        f.start_block(latch)
        f.line(f"{after.text} = add nsw i64 {unit.text}, {f.sub(last, first).text}")
        f.branch(head)
        f.start_block(done)

    # -- one group of panels ------------------------------------------------------------------
    def pass_over(
        self,
        batch: Value,
        block: Value,
        group: Value,
        first: Value,
        last: Value,
        to_pack: tuple[Value, Value, Value] | None,
    ) -> None:
        """Tiles ``block + first .. block + last`` over the panels of ``group``.

        ``to_pack`` says whether the block's rows of a must be packed now, and which tiles.
        """
        f, c, plan = self.f, self.c, self.plan
        indices = batch_indices(f, c, batch)
        a = base(f, c, self.a, c.a, indices)
        b = base(f, c, self.b, c.b, indices)
        if plan.pack_a:
            fresh, low, high = to_pack if to_pack else (Value("i1", "true"), first, last)
            with f.if_then(fresh), f.for_range(low, high, hint="tile") as tile:
                self._pack_a(a, f.add(block, tile), tile)
        panel = scaled(f, group, plan.group)
        panels = least(self.f, i64(plan.group), f.sub(i64(plan.panels), panel))
        has_rest = f.compare("eq", group, i64(plan.groups - 1))
        if plan.pack_b:
            self._pack_b(b, panel, panels, has_rest)
        with f.for_range(first, last, hint="tile") as tile:
            index = f.add(block, tile)
            is_tall = f.compare("slt", index, i64(plan.tall))
            row = self._first_row(index)
            rows = f.select(is_tall, i64(plan.rows), i64(plan.rows - 1))
            strip = f.gep(self.packed_a, scaled(f, tile, c.k * self.strip.width), self.scalar)
            source = strip if plan.pack_a else f.gep(a, scaled(f, row, c.a.row_stride), self.scalar)
            if plan.full is not None:
                with f.for_range(0, panels, hint="panel") as p:
                    self._tile(plan.full, source, b, f.add(panel, p), p, is_tall)
                    column = scaled(f, f.add(panel, p), plan.full.width)
                    self._finish(plan.full, indices, row, rows, column)
            if plan.rest is not None:
                with f.if_then(has_rest) if plan.groups > 1 else nullcontext():
                    self._tile(plan.rest, source, b, i64(plan.panels), panels, is_tall)
                    self._finish(plan.rest, indices, row, rows, i64(c.n - plan.rest.count))

    def _first_row(self, tile: Value) -> Value:
        plan = self.plan
        return self.f.add(scaled(self.f, tile, plan.rows - 1), least(self.f, tile, i64(plan.tall)))

    def _pack_a(self, a: Value, index: Value, tile: Value) -> None:
        f, c = self.f, self.c
        source = f.gep(a, scaled(f, self._first_row(index), c.a.row_stride), self.scalar)
        strip = f.gep(self.packed_a, scaled(f, tile, c.k * self.strip.width), self.scalar)

        def emit(rows: int) -> None:
            shape = panel_of(rows, self.target.lanes(c.dtype), 16 // self.size)
            pack(f, c.dtype, source, strip, c.k, shape, c.a.col_stride, c.a.row_stride, self.strip.width)

        self._for_height(f.compare("slt", index, i64(self.plan.tall)), emit)

    def _for_height(self, is_tall: Value, emit: Callable[[int], None]) -> None:
        """``emit(rows)`` for the rows the present tile has: there are at most two heights."""
        f, plan = self.f, self.plan
        if plan.tall == plan.tiles:
            emit(plan.rows)
            return
        with f.if_then(is_tall):
            emit(plan.rows)
        with f.if_then(f.binary("xor", is_tall, Value("i1", "true"))):
            emit(plan.rows - 1)

    def _pack_b(self, b: Value, panel: Value, panels: Value, has_rest: Value) -> None:
        f, c, plan = self.f, self.c, self.plan
        if plan.full is not None:
            with f.for_range(0, panels, hint="panel") as p:
                column = scaled(f, f.add(panel, p), plan.full.width)
                source = f.gep(b, scaled(f, column, c.b.col_stride), self.scalar)
                pack(
                    f,
                    c.dtype,
                    source,
                    self._panel_at(p),
                    c.k,
                    plan.full,
                    c.b.row_stride,
                    c.b.col_stride,
                    plan.full.width,
                )
        if plan.rest is not None:
            source = f.gep(b, (c.n - plan.rest.count) * c.b.col_stride, self.scalar)
            with f.if_then(has_rest):
                pack(
                    f,
                    c.dtype,
                    source,
                    self._panel_at(panels),
                    c.k,
                    plan.rest,
                    c.b.row_stride,
                    c.b.col_stride,
                    plan.rest.width,
                )

    def _panel_at(self, p: Value) -> Value:
        return self.f.gep(self.packed_b, scaled(self.f, p, self.c.k * self.plan.width), self.scalar)

    # -- one tile -------------------------------------------------------------------------------
    def _tile(self, shape: Panel, a: Value, b: Value, panel: Value, local: Value, is_tall: Value) -> None:
        """The micro-kernel on a tile of a and a panel of b, into the buffer."""
        f, c, plan = self.f, self.c, self.plan
        if plan.pack_b:
            b, b_stride = self._panel_at(local), shape.width
        else:
            column = scaled(f, panel, plan.full.width if plan.full else 0)
            b, b_stride = f.gep(b, scaled(f, column, c.b.col_stride), self.scalar), c.b.row_stride
        a_strides = (1, self.strip.width) if plan.pack_a else (c.a.row_stride, c.a.col_stride)

        def emit(rows: int) -> None:
            name = micro_kernel(f.module, self.target, c.dtype, rows, shape, a_strides, b_stride, plan.pack_b)
            f.call_local(name, "void", a, b, self.buffer, i64(c.k))

        self._for_height(is_tall, emit)

    def _finish(self, shape: Panel, indices: Sequence[Value], row: Value, rows: Value, column: Value) -> None:
        """The epilogue over the buffer: equal vectors in a loop, so that its code appears once."""
        f = self.f
        equal = [v for v in shape.vectors if v.lanes == v.count == shape.vectors[0].lanes]
        others = shape.vectors[len(equal) :]

        def finish(r: Value, offset: Value, lanes: int, count: int) -> None:
            at = f.gep(self.buffer, f.add(scaled(f, r, shape.width), offset), self.scalar)
            acc = f.load(vector(self.scalar, lanes), at)
            self.epilogue(f, indices, f.add(row, r), f.add(column, offset), acc, count)

        with f.for_range(0, rows, hint="r") as r:
            if equal:
                lanes = equal[0].lanes
                with f.for_range(0, len(equal) * lanes, lanes, hint="j") as j:
                    finish(r, j, lanes, lanes)
            for v in others:
                finish(r, i64(v.offset), v.lanes, v.count)
