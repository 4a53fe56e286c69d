"""Contractions whose sum runs over several loops, and whose rows lie along several: convolutions.

    out[batch…, m, n] = sum over k…, of a[batch…, m, k…] b[batch…, k…, n]

Every address is affine in all loops, so a is read where it lies: a tile is some neighbouring rows m
at one place of the other loops, and its micro-kernel walks the loops over k as a nest. b is the
same for all places but those of `groups`: its panels are packed once for all tiles of a thread.

Where the sum is so long that what one tile reads would not stay in the second cache (the gradient
of the weights: a sum over all positions of all images), the outermost loops over k go around the
tiles, whose sums wait in memory. That changes no bit: a sum is one chain in the order of its terms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, prod
from typing import NamedTuple

from .....core.host.memory import whole_lines
from ....llvm.builder import Function, Value, const, i64
from ....llvm.index import divide, divide_up, least, minus, plus, scaled
from ...machine.target import Target
from ...schedule.contraction import Announcement, Bounds, Digit, Epilogue, Windowed
from ...schedule.panels import Panel, panel_of
from ...schedule.tiling import Plan, plan_of
from ..shares import part
from .microkernel import LONG_SUM, MOST_AT_ONCE, Tile, follows, met_again, micro_kernel
from .packing import Source, pack, pack_together
from .tiled import TileEmitter

EachTile = Callable[[Value, Value, Value], None]  # of a place, a tile and a group of panels
FEWEST_PLACES = 64  # tiles: with fewer, threads share panels too
WORTH_PACKING = 8  # tiles that read a panel whose rows lie side by side
TALLEST = 20  # rows of a tile of one vector
ENOUGH_SUMS = 8  # independent ones: the latency of a multiply-add, twice a cycle
WORTH_LEAVING_OUT = 8  # terms
FEWEST_GROUPS = 4  # of steps of k that lie side by side
LONGEST = 1024  # iterations of the innermost loop over k, where it can be two


def merged(k: Sequence[Digit]) -> tuple[Digit, ...]:
    """Loops that together are one: the outer goes on where the inner ends, in both operands. Bounds
    stay where leaving terms out is worth more than a longer loop."""
    k = [
        d if prod(e.extent for e in k[i + 1 :]) >= WORTH_LEAVING_OUT else d._replace(bounds=None)
        for i, d in enumerate(k)
    ]
    found: list[Digit] = []
    for d in k:
        if d.extent == 1 and len(k) > 1:
            continue
        if (
            found
            and found[-1].bounds is None
            and (found[-1].a, found[-1].b) == (d.extent * d.a, d.extent * d.b)
        ):
            d = Digit(found.pop().extent * d.extent, d.a, d.b)
        found.append(d)
    return tuple(found) or (k[-1],)


def prepared(c: Windowed, target: Target) -> Windowed:
    """The loops over k as a tile walks them."""
    return _in_pieces(c if together(c, target) > 1 else _overlapping(c, target))


def together(c: Windowed, target: Target) -> int:
    """Steps of k that lie side by side in a vector: as many as there is room for beside so few
    columns, where they lie so in a."""
    last, lanes = c.k[-1], target.lanes(c.dtype)
    uses = ceil(c.m.extent / TALLEST) * prod(d.extent for d in c.batch if not d.b)
    if c.n.extent > lanes // 2 or last.a != 1 or uses < WORTH_PACKING or "int" in c.dtype:
        return 1
    (v,) = panel_of(c.n.extent, lanes, 16 // c.flat.itemsize).vectors
    group = lanes // v.lanes
    return group if FEWEST_GROUPS * group <= last.extent <= LONG_SUM else 1


def _in_pieces(c: Windowed) -> Windowed:
    """The innermost loop over k as two, if what a tile reads in it would not stay in the L2."""
    last = c.k[-1]
    size = next(n for n in range(min(last.extent, LONGEST), 0, -1) if last.extent % n == 0)
    if last.extent <= LONGEST or size < LONGEST // 8 or c.n.b != 1:
        return c
    whole = Digit(last.extent // size, size * last.a, size * last.b)
    return c._replace(k=(*c.k[:-1], whole, last._replace(extent=size)))


def _overlapping(c: Windowed, target: Target) -> Windowed:
    """A short loop over k that leads from row to row goes innermost, where columns are one vector:
    what a row reads, the one before has read, and it stays in a register."""
    if target.vector_registers < 32:
        return c
    for i, d in enumerate(c.k):
        turned = c._replace(k=(*c.k[:i], *c.k[i + 1 :], d))
        if d.bounds is None and _rows_that_share(turned, target):
            return turned
    return c


def _rows_that_share(c: Windowed, target: Target) -> int:
    """Rows of a tile of one vector that leave registers for what they meet again in the innermost
    loop over k; 0: none would be met again, or so few rows would wait for themselves."""
    last = c.k[-1]
    if c.n.extent > target.lanes(c.dtype) or not 1 < last.extent <= MOST_AT_ONCE:
        return 0
    if not follows(last.a, c.m.a, c.m.extent):
        return 0
    rows = (target.vector_registers - 1 - met_again(last.extent, last.a, c.m.a)) // 2
    return rows if rows >= ENOUGH_SUMS and follows(last.a, c.m.a, rows) else 0


class Layout(NamedTuple):
    """How a windowed contraction is cut."""

    plan: Plan
    outside: int  # loops over k that go around the tiles
    shares_panels: bool  # threads share panels as well as tiles
    together: int  # steps of k side by side in a vector

    @property
    def panels(self) -> int:
        """Of all columns."""
        return self.plan.panels + (self.plan.rest is not None)

    def inside(self, c: Windowed) -> int:
        """Terms that a tile adds up at once."""
        return prod(d.extent for d in c.k[self.outside :])

    def packed(self, c: Windowed) -> int:
        """Elements of a column in a packed panel, of what a tile adds up at once."""
        return prod(self.extents(c))

    def extents(self, c: Windowed) -> list[int]:
        """Of the inner loops over k in a packed panel: steps that are left over take the place of
        as many as lie side by side."""
        *outer, last = (d.extent for d in c.k[self.outside :])
        return [*outer, (last // self.together + last % self.together) * self.together]


def _plan(c: Windowed, target: Target) -> Plan:
    """Tiles and panels: where columns are one vector, each of its loads should serve many rows."""
    if c.n.extent > target.lanes(c.dtype):
        return plan_of(c.flat, target)
    return plan_of(c.flat, target, _rows_that_share(c, target) or TALLEST)


def layout_of(c: Windowed, target: Target) -> Layout:
    """Tiles and panels, what is packed, and which loops go around the tiles."""
    flat, plan = c.flat, _plan(c, target)
    panels = plan.panels + (plan.rest is not None)
    outside, terms = 0, c.terms
    row = plan.width * flat.itemsize
    while outside < len(c.k) - 1 and terms * row > target.l2_bytes // 8:
        terms //= c.k[outside].extent
        outside += 1
    uses = plan.tiles * prod(d.extent for d in c.batch if not d.b)  # of a panel
    near = panels > 1 and not outside and uses >= WORTH_PACKING
    side_by_side = together(c, target)
    pack_b = side_by_side > 1 or (c.n.extent > 1 and (c.n.b != 1 or near))
    group = max(1, min(panels, target.l2_bytes // 4 // (terms * row))) if pack_b else panels
    places = prod(d.extent for d in c.batch) * plan.tiles
    shares_panels = places < FEWEST_PLACES and panels > 1
    group = 1 if shares_panels else group
    plan = plan._replace(
        pack_a=False, pack_b=pack_b, group=group, by_rows=False, keeps_b=False, shared=False
    )
    return Layout(plan, outside, shares_panels, side_by_side)


def _count(f: Function, value: Value) -> Value:
    """None where it is less."""
    return minus(f, value, least(f, value, 0))


def scratch_bytes(c: Windowed, target: Target) -> int:
    """Scratch one thread needs."""
    if 0 in (c.m.extent, c.n.extent, *(d.extent for d in c.batch)):
        return 0
    layout = layout_of(c, target)
    return _panel_bytes(c, layout) + _sums_bytes(c, layout)


def _panel_bytes(c: Windowed, layout: Layout) -> int:
    """Of the packed panels of a group."""
    plan = layout.plan
    size = layout.packed(c) * plan.width * plan.group * c.flat.itemsize
    return whole_lines(size) if plan.pack_b else 0


def _sums_bytes(c: Windowed, layout: Layout) -> int:
    """Of the sums of all tiles, where these wait in memory."""
    plan = layout.plan
    tiles = prod(d.extent for d in c.batch) * plan.tiles * layout.panels
    return tiles * plan.rows * plan.width * c.flat.itemsize if layout.outside else 0


def emit_windowed(
    f: Function,
    c: Windowed,
    target: Target,
    a: Value,
    b: Value,
    scratch: Value,
    tid: Value,
    nt: Value,
    epilogue: Epilogue,
    announce: Announcement | None = None,
) -> None:
    """Emit thread ``tid`` of ``nt``'s share of ``c`` into ``f``; arguments as for `tiled`."""
    if 0 in (c.m.extent, c.n.extent, *(d.extent for d in c.batch)):
        return
    _Windows(f, c, target, a, b, scratch, epilogue, announce).emit(tid, nt)


class _Windows(TileEmitter):
    def __init__(
        self,
        f: Function,
        c: Windowed,
        target: Target,
        a: Value,
        b: Value,
        scratch: Value,
        epilogue: Epilogue,
        announce: Announcement | None,
    ) -> None:
        self.w, self.layout = c, layout_of(c, target)
        super().__init__(f, c.flat, target, a, b, scratch, epilogue, announce, self.layout.plan)
        self.a = f.gep(a, c.a_offset, self.c.scalar)
        self.b = f.gep(b, c.b_offset, self.c.scalar)
        self.sums = f.gep(scratch, _panel_bytes(c, self.layout), "i8")
        self.place: Value | None = None  # of the loops outside
        self.places = prod(d.extent for d in c.batch)
        self.inside = c.k[self.layout.outside :]
        self.skipped: list[
            Value
        ] = []  # iterations of the inner loops in front of those that matter

    def emit(self, tid: Value, nt: Value, queue: Value | None = None) -> None:
        f, plan = self.f, self.plan
        units = self.places * plan.tiles * (plan.groups if self.layout.shares_panels else 1)
        start, stop = part(f, units, tid, nt)
        if self.layout.outside:
            self._around_tiles(start, stop)
            return
        self._all_tiles(start, stop, self._whole_tile)

    def _all_tiles(self, start: Value, stop: Value, each: EachTile) -> None:
        """``each`` for all units and all groups of panels of this thread."""
        f = self.f
        with f.for_range(0, self.rounds, hint="group") as group:
            with f.for_range(start, stop, hint="unit") as unit:
                place, tile, own = self._place(unit)
                each(place, tile, group if own is None else own)

    @property
    def rounds(self) -> int:
        """Groups of panels that a thread passes over."""
        return 1 if self.layout.shares_panels else self.plan.groups

    def _whole_tile(self, place: Value, tile: Value, group: Value) -> None:
        f, c, plan = self.f, self.c, self.plan
        indices = self._indices(place)
        at_a, at_b = self._bases(indices)
        if plan.pack_b:
            self._packed(at_b, indices, group)
        row, rows, is_tall = self._rows(tile)
        strip = f.gep(at_a, scaled(f, row, self.w.m.a), c.scalar)
        strip = self._limited(strip, indices)
        for shape, each in self._panels(group):
            with each as (p, column):
                self._fetch(shape, indices, row, rows, column)
                self._multiply(shape, strip, self._columns(shape, at_b, p, column), is_tall)
                self._finish(shape, indices, row, rows, column)

    def _place(self, unit: Value) -> tuple[Value, Value, Value | None]:
        """Place, tile and (where threads share them) group of panels of a unit."""
        plan, own = self.plan, None
        if self.layout.shares_panels:
            own, unit = divide(self.f, unit, self.places * plan.tiles)
        place, tile = divide(self.f, unit, plan.tiles)
        return place, tile, own

    def _indices(self, place: Value) -> list[Value]:
        found: list[Value] = []
        for d in reversed(self.w.batch):
            place, index = divide(self.f, place, d.extent)
            found.insert(0, index)
        return found

    def _bases(self, indices: Sequence[Value]) -> tuple[Value, Value]:
        f, scalar = self.f, self.c.scalar
        at_a, at_b = self.a, self.b
        for d, index in zip(self.w.batch, indices, strict=True):
            at_a = f.gep(at_a, scaled(f, index, d.a), scalar)
            at_b = f.gep(at_b, scaled(f, index, d.b), scalar)
        return at_a, at_b

    # -- panels -----------------------------------------------------------------------------------
    def _packed(self, at_b: Value, indices: Sequence[Value], group: Value) -> None:
        """Pack the panels of this group, unless they are those packed last."""
        f = self.f
        number = group
        if self.place is not None:
            number = plus(f, scaled(f, self.place, self.plan.groups), group)
        for d, index in zip(self.w.batch, indices, strict=True):
            if d.b:
                number = plus(f, scaled(f, number, d.extent), index)
        with f.if_then(self._is_unpacked(number)):
            for shape, each in self._panels(group):
                with each as (p, column):
                    at = f.gep(at_b, scaled(f, column, self.w.n.b), self.c.scalar)
                    self._pack_nest(at, self._panel_at(i64(0), p), shape, self.inside)
            f.store(number, self.packed)

    def _pack_nest(
        self, source: Value, destination: Value, shape: Panel, k: Sequence[Digit]
    ) -> None:
        f, scalar = self.f, self.c.scalar
        first, *rest = k
        if not rest and self.layout.together > 1:
            from_ = Source(source, i64(0), first.b, self.w.n.b)
            pack_together(f, scalar, from_, destination, first.extent, shape, self.layout.together)
            return
        if not rest:
            from_ = Source(source, i64(0), first.b, self.w.n.b)
            pack(f, self.w.dtype, from_, destination, (0, first.extent), shape, shape.width)
            return
        inner = prod(self.layout.extents(self.w)[-len(rest) :]) * shape.width
        with f.for_range(0, first.extent, hint="k") as i:
            self._pack_nest(
                f.gep(source, scaled(f, i, first.b), scalar),
                f.gep(destination, scaled(f, i, inner), scalar),
                shape,
                rest,
            )

    # -- tiles ------------------------------------------------------------------------------------
    def _panel_at(self, group: Value, p: Value) -> Value:
        size = self.layout.packed(self.w) * self.plan.width
        return self.f.gep(self.packed_b, scaled(self.f, p, size), self.c.scalar)

    def _columns(self, shape: Panel, at_b: Value, p: Value, column: Value) -> Value:
        """Where the micro-kernel reads a panel."""
        f, scalar = self.f, self.c.scalar
        if self.plan.pack_b:
            at, steps = self._panel_at(i64(0), p), self._packed_steps(shape)
        else:
            at = f.gep(at_b, scaled(f, column, self.w.n.b), scalar)
            steps = [d.b for d in self.inside]
        for first, step in zip(self.skipped, steps, strict=True):
            at = f.gep(at, scaled(f, first, step), scalar)
        return at

    def _packed_steps(self, shape: Panel) -> list[int]:
        """How far apart iterations of the inner loops lie in a packed panel."""
        extents = self.layout.extents(self.w)
        return [prod(extents[i + 1 :]) * shape.width for i in range(len(extents))]

    def _limited(self, strip: Value, indices: Sequence[Value]) -> Value:
        """Where rows of a begin, from the first iteration of each inner loop that matters on; how
        often the micro-kernel's loops turn is noted."""
        f = self.f
        self.skipped, self.counts = [], []
        for d in self.inside:
            first = i64(0)
            if d.bounds is not None:
                first, last = self._range(d, d.bounds, indices)
                self.counts.append(_count(f, minus(f, last, first)))
                strip = f.gep(strip, scaled(f, first, d.a), self.c.scalar)
            self.skipped.append(first)
        return strip

    def _range(self, d: Digit, bounds: Bounds, indices: Sequence[Value]) -> tuple[Value, Value]:
        """The first iteration of a loop that matters, and the first after them."""
        f, place = self.f, i64(bounds.constant)
        for index, step in zip(indices, bounds.of_batch, strict=True):
            place = plus(f, place, scaled(f, index, step))
        first, last = (
            divide_up(f, _count(f, minus(f, end, place)), bounds.step)
            for end in (bounds.low, bounds.high)
        )
        return least(f, first, d.extent), least(f, last, d.extent)

    def _kernel(self, shape: Panel, rows: int, rare: bool) -> str:
        plan, inside = self.plan, self.inside
        *outer, last = inside
        of_b = self._packed_steps(shape) if plan.pack_b else [d.b for d in inside]
        steps = [(0 if d.bounds else d.extent, d.a, b) for d, b in zip(outer, of_b, strict=False)]
        tile = Tile(
            self.w.dtype,
            rows,
            shape,
            last.extent,
            (self.w.m.a, last.a),
            False,
            shape.width * self.layout.together if plan.pack_b else last.b,
            plan.pack_b,
            tuple(steps),
            self.layout.outside > 0,
            parts=self._parts,
            together=self.layout.together,
        )
        return micro_kernel(self.f.module, self.target, tile, rare)

    @property
    def _parts(self) -> int:
        """How many sums of each element a tile has: enough that the processor need not wait."""
        panel = self.plan.full or self.plan.rest
        alone = self.plan.rows * len(panel.vectors) if panel is not None else ENOUGH_SUMS
        return 4 if 2 * alone < ENOUGH_SUMS else 2 if alone < ENOUGH_SUMS else 1

    # -- sums that wait in memory -----------------------------------------------------------------
    def _around_tiles(self, start: Value, stop: Value) -> None:
        """Zeros, then the loops outside around all tiles of this thread, then their epilogues."""
        f = self.f
        self._all_tiles(start, stop, self._clear)
        outside = self.w.k[: self.layout.outside]
        with f.for_range(0, prod(d.extent for d in outside), hint="o") as place:
            self.place = place
            moved_a, moved_b = i64(0), i64(0)
            for d in reversed(outside):
                place, index = divide(f, place, d.extent)
                moved_a = plus(f, moved_a, scaled(f, index, d.a))
                moved_b = plus(f, moved_b, scaled(f, index, d.b))

            def add(place: Value, tile: Value, group: Value) -> None:
                self._add(place, tile, group, moved_a, moved_b)

            self._all_tiles(start, stop, add)
        self._all_tiles(start, stop, self._finish_sums)

    def _sums(self, place: Value, tile: Value, group: Value, p: Value) -> Value:
        """The sums of one tile and panel."""
        f, plan = self.f, self.plan
        number = plus(f, scaled(f, place, plan.tiles), tile)
        panel = plus(f, scaled(f, group, plan.group), p)
        number = plus(f, scaled(f, number, self.layout.panels), panel)
        return f.gep(self.sums, scaled(f, number, plan.rows * plan.width), self.c.scalar)

    def _clear(self, place: Value, tile: Value, group: Value) -> None:
        f, scalar = self.f, self.c.scalar
        for _, each in self._panels(group):
            with each as (p, _):
                sums = self._sums(place, tile, group, p)
                with f.for_range(0, self.plan.rows * self.plan.width, hint="z") as z:
                    f.store(const(scalar, 0), f.gep(sums, z, scalar))

    def _add(self, place: Value, tile: Value, group: Value, moved_a: Value, moved_b: Value) -> None:
        """The terms of one place of the loops outside to the sums of a tile."""
        f, scalar = self.f, self.c.scalar
        indices = self._indices(place)
        at_a, at_b = self._bases(indices)
        at_a, at_b = f.gep(at_a, moved_a, scalar), f.gep(at_b, moved_b, scalar)
        if self.plan.pack_b:
            self._packed(at_b, indices, group)
        row, _, is_tall = self._rows(tile)
        strip = self._limited(f.gep(at_a, scaled(f, row, self.w.m.a), scalar), indices)
        for shape, each in self._panels(group):
            with each as (p, column):
                self.buffer = self._sums(place, tile, group, p)
                self._multiply(shape, strip, self._columns(shape, at_b, p, column), is_tall)

    def _finish_sums(self, place: Value, tile: Value, group: Value) -> None:
        indices = self._indices(place)
        row, rows, _ = self._rows(tile)
        for shape, each in self._panels(group):
            with each as (p, column):
                self._fetch(shape, indices, row, rows, column)
                self.buffer = self._sums(place, tile, group, p)
                self._finish(shape, indices, row, rows, column)
