"""Contractions: out[b, m, n] = epilogue(sum_k a[b, m, k] * b[b, k, n]), as LLVM IR.

The output is cut into tiles of rows and panels of columns (`tiling`). A panel of b is packed once,
then every tile of rows passes over it. The whole sum over k stays in registers, so the epilogue
sees finished numbers while they are in the nearest cache.

    for (batch, block of tiles, group of panels) of this thread's share:
        pack the block of a (where its layout is bad), pack the panels of b
        for tile in block:
            for panel in group:
                micro-kernel -> a small buffer -> epilogue, vector by vector

Threads divide the list of (batch, block, group, tile), weighted by its columns, into contiguous
shares; each packs what it uses: there is no barrier inside. The sum of one element is one chain
over k fixed by the shape, so neither the number of threads nor the tile it falls into changes its
bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

from .....core.host.memory import CACHE_LINE, whole_lines
from ....llvm.builder import Function, Value, i64, vector
from ....llvm.index import divide, divide_up, known, least, minus, plus, scaled
from ...machine.target import Target
from ...schedule.contraction import (
    Announcement,
    Contraction,
    Epilogue,
    base,
    batch_indices,
    batches,
)
from ...schedule.panels import Panel, panel_of
from ...schedule.tiling import Plan, plan_of
from ..shares import part, pieces
from . import dot_products as matvec
from . import unrolled as tiny
from .microkernel import LONG_SUM, Tile, micro_kernel
from .packing import Source, pack

PACKED_A_PAGES = 48  # steps of k, each on another page, packed in one go: the first TLB has more
SMALLEST_PIECE = 250_000  # flops that a thread takes at once
WORTH_PACKING = 4  # units that take as long as packing the panels they need
KEPT_LIMIT = 8 << 20  # bytes of panels that stay packed while a loop turns
RARE = 1 / 8  # of the tiles: their share of the time hardly counts
MANY_PANELS = 4  # full ones: beside so many, the time for the rest hardly counts
FAR = 1 << 16  # bytes of each matrix that an epilogue touches
FETCHED = 4 * CACHE_LINE  # of a row that lies anywhere, before it is read


def _variant(c: Contraction, target: Target) -> Callable[..., None] | None:
    """What emits a contraction that needs no plan."""
    if c.has_table:
        return None
    return next((v.emit for v in (tiny, matvec) if v.suits(c, target)), None)


def scratch_bytes(c: Contraction, target: Target) -> int:
    """Scratch one thread needs (aligned to 64 bytes)."""
    if 0 in (c.m, c.n, *c.batch):
        return 0
    if _variant(c, target) is not None:
        return 0
    plan = plan_of(c, target)
    return _b_bytes(c, plan) + _a_bytes(c, plan)


def _b_bytes(c: Contraction, plan: Plan) -> int:
    panels = plan.panels + (plan.rest is not None)
    panels = panels if plan.keeps_b else min(plan.group, panels)
    return whole_lines(c.k * plan.width * panels * c.itemsize) if plan.pack_b else 0


def _a_bytes(c: Contraction, plan: Plan) -> int:
    return whole_lines(c.k * plan.strip * plan.block * c.itemsize) if plan.pack_a else 0


def kept_panels(c: Contraction, target: Target) -> int:
    """Bytes of all panels of b, if they are packed and may be kept from call to call; else 0."""
    if 0 in (c.m, c.n, *c.batch) or batches(c) > 1:
        return 0
    variant = _variant(c, target)
    if variant is not None and (variant != matvec.emit or c.n < target.lanes(c.dtype)):
        return 0  # a vector of columns from a packed panel needs no sum across lanes
    size = _b_bytes(c, plan_of(c, target)._replace(keeps_b=True))
    return -(-size // (2 * CACHE_LINE)) * 2 * CACHE_LINE if size <= KEPT_LIMIT else 0


def is_shared(c: Contraction, target: Target) -> bool:
    """Whether the threads take work from each other, if they get a queue."""
    if 0 in (c.m, c.n, *c.batch) or _variant(c, target) is not None:
        return False
    return plan_of(c, target).shared


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
    announce: Announcement | None = None,
    queue: Value | None = None,
    kept: Kept | None = None,
) -> None:
    """Emit thread ``tid`` of ``nt``'s share of ``c`` into ``f``.

    ``a`` and ``b`` are the operands' pointers, ``scratch`` points to :func:`scratch_bytes` bytes of
    this thread's own. Nothing outside the operands' elements is read. ``announce`` hears of each
    row of a tile before the tile is computed. Where :func:`is_shared`, ``queue`` points to
    ``QUEUE_BYTES`` zeros that the threads have in common.
    """
    if 0 in (c.m, c.n, *c.batch):
        return
    variant = _variant(c, target) if kept is None else None
    if variant is not None:
        variant(f, c, target, a, b, tid, nt, epilogue)
        return
    if kept is None:
        TileEmitter(f, c, target, a, b, scratch, epilogue, announce).emit(tid, nt, queue)
        return
    # The same tiles go to the same thread at every turn, so nobody takes another's.
    plan = plan_of(c, target)._replace(keeps_b=True, shared=False)
    emitter = TileEmitter(f, c, target, a, b, scratch, epilogue, announce, plan)
    emitter.packed_b, emitter.packed_a = kept.panels, scratch
    done = f.compare("ne", kept.iteration, i64(0))
    f.store(f.select(done, i64(plan.groups), i64(-1)), emitter.packed)
    emitter.emit(tid, nt, None)


class Kept(NamedTuple):
    """Panels of a b that is the same at every turn of a loop: packed at the first."""

    panels: Value
    iteration: Value


class TileEmitter:
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
        announce: Announcement | None,
        plan: Plan | None = None,
    ) -> None:
        self.f, self.c, self.target = f, c, target
        self.epilogue, self.announce = epilogue, announce
        self.a, self.b = a, b
        self.plan = plan = plan or plan_of(c, target)
        self.packed_b = scratch
        self.packed_a = f.gep(scratch, _b_bytes(c, plan) // c.itemsize, c.scalar)
        self.buffer = f.alloca(c.scalar, plan.rows * plan.width, align=64)
        self.ahead: dict[Panel, list[tuple[Value, int]]] = {}
        self.counts: list[Value] = []  # what the micro-kernel is told besides
        self.packed = f.alloca("i64")  # the last group of panels that was packed
        f.store(i64(-1), self.packed)

    # -- shares -------------------------------------------------------------------------------
    def emit(self, tid: Value, nt: Value, queue: Value | None) -> None:
        f, plan = self.f, self.plan
        units = batches(self.c) * plan.tiles * plan.groups
        if units == 1:
            with f.if_then(f.compare("eq", tid, i64(0))):
                self.pass_over(i64(0), i64(0), i64(0), i64(0), i64(1), None)
            return
        start, stop = self._own(tid, nt, units)
        share: AbstractContextManager[tuple[Value, Value]] = nullcontext((start, stop))
        if queue is not None and plan.shared:
            each = 2.0 * self.c.m * self.c.n * self.c.k / (plan.tiles if plan.by_rows else units)
            smallest = max(int(SMALLEST_PIECE / each), 1)
            worth = 2 * smallest + (0 if plan.by_rows else WORTH_PACKING)
            share = pieces(f, queue, start, stop, tid, nt, smallest, worth)
        with share as (first, last):
            if plan.by_rows:
                self._all_groups(first, last)
            else:
                self._walk(first, last)

    def _own(self, tid: Value, nt: Value, units: int) -> tuple[Value, Value]:
        """The first and last unit of thread ``tid``'s part: tiles, or places of `_walk`."""
        plan = self.plan
        if plan.by_rows:
            return part(self.f, plan.tiles, tid, nt)
        weights = [plan.weight(g) for g in range(plan.groups)]
        if len(set(weights)) == 1:
            return part(self.f, units, tid, nt)
        start, stop = part(self.f, batches(self.c) * plan.tiles * sum(weights), tid, nt)
        return self._unit(start, weights), self._unit(stop, weights)

    def _all_groups(self, first: Value, last: Value) -> None:
        """Tiles ``first .. last`` over every group of panels."""
        f, plan = self.f, self.plan
        if plan.groups == 1:
            self.pass_over(i64(0), i64(0), i64(0), first, last, None)
            return
        with f.for_range(0, plan.groups, hint="group") as group:
            fresh = f.compare("eq", group, i64(0))
            self.pass_over(i64(0), i64(0), group, first, last, (fresh, first, last))

    def _unit(self, work: Value, weights: Sequence[int]) -> Value:
        """The first (batch, block, group, tile) in linear order with ``work`` before it."""
        f, plan = self.f, self.plan
        each, last = weights[0], weights[-1]
        batch, inside = self._outer(work, plan.tiles * sum(weights), batches(self.c))
        block, inside = self._outer(inside, plan.block * sum(weights), plan.blocks)
        tiles = self._tiles_in(block)
        # Units of the groups but the last, and their work.
        others = scaled(f, tiles, plan.groups - 1)
        before = scaled(f, others, each)
        in_others = divide_up(f, inside, each)
        in_last = plus(f, others, divide_up(f, minus(f, inside, before), last))
        unit = f.select(f.compare("slt", inside, before), in_others, in_last)
        unit = plus(f, unit, scaled(f, block, plan.block * plan.groups))
        return plus(f, unit, scaled(f, batch, plan.tiles * plan.groups))

    def _outer(self, value: Value, size: int, extent: int) -> tuple[Value, Value]:
        """Index on an axis of ``extent`` elements of ``size`` and what is left inside."""
        return (i64(0), value) if extent == 1 else divide(self.f, value, size)

    def _tiles_in(self, block: Value) -> Value:
        """Tiles of a block: the last one may have fewer."""
        plan = self.plan
        return least(
            self.f, plan.block, minus(self.f, plan.tiles, scaled(self.f, block, plan.block))
        )

    def _walk(self, start: Value, stop: Value) -> None:
        """While units are left: one pass over the rest of the present group's tiles."""
        f, plan = self.f, self.plan
        head, body, done = f.new_label("head"), f.new_label("body"), f.new_label("done")
        before, position = f.block, 0
        unit, seen = Value("i64", f._name("unit")), Value("i64", f._name("seen"))
        f.branch(head)
        f.start_block(head)
        position = len(f._lines)
        f.branch_if(f.compare("slt", unit, stop), body, done)
        f.start_block(body)
        batch, inside = self._outer(unit, plan.tiles * plan.groups, batches(self.c))
        block, inside = self._outer(inside, plan.block * plan.groups, plan.blocks)
        tiles = self._tiles_in(block)
        if known(tiles):
            group, first = divide(f, inside, plan.tiles)
        else:
            group, first = f.sdiv(inside, tiles), f.srem(inside, tiles)
        left = minus(f, stop, unit)
        last = least(f, tiles, plus(f, first, left))
        to_pack, outer = None, i64(0)
        if plan.pack_a:
            # A block of a is packed when it is met first: all of it, unless this pass is the only
            # one.
            outer = plus(f, scaled(f, batch, plan.blocks), block)
            alone = f.compare("sle", left, minus(f, tiles, first))
            low, high = f.select(alone, first, i64(0)), f.select(alone, last, tiles)
            to_pack = (f.compare("ne", outer, seen), low, high)
        self.pass_over(batch, scaled(f, block, plan.block), group, first, last, to_pack)
        after = plus(f, unit, minus(f, last, first))
        phis = [
            f"  {unit.text} = phi i64 [ {start.text}, %{before} ], [ {after.text}, %{f.block} ]"
        ]
        if plan.pack_a:
            phis.append(f"  {seen.text} = phi i64 [ -1, %{before} ], [ {outer.text}, %{f.block} ]")
        f._lines[position:position] = phis
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
            fresh, low, high = to_pack or (Value("i1", "true"), first, last)
            with f.if_then(fresh):
                self._pack_a(a, block, low, high)
        if plan.pack_b:
            number = plus(f, scaled(f, batch, plan.groups), group)
            with f.if_then(self._is_unpacked(number)):
                self._pack_b(b, group)
                f.store(number, self.packed)
        panels = self._panels(group)
        with f.for_range(first, last, hint="tile") as tile:
            index = plus(f, block, tile)
            row, rows, is_tall = self._rows(index)
            if plan.pack_a:
                strip = self._strip_at(tile)
            elif c.a.table:
                strip = f.gep(a, row, "ptr")
                self._fetch_starts(a, plus(f, row, rows), rows)
            else:
                strip = f.gep(a, scaled(f, row, c.a.row_stride), c.scalar)
            for shape, each in panels:
                with each as (p, column):
                    panel = self._panel_at(group, p)
                    if not plan.pack_b:
                        panel = f.gep(b, scaled(f, column, c.b.col_stride), c.scalar)
                    self._fetch(shape, indices, row, rows, column, on_the_way=True)
                    self._multiply(shape, strip, panel, is_tall)
                    self._finish(shape, indices, row, rows, column)

    def _fetch(
        self,
        shape: Panel,
        indices: Sequence[Value],
        row: Value,
        rows: Value,
        column: Value,
        on_the_way: bool = False,
    ) -> None:
        """Ask for what the epilogue of a tile will touch: all of it now, where the lines wait for
        each other, or ``on_the_way`` of the micro-kernel, if that is long enough and they are so
        many that they may be far away."""
        f, plan, k = self.f, self.plan, self.c.k
        touched = batches(self.c) * self.c.m * self.c.n * self.c.itemsize
        on_the_way = on_the_way and touched >= FAR
        if self.announce is None:
            return
        with f.for_range(0, rows, hint="r") as r:
            lines = self.announce(f, indices, plus(f, row, r), column, shape.count)
            if on_the_way and 2 * plan.rows * len(lines) <= k <= LONG_SUM:
                self._note(shape, r, lines)
            else:
                for at, written in lines:
                    f.prefetch(at, written)

    def _note(self, shape: Panel, r: Value, lines: Sequence[tuple[Value, bool]]) -> None:
        """Write row ``r``'s lines down for the micro-kernel."""
        f, plan = self.f, self.plan
        kinds = [[at for at, written in lines if written is kind] for kind in (True, False)]
        if shape not in self.ahead:
            self.ahead[shape] = [
                (f.alloca("ptr", max(plan.rows * len(kind), 1)), len(kind)) for kind in kinds
            ]
        for (place, count), kind in zip(self.ahead[shape], kinds, strict=True):
            for i, at in enumerate(kind):
                f.store(at, f.gep(place, plus(f, scaled(f, r, count), i), "ptr"))

    def _fetch_starts(self, table: Value, row: Value, rows: Value) -> None:
        """Ask for the first lines of ``rows`` rows that lie anywhere: the processor, which reads
        ahead once it has seen some lines, knows nothing of them."""
        f, c = self.f, self.c
        with f.for_range(0, rows, hint="r") as r:
            number = least(f, plus(f, row, r), c.m - 1)
            start = f.load("ptr", f.gep(table, number, "ptr"))
            for offset in range(0, min(c.k * c.itemsize, FETCHED), CACHE_LINE):
                f.prefetch(f.gep(start, offset, "i8"), False)

    def _panels(
        self, group: Value
    ) -> list[tuple[Panel, AbstractContextManager[tuple[Value, Value]]]]:
        """For each shape of panel a context whose body is run for every such panel of ``group``.

        It yields the panel's place in the group and its first column.
        """
        f, c, plan = self.f, self.c, self.plan
        first = scaled(f, group, plan.group)
        full = least(f, plan.group, minus(f, plan.panels, first))

        @contextmanager
        def full_panels(width: int) -> Iterator[tuple[Value, Value]]:
            if plan.group > 1:
                with f.for_range(0, full, hint="panel") as p:
                    yield p, scaled(f, plus(f, first, p), width)
            elif plan.rest is None:
                yield i64(0), scaled(f, first, width)
            else:
                with f.if_then(f.compare("slt", first, i64(plan.panels))):
                    yield i64(0), scaled(f, first, width)

        @contextmanager
        def rest_panel(columns: int) -> Iterator[tuple[Value, Value]]:
            if plan.groups == 1:
                yield full, i64(c.n - columns)
            else:
                with f.if_then(f.compare("eq", group, i64(plan.groups - 1))):
                    yield (full if plan.group > 1 else i64(0)), i64(c.n - columns)

        found: list[tuple[Panel, AbstractContextManager[tuple[Value, Value]]]] = []
        if plan.full is not None:
            found.append((plan.full, full_panels(plan.full.width)))
        if plan.rest is not None:
            found.append((plan.rest, rest_panel(plan.rest.count)))
        return found

    def _is_unpacked(self, number: Value) -> Value:
        """Whether the group of panels with this number is not among the packed ones."""
        f = self.f
        last = f.load("i64", self.packed)
        return f.compare("sgt" if self.plan.keeps_b else "ne", number, last)

    def _pack_b(self, b: Value, group: Value) -> None:
        f, c = self.f, self.c
        for shape, each in self._panels(group):
            with each as (p, column):
                start = scaled(f, column, c.b.col_stride)
                source = Source(b, start, c.b.row_stride, c.b.col_stride, bool(c.b.table))
                pack(f, c.dtype, source, self._panel_at(group, p), (0, c.k), shape, shape.width)

    def _panel_at(self, group: Value, p: Value) -> Value:
        f, plan = self.f, self.plan
        if plan.keeps_b:
            p = plus(f, scaled(f, group, plan.group), p)
        return f.gep(self.packed_b, scaled(f, p, self.c.k * plan.width), self.c.scalar)

    def _strip_at(self, tile: Value) -> Value:
        return self.f.gep(
            self.packed_a, scaled(self.f, tile, self.c.k * self.plan.strip), self.c.scalar
        )

    def _rows(self, tile: Value) -> tuple[Value, Value, Value]:
        """First row of a tile, how many it has, whether it is a tall one."""
        f, plan = self.f, self.plan
        if plan.tall == plan.tiles:
            return scaled(f, tile, plan.rows), i64(plan.rows), Value("i1", "true")
        is_tall = f.compare("slt", tile, i64(plan.tall))
        first = plus(f, scaled(f, tile, plan.rows - 1), least(f, tile, plan.tall))
        return first, f.select(is_tall, i64(plan.rows), i64(plan.rows - 1)), is_tall

    def _pack_a(self, a: Value, block: Value, low: Value, high: Value) -> None:
        f, c, plan = self.f, self.c, self.plan

        def pack_tile(tile: Value, steps: tuple[Value | int, Value | int]) -> None:
            row, _, is_tall = self._rows(plus(f, block, tile))
            start = scaled(f, row, c.a.row_stride)
            source = Source(a, start, c.a.col_stride, c.a.row_stride, bool(c.a.table))
            for rows, context in self._heights(is_tall):
                with context:
                    shape = panel_of(rows, self.target.lanes(c.dtype), 16 // c.itemsize)
                    pack(f, c.dtype, source, self._strip_at(tile), steps, shape, plan.strip)

        if c.a.row_stride == 1 and c.k > PACKED_A_PAGES:
            # Each k is another page: pass over few of them for all tiles before the next ones.
            with f.for_range(0, c.k, PACKED_A_PAGES, hint="k") as k:
                stop = least(f, plus(f, k, PACKED_A_PAGES), c.k)
                with f.for_range(low, high, hint="tile") as tile:
                    pack_tile(tile, (k, stop))
        else:
            with f.for_range(low, high, hint="tile") as tile:
                pack_tile(tile, (0, c.k))

    def _heights(self, is_tall: Value) -> list[tuple[int, AbstractContextManager[None]]]:
        """How many rows tiles have, each with a context that holds for those tiles."""
        f, plan = self.f, self.plan
        if plan.tall == plan.tiles:
            return [(plan.rows, nullcontext())]
        is_short = f.binary("xor", is_tall, Value("i1", "true"))
        return [(plan.rows, f.if_then(is_tall)), (plan.rows - 1, f.if_then(is_short))]

    # -- one tile -------------------------------------------------------------------------------
    def _multiply(self, shape: Panel, a: Value, b: Value, is_tall: Value) -> None:
        """The micro-kernel on a tile of a and a panel of b, into the buffer."""
        f, plan = self.f, self.plan
        heights = {plan.rows: plan.tall, plan.rows - 1: plan.tiles - plan.tall}
        few = shape is plan.rest and plan.panels >= MANY_PANELS
        kernels = []
        for rows, tiles in heights.items():
            if tiles:
                name = self._kernel(shape, rows, few or tiles < RARE * plan.tiles)
                kernels.append(Value("ptr", f"@{name}"))
        kernel = kernels[0] if len(kernels) == 1 else f.select(is_tall, *kernels)
        written, read = (place for place, _ in self.ahead.get(shape, [(a, 0), (a, 0)]))
        args = (a, b, self.buffer, written, read, *self.counts)
        f.line(f"call void {kernel.text}({', '.join(map(str, args))})")

    def _kernel(self, shape: Panel, rows: int, rare: bool) -> str:
        """The name of the micro-kernel for tiles of ``rows`` and panels of this shape."""
        c, plan = self.c, self.plan
        b_stride = shape.width if plan.pack_b else c.b.row_stride
        a_strides = (1, plan.strip) if plan.pack_a else (c.a.row_stride, c.a.col_stride)
        by_table = c.a.table == "rows" and not plan.pack_a
        tile = Tile(c.dtype, rows, shape, c.k, a_strides, by_table, b_stride, plan.pack_b)
        written, read = (count for _, count in self.ahead.get(shape, [(None, 0), (None, 0)]))
        tile = tile._replace(written=written, read=read)
        return micro_kernel(self.f.module, self.target, tile, rare)

    def _finish(
        self, shape: Panel, indices: Sequence[Value], row: Value, rows: Value, column: Value
    ) -> None:
        """The epilogue over the buffer: equal vectors in a loop, so that its code appears once
        where there are many."""
        f, scalar = self.f, self.c.scalar
        equal = [v for v in shape.vectors if v.lanes == v.count == shape.vectors[0].lanes]
        others = shape.vectors[len(equal) :]

        def finish(r: Value, offset: Value, lanes: int, count: int) -> None:
            at = f.gep(self.buffer, plus(f, scaled(f, r, shape.width), offset), scalar)
            acc = f.load(vector(scalar, lanes), at)
            self.epilogue(f, indices, plus(f, row, r), plus(f, column, offset), acc, count)

        with f.for_range(0, rows, hint="r") as r:
            if len(equal) <= 2:
                for v in equal:
                    finish(r, i64(v.offset), v.lanes, v.count)
            else:
                lanes = equal[0].lanes
                with f.for_range(0, len(equal) * lanes, lanes, hint="j") as j:
                    finish(r, j, lanes, lanes)
            for v in others:
                finish(r, i64(v.offset), v.lanes, v.count)
